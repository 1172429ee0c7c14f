"""Commands that measure a server once, look it over, and mend what a kill left."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import click

from benchkit.cli.group import (
    FAILED,
    INTERRUPTED,
    INVALID,
    OBJECTIVE_MISSED,
    main,
    parameter_options,
    shown,
    until_interrupted,
    values_of,
)

if TYPE_CHECKING:
    from benchkit.load.launch import Launcher
    from benchkit.parameters import RunParameters
    from benchkit.report.run import Run


@main.command()
@parameter_options
@click.option("--out", metavar="FOLDER", help="Folder that holds the runs' folders (the parameter `out`).")
@click.option("--json", "as_json", is_flag=True, help="Print summary.json instead of the result block.")
@click.option(
    "--dry-run", is_flag=True, help="Say what would be sent (requests, tokens, time), and send nothing."
)
@click.option("--check-slo", is_flag=True, help="Exit with 4 when an objective fails or is undecided.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
def run(
    files: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    out: str | None,
    as_json: bool,
    dry_run: bool,
    check_slo: bool,
    quiet: bool,
) -> None:
    """Measure a server, or the embedded one where no `url` is given."""
    from benchkit.parameters import resolve

    parameters: RunParameters = resolve(values_of(files, pairs, out))
    if dry_run:
        _say_plan(parameters, as_json=as_json)
        return
    done = asyncio.run(_run(parameters, quiet=quiet))
    click.echo(json.dumps(done.summary, indent=2) if as_json else str(done))
    click.echo(f"run: {shown(done.path)}", err=True)
    sys.exit(exit_code(done, check_slo=check_slo))


@main.command()
@click.argument("url")
@parameter_options
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(url: str, files: tuple[str, ...], pairs: tuple[tuple[str, str], ...], as_json: bool) -> None:
    """Look a server over: can it be measured, and what would the numbers mean?"""
    from benchkit.experiments import preflight
    from benchkit.experiments.doctor import render
    from benchkit.parameters import resolve
    from benchkit.target import normalise_url

    parameters: RunParameters = resolve({**values_of(files, pairs), "url": url})
    found = preflight.check(parameters, normalise_url(url), quick=False)
    click.echo(
        json.dumps(found.as_dict(), indent=2) if as_json else render(found, colour=sys.stdout.isatty())
    )
    sys.exit(found.exit_code)


@main.command()
def demo() -> None:
    """Serve, measure, sweep and count servers on the embedded engine, by the notebooks (in a checkout of benchkit)."""
    from benchkit.report.demo import demo as show

    made = show(lambda text: click.echo(text, err=True))
    click.echo(str(made.run))
    click.echo(f"\n{made.capacity}\n")
    click.echo(f"one run:           {shown(made.run_report)}")
    click.echo(f"many loads:        {shown(made.sweep_report)}")
    click.echo(f"how many servers?  {shown(made.capacity_report)}")


@main.command()
@click.argument("path")
def recover(path: str) -> None:
    """Finish the folder of a run whose processes were killed."""
    from benchkit.experiments.recover import recover as finish
    from benchkit.records import store
    from benchkit.records.project import in_project
    from benchkit.report.run import load_run

    folder = store.find(path, in_project("outputs")).path
    before = store.RunFolder(folder).read_manifest()["status"]
    manifest = finish(folder)
    click.echo(str(load_run(folder)))
    counts = load_run(folder).summary["requests"]
    done = "was finished already" if before != "running" else "recovered"
    click.echo(
        f"{done}: {shown(folder)} is {manifest['status']}; "
        f"{', '.join(f'{n} {name}' for name, n in counts.items() if isinstance(n, int) and n)}",
        err=True,
    )


def _say_plan(parameters: RunParameters, *, as_json: bool) -> None:
    from benchkit.experiments.preview import preview

    seen = preview(parameters)
    click.echo(json.dumps(seen.as_dict(), indent=2) if as_json else seen.text())


async def _run(parameters: RunParameters, *, quiet: bool) -> Run:
    from benchkit.experiments.run import Hooks
    from benchkit.report.live import Live
    from benchkit.report.run import run_async

    launchers: list[Launcher] = []
    live = Live(sys.stderr)
    hooks = Hooks(
        on_stage=None if quiet else live.stage, on_progress=None if quiet else live, on_start=launchers.append
    )

    def stop() -> bool:
        if launchers:
            launchers[-1].stop("interrupt")
        return bool(launchers)

    try:
        done: Run = await until_interrupted(run_async(parameters, hooks=hooks), stop)
        return done
    finally:
        live.close()


def exit_code(done: Run, *, check_slo: bool) -> int:
    """The exit code that a finished run carries."""
    status = done.manifest["status"]
    if status != "complete":
        return INTERRUPTED if status == "interrupted" else FAILED
    if done.verdict == "invalid":
        return INVALID
    if check_slo and any(each["verdict"] != "meets" for each in done.summary["slo"]):
        return OBJECTIVE_MISSED
    return 0
