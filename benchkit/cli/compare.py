"""The command that compares measured runs and gates on what changed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchkit.cli.group import main, parameter_options, shown, values_of
from benchkit.errors import InvalidParameter

if TYPE_CHECKING:
    from benchkit.report.compare import Comparison

_BETWEEN = "vs"


@main.command()
@click.argument("sources", nargs=-1, metavar="BASE… [vs] NEW…")
@parameter_options
@click.option(
    "--fail-on",
    multiple=True,
    metavar="GATE",
    help="A change that is not allowed, as 'p99 ttft +5%' or 'output_tokens_per_s -3%'; may be repeated.",
)
@click.option(
    "--differs",
    multiple=True,
    metavar="WHAT",
    help="In what the sides differ on purpose: model, workload, load, machine, tool; may be repeated.",
)
@click.option("--paired", type=click.Choice(["auto", "yes", "no"]), help="Whether run i belongs to run i.")
@click.option("--strict", is_flag=True, help="Fail too where a gate cannot be decided.")
@click.option(
    "--junit", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write JUnit XML."
)
@click.option(
    "--markdown", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write Markdown."
)
@click.option("--report", metavar="FOLDER", help="Execute compare_runs.ipynb there, and make its HTML.")
@click.option("--json", "as_json", is_flag=True, help="Print everything that was found as JSON.")
def compare(
    sources: tuple[str, ...],
    files: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    fail_on: tuple[str, ...],
    differs: tuple[str, ...],
    paired: str | None,
    strict: bool,
    junit: Path | None,
    markdown: Path | None,
    report: str | None,
    as_json: bool,
) -> None:
    """Compare measured runs: does one side really differ, and by how much? Sends nothing.

    BASE and NEW are runs with their repeats, sweeps, or other tools' result files, the word `vs` between the sides
    where they are more than two. One source alone is the folder that `benchkit ab` left; none, the newest of these.

    Exit code 4 when a gate fails (--strict: or cannot be decided), 3 when a measurement is invalid, 2 when the runs are
    not alike.
    """
    from benchkit.parameters import CompareParameters
    from benchkit.report.compare import comparison

    values: dict[str, Any] = values_of(files, pairs, model=CompareParameters)
    values |= _sides(sources)
    values |= {name: list(given) for name, given in (("fail_on", fail_on), ("differs", differs)) if given}
    values |= {"paired": paired} if paired else {}
    values |= {"strict": True} if strict else {}
    found = comparison(values)
    if junit:
        _write(junit, found.as_junit())
    if markdown:
        _write(markdown, found.as_markdown())
    click.echo(json.dumps(found.as_dict(), indent=2) if as_json else str(found))
    if report:
        click.echo(f"report: {shown(_report(found, report))}", err=True)
    if found.outcome == "inconclusive" and not found.exit_code:
        click.echo("a gate could not be decided, and passes without --strict", err=True)
    sys.exit(found.exit_code)


def _sides(sources: tuple[str, ...]) -> dict[str, list[str]]:
    """Which sources are the base, and which the new side."""
    if _BETWEEN in sources:
        at = sources.index(_BETWEEN)
        base, new = list(sources[:at]), list(sources[at + 1 :])
        if not base or not new or _BETWEEN in new:
            raise InvalidParameter("write the runs of one side, `vs`, and the runs of the other")
        return {"base": base, "new": new}
    if len(sources) > 2:
        raise InvalidParameter(
            f"which of the {len(sources)} sources are the base? Write `vs` between the sides: "
            f"benchkit compare {sources[0]} … vs … {sources[-1]}"
        )
    return {name: [source] for name, source in zip(("base", "new"), sources, strict=False)}


def _write(file: Path, text: str) -> None:
    from benchkit.records.atomic import atomic_write

    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(file, text)


def _report(found: Comparison, folder: str) -> Path:
    from benchkit.report.execute import report_from_notebook

    asked = found.parameters.model_dump(mode="json", exclude_defaults=True)
    return report_from_notebook("compare_runs", asked, folder)
