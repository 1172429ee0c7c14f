"""Commands that compare settings by measuring both: ab."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import click

from benchkit.cli.group import INVALID, main, parameter_options, shown, values_of, watched

if TYPE_CHECKING:
    from benchkit.report.ab import Ab


@main.command()
@parameter_options
@click.option(
    "--out", metavar="FOLDER", help="Folder that holds the comparison's folder (the parameter `out`)."
)
@click.option("--json", "as_json", is_flag=True, help="Print ab.json instead of the table.")
@click.option("--dry-run", is_flag=True, help="Say what it will take and in which order, and send nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
def ab(
    files: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    out: str | None,
    as_json: bool,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Compare two settings in pairs of runs: two targets (`url`, `url_b`), or one server started two ways.

    The runs of a pair have the same times and lengths with other contents, in an order of ABBA and BAAB by chance.
    After a pilot it says what change it could see; it ends once every number is decided. An unfinished comparison of
    the same parameters goes on where it ended. `benchkit compare` makes a report of its folder.
    """
    from benchkit.experiments.ab_outline import outline
    from benchkit.parameters import AbParameters, resolve
    from benchkit.report.ab import ab_async

    parameters = resolve(values_of(files, pairs, out, AbParameters), AbParameters)
    before = outline(parameters)
    if dry_run:
        click.echo(before)
        return
    if not quiet:
        click.echo(before, err=True)
    done: Ab = asyncio.run(watched(lambda hooks: ab_async(parameters, hooks=hooks), quiet=quiet))
    click.echo(json.dumps(done.manifest, indent=2) if as_json else str(done))
    click.echo(f"comparison: {shown(done.path)}", err=True)
    if any(run.summary["validity"]["verdict"] == "invalid" for run in [*done.base, *done.new]):
        sys.exit(INVALID)
