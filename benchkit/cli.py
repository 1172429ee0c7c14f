"""The command line: thin; each command calls one function of the package."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchkit import __version__
from benchkit.errors import BenchkitError, InvalidParameter, ServerError

if TYPE_CHECKING:
    from benchkit.load.launch import Launcher
    from benchkit.parameters import RunParameters
    from benchkit.report.run import Run

FAILED, INVALID, OBJECTIVE_MISSED, INTERRUPTED = 1, 3, 4, 130
_LOOK_S = 0.2


class _Group(click.Group):
    """Turns benchkit's errors into one line on stderr and the exit code that they carry."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BenchkitError as error:
            click.echo(f"{type(error).__name__}: {error}", err=True)
            context.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            context.exit(INTERRUPTED)


def _parameter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option(
        "-p",
        "--parameter",
        "pairs",
        nargs=2,
        multiple=True,
        metavar="NAME VALUE",
        help="Set one parameter, as papermill's -p; may be repeated.",
    )(command)
    return click.option(
        "-f",
        "--file",
        "files",
        multiple=True,
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Take parameters from a YAML file; later files win, -p wins over all.",
    )(command)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="benchkit")
def main() -> None:
    """Measure LLM serving: how fast, how sure, and can the numbers be believed.

    Results go to stdout, progress to stderr. Exit codes: 0 valid or suspect, 1 failed, 2 bad parameters, 3 invalid
    measurement, 4 objective missed (with --check-slo), 130 interrupted.
    """


@main.command()
@_parameter_options
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
    parameters = _run_parameters(files, pairs, out)
    if dry_run:
        _say_plan(parameters, as_json=as_json)
        return
    done = asyncio.run(_run(parameters, quiet=quiet))
    click.echo(json.dumps(done.summary, indent=2) if as_json else str(done))
    click.echo(f"run: {_shown(done.path)}", err=True)
    sys.exit(_exit_code(done, check_slo=check_slo))


@main.command()
@click.argument("source")
@_parameter_options
@click.option(
    "-o",
    "--out",
    metavar="FOLDER",
    help="Where the report goes; by default the run's own folder, or outputs/.",
)
def report(source: str, files: tuple[str, ...], pairs: tuple[tuple[str, str], ...], out: str | None) -> None:
    """Make a report: from a stored run (its folder, or `latest`), without load, or by executing a notebook.

    SOURCE is a run's folder or the beginning of its name, or the path of a notebook, which is executed with the
    parameters given by -f and -p.
    """
    from benchkit.report import execute

    if source.endswith(".ipynb"):
        made = execute.report_from_notebook(source, _values(files, pairs, None), out)
    else:
        from benchkit.report.run import load_run

        made = execute.report_from_run(load_run(source).path, out)
    click.echo(_shown(made))


@main.command()
@click.argument("url")
@_parameter_options
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(url: str, files: tuple[str, ...], pairs: tuple[tuple[str, str], ...], as_json: bool) -> None:
    """Look a server over: can it be measured, and what would the numbers mean?"""
    from benchkit.experiments import preflight
    from benchkit.experiments.doctor import render
    from benchkit.parameters import resolve
    from benchkit.target import normalise_url

    parameters: RunParameters = resolve({**_values(files, pairs, None), "url": url})
    found = preflight.check(parameters, normalise_url(url), quick=False)
    click.echo(
        json.dumps(found.as_dict(), indent=2) if as_json else render(found, colour=sys.stdout.isatty())
    )
    sys.exit(found.exit_code)


@main.command()
@_parameter_options
@click.option(
    "--preset-out", metavar="FILE", default="twin.yaml", show_default=True, help="The preset file to write."
)
@click.option(
    "--from", "runs", metavar="RUN", multiple=True, help="Fit to this stored run, without load; repeat it."
)
@click.option(
    "-s",
    "--server",
    "server",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="A setting of the server that it does not tell: max_num_seqs, max_num_batched_tokens, kv_blocks, block_size.",
)
@click.option("--scale", type=float, default=1.0, show_default=True, help="Of all prompt lengths.")
def calibrate(
    files: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    preset_out: str,
    runs: tuple[str, ...],
    server: tuple[tuple[str, str], ...],
    scale: float,
) -> None:
    """Make a twin of a server: settings with which the embedded server behaves like it (`-p url http://...`).

    Sends a handful of short loads, fits, and writes a preset file: `benchkit serve -p preset twin.yaml`.
    """
    from benchkit.experiments import calibrate as twins
    from benchkit.experiments.run import Hooks

    try:
        known = {name.replace("-", "_"): int(value) for name, value in server}
    except ValueError:
        raise InvalidParameter(f"--server: {dict(server)}: values are whole numbers") from None
    if runs:
        from benchkit.report.run import load_run

        made = twins.calibrate_from([load_run(run).path for run in runs], Path(preset_out), server=known)
    else:
        hooks = Hooks(on_stage=lambda text: click.echo(text, err=True))
        made = twins.calibrate(
            _values(files, pairs, None), Path(preset_out), server=known, scale=scale, hooks=hooks
        )
    click.echo(str(made))
    click.echo(f"preset: {preset_out}", err=True)


@main.command()
@_parameter_options
def serve(files: tuple[str, ...], pairs: tuple[tuple[str, str], ...]) -> None:
    """Start a server to measure: the embedded one, or vLLM (`-p backend vllm -p served_model tiny-random`).

    It runs until Ctrl-C, or on its own with `-p detached True` (then see `benchkit servers` and `benchkit stop`).
    """
    from benchkit import serving
    from benchkit.parameters import ServingParameters, resolve
    from benchkit.parameters.sources import load_file, parse_assignments

    values: dict[str, Any] = {}
    for file in files:
        values |= load_file(file)
    values |= parse_assignments(pairs, ServingParameters)
    parameters = resolve(values, ServingParameters)
    if parameters.twin:
        raise InvalidParameter("'twin' is for the notebook serve_model; here: benchkit calibrate -p url URL")
    server = serving.start(**parameters.start_arguments)
    click.echo(server.url)
    if parameters.detached:
        click.echo(
            f"detached as {server.state.name}; end it with: benchkit stop {server.state.name}", err=True
        )
        return
    asked = threading.Event()
    # Not by a KeyboardInterrupt at once: it may be lost in whatever it interrupts.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    click.echo("serving until Ctrl-C", err=True)
    try:
        while server.is_alive():
            if asked.wait(_LOOK_S):
                raise KeyboardInterrupt
    finally:
        server.stop()
    raise ServerError(f"the server ended by itself; the end of its log:\n{server.log_tail()}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def servers(as_json: bool) -> None:
    """List the servers that benchkit has started and that still run."""
    from benchkit.serving.process import list_servers

    states = list_servers()
    if as_json:
        click.echo(json.dumps([state.as_dict() for state in states], indent=2))
    elif not states:
        click.echo("no servers", err=True)
    for state in [] if as_json else states:
        click.echo(f"{state.name}\t{state.url}\t{state.mode}\tpid {state.pid}\t{state.served_model}")


@main.command()
@click.argument("which", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Stop all of them.")
def stop(which: tuple[str, ...], every: bool) -> None:
    """Stop servers, by name, port or process id."""
    from benchkit.serving import process

    names = [state.name for state in process.list_servers()] if every else list(which)
    if not names and not every:
        raise click.UsageError("name a server (see `benchkit servers`), or give --all")
    for name in names:
        click.echo(f"stopped {process.stop(name).name}")


@main.command()
def demo() -> None:
    """Serve, measure and report on the embedded server, through the notebooks (in a checkout of benchkit)."""
    from benchkit.report.demo import demo as show

    made = show(lambda text: click.echo(text, err=True))
    click.echo(str(made.run))
    click.echo(f"report: {_shown(made.report)}")


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
        f"{done}: {_shown(folder)} is {manifest['status']}; "
        f"{', '.join(f'{n} {name}' for name, n in counts.items() if isinstance(n, int) and n)}",
        err=True,
    )


def _values(files: tuple[str, ...], pairs: tuple[tuple[str, str], ...], out: str | None) -> dict[str, Any]:
    from benchkit.parameters.sources import load_file, parse_assignments

    values: dict[str, Any] = {}
    for file in files:
        values |= load_file(file)
    values |= parse_assignments(pairs)
    if out is not None:
        values["out"] = out
    return values


def _run_parameters(
    files: tuple[str, ...], pairs: tuple[tuple[str, str], ...], out: str | None
) -> RunParameters:
    from benchkit.parameters import resolve

    return resolve(_values(files, pairs, out))


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
    task = asyncio.ensure_future(run_async(parameters, hooks=hooks))
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if launchers:
            launchers[-1].stop("interrupt")
        else:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        live.close()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _exit_code(done: Run, *, check_slo: bool) -> int:
    status = done.manifest["status"]
    if status != "complete":
        return INTERRUPTED if status == "interrupted" else FAILED
    if done.verdict == "invalid":
        return INVALID
    if check_slo and any(each["verdict"] != "meets" for each in done.summary["slo"]):
        return OBJECTIVE_MISSED
    return 0


def _shown(path: Path) -> str:
    """A path as a person would type it from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("../..") else relative
