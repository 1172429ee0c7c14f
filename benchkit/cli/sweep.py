"""Commands over many loads: sweep a server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import click

from benchkit.cli.group import main, parameter_options, shown, values_of, watched

if TYPE_CHECKING:
    from benchkit.report.sweep import Sweep


@main.command()
@parameter_options
@click.option("--out", metavar="FOLDER", help="Folder that holds the sweeps' folders (the parameter `out`).")
@click.option("--json", "as_json", is_flag=True, help="Print sweep.json instead of the tables.")
@click.option("--dry-run", is_flag=True, help="Say what it will take, cost and answer, and send nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
def sweep(
    files: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    out: str | None,
    as_json: bool,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Measure a server under many loads: how latency grows with the rate, and where it saturates.

    An unfinished sweep of the same parameters goes on where it ended.
    """
    from benchkit.experiments.sweep_outline import outline
    from benchkit.parameters import SweepParameters, resolve
    from benchkit.report.sweep import sweep_async

    parameters = resolve(values_of(files, pairs, out, SweepParameters), SweepParameters)
    before = outline(parameters)
    if dry_run:
        click.echo(json.dumps(before.as_dict(), indent=2) if as_json else before.text())
        return
    if not quiet:
        click.echo(before.text(), err=True)
    done: Sweep = asyncio.run(watched(lambda hooks: sweep_async(parameters, hooks=hooks), quiet=quiet))
    click.echo(json.dumps(done.manifest, indent=2) if as_json else str(done))
    click.echo(f"sweep: {shown(done.path)}", err=True)
