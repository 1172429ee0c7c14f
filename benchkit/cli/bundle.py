"""The command that packs measured runs into one file, and checks such files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchkit.cli.group import FAILED, main, shown


@main.command()
@click.argument("sources", nargs=-1, required=True, metavar="RUN…")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.zip",
    help="The file to write; by default named after the first run, in the folder that holds it.",
)  # fmt: skip
@click.option(
    "--check", "checking", is_flag=True,
    help="Instead, check bundles: do their checksums hold, and do the records give the numbers again?",
)  # fmt: skip
def bundle(sources: tuple[str, ...], output: Path | None, checking: bool) -> None:
    """Pack runs or sweeps into one zip: plan, manifest, records, numbers, report, checksums. It opens offline.

    RUN is a run's or sweep's folder, or the beginning of its name; with --check it is a bundle, nothing is written, and
    the exit code is 1 when something does not hold.
    """
    from benchkit.report import bundle as bundles

    if not checking:
        click.echo(shown(bundles.pack(sources, output)))
        return
    found = [bundles.check(Path(source)) for source in sources]
    for each in found:
        click.echo(each.text)
    sys.exit(0 if all(each.holds for each in found) else FAILED)
