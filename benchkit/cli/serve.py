"""Commands about servers: start, list, stop, make a twin."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import click

from benchkit.cli.group import main, parameter_options, values_of
from benchkit.errors import InvalidParameter, ServerError

_LOOK_S = 0.2


@main.command()
@parameter_options
def serve(files: tuple[str, ...], pairs: tuple[tuple[str, str], ...]) -> None:
    """Start a server to measure: the embedded one, or vLLM (`-p backend vllm -p served_model tiny-random`).

    It runs until Ctrl-C, or on its own with `-p detached True` (then see `benchkit servers` and `benchkit stop`).
    """
    from benchkit import serving
    from benchkit.parameters import ServingParameters, resolve

    parameters = resolve(values_of(files, pairs, model=ServingParameters), ServingParameters)
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
@parameter_options
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

        folders = [load_run(run).path for run in runs]
        foreign = [folder.name for folder in folders if not folder.is_dir()]
        if foreign:
            raise InvalidParameter(
                f"--from {foreign[0]}: a twin is fitted to the time of every token, which such files do not hold; "
                "give runs of benchkit's own"
            )
        made = twins.calibrate_from(folders, Path(preset_out), server=known)
    else:
        hooks = Hooks(on_stage=lambda text: click.echo(text, err=True))
        made = twins.calibrate(
            values_of(files, pairs), Path(preset_out), server=known, scale=scale, hooks=hooks
        )
    click.echo(str(made))
    click.echo(f"preset: {preset_out}", err=True)
