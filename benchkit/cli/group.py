"""The command group, and what its commands share: parameters from files and ``-p``, errors as one line, exit codes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchkit import __version__
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from benchkit.experiments.sweeping import SweepHooks
    from benchkit.parameters import ParameterGroup

FAILED, INVALID, OBJECTIVE_MISSED, INTERRUPTED = 1, 3, 4, 130


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


def parameter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command `-f` and `-p`."""
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
    measurement, 4 objective missed (with --check-slo) or gate failed, 130 interrupted.
    """


def values_of(
    files: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    out: str | None = None,
    model: type[ParameterGroup] | None = None,
) -> dict[str, Any]:
    """What files and ``-p`` say, unchecked; ``out`` where it is given."""
    from benchkit.parameters import RunParameters
    from benchkit.parameters.sources import load_file, parse_assignments

    values: dict[str, Any] = {}
    for file in files:
        values |= load_file(file)
    values |= parse_assignments(pairs, model or RunParameters)
    if out is not None:
        values["out"] = out
    return values


async def until_interrupted(work: Coroutine[Any, Any, Any], stop: Callable[[], bool]) -> Any:
    """Waits for some work; at the first SIGINT or SIGTERM it is asked to stop, or cancelled where it cannot be.

    Args:
        work: what is done.
        stop: asks it to stop; gives whether that was possible.

    Raises:
        KeyboardInterrupt: it was cancelled.
    """
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if not stop():
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def watched(work: Callable[[SweepHooks], Coroutine[Any, Any, Any]], *, quiet: bool) -> Any:
    """Waits for an experiment of several runs, with its progress on stderr; an interrupt cancels it."""
    from benchkit.experiments.sweeping import SweepHooks
    from benchkit.report.live import SweepLive

    live = SweepLive(sys.stderr)
    hooks = SweepHooks() if quiet else SweepHooks(on_stage=live.stage, on_progress=live, on_point=live.point)
    try:
        return await until_interrupted(work(hooks), lambda: False)
    finally:
        live.close()


def shown(path: Path) -> str:
    """A path as a person would type it from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("../..") else relative
