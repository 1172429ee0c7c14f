"""The command that turns measured loads into a number of servers."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from benchkit.cli.group import main, parameter_options, values_of


@main.command()
@click.argument("sources", nargs=-1, metavar="SOURCE…")
@parameter_options
@click.option(
    "--slo", multiple=True, metavar="TEXT", help="An objective, or the name of a use; may be repeated."
)
@click.option("--target-rps", type=float, metavar="RATE", help="Requests/s to serve.")
@click.option("--target-users", type=int, metavar="N", help="People at once, in place of a rate.")
@click.option(
    "--think-time", "think_time_s", type=float, metavar="SECONDS", help="Between answer and next request."
)
@click.option("--profile", metavar="FILE", help="Load over time: a CSV of time and rate, or a ready shape.")
@click.option(
    "--headroom", type=float, metavar="SHARE", help="Load to be ready for beyond the target: 0.2 = 20 %."
)
@click.option("--price-per-hour", type=float, metavar="PRICE", help="Of one server.")
@click.option("--gpus-per-server", type=int, metavar="N", help="GPUs of one server.")
@click.option("--zones", type=int, metavar="N", help="Zones, of which one may be lost.")
@click.option("--spare", type=int, metavar="N", help="Servers that may fail at once.")
@click.option("--json", "as_json", is_flag=True, help="Print everything that was found as JSON.")
def capacity(
    sources: tuple[str, ...],
    files: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    slo: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Say how many servers a load needs and what they cost, by what was measured; sends nothing.

    SOURCE is the folder of a sweep or run, `latest`, another tool's result file, or a table of points. Any parameter
    of the notebook capacity_analysis can be set by -p.
    """
    from benchkit.parameters import CapacityParameters
    from benchkit.report.capacity_report import capacity as analyse

    values = values_of(files, pairs, model=CapacityParameters)
    values |= {name: value for name, value in options.items() if value is not None}
    if sources:
        values["sources"] = list(sources)
    if slo:
        values["slo"] = list(slo)
    found = analyse(values)
    click.echo(json.dumps(found.as_dict(), indent=2) if as_json else str(found))
    sys.exit(found.exit_code)
