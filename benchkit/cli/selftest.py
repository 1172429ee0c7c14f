"""The command that finds out what this machine's client can hold."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import click

from benchkit.cli.group import main, parameter_options, shown, until_interrupted, values_of

if TYPE_CHECKING:
    from benchkit.parameters.selftest import SelftestParameters
    from benchkit.report.selftest import Selftest


@main.command()
@parameter_options
@click.option("--stored", metavar="MAP", help="Show a stored map (latest, or a file) and send no load.")
@click.option("--json", "as_json", is_flag=True, help="Print the map as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
def selftest(
    files: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    stored: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find out what this machine's client can hold before its own error passes 1 and 5 ms; under a minute.

    A paced server on this machine, which logs its own sends, brings streams and requests at rising rates. The map is
    stored in outputs/selftest, and the reports of runs say where they lie on it. Nothing else should run meanwhile.
    """
    from benchkit.parameters import resolve
    from benchkit.parameters.selftest import SelftestParameters

    values = values_of(files, pairs, model=SelftestParameters)
    if stored is not None:
        values["stored"] = stored
    found = asyncio.run(_selftest(resolve(values, SelftestParameters), quiet=quiet))
    click.echo(json.dumps(found.as_dict(), indent=2) if as_json else str(found))
    click.echo(f"map: {shown(found.path)}", err=True)


async def _selftest(parameters: SelftestParameters, *, quiet: bool) -> Selftest:
    from benchkit.report.live import Live
    from benchkit.report.selftest import selftest_async

    on_stage = (lambda _: None) if quiet else Live(sys.stderr).stage
    found: Selftest = await until_interrupted(selftest_async(parameters, on_stage), lambda: False)
    return found
