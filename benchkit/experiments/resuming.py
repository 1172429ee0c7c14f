"""Experiments of several runs that can be broken off and go on: their folder, and its status."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchkit.errors import InvalidParameter, RecordError
from benchkit.parameters import AbParameters, SweepParameters, parameters_hash
from benchkit.records import processes
from benchkit.records.project import in_project
from benchkit.records.series import Series


def folder_of(series: Series, parameters: AbParameters | SweepParameters, name: str, **more: Any) -> Path:
    """The folder of an unfinished experiment of the same parameters, as ``resume`` asks, else a new one.

    Args:
        series: what kind of experiment.
        parameters: what it was asked for.
        name: of a new folder.
        more: further entries of a new folder's file.

    Raises:
        InvalidParameter: the folder that ``resume`` names was measured with other parameters.
    """
    out = in_project(parameters.out)
    same = parameters_hash(parameters.model_copy(update={"resume": "auto", "out": "outputs"}))
    if parameters.resume == "auto":
        found = series.unfinished(out, same)
    elif parameters.resume == "never":
        found = None
    else:
        found = series.find(parameters.resume, out)
        if series.read(found)["parameters_hash"] != same:
            raise InvalidParameter(
                f"'resume': {found.name} was measured with other parameters; give the same ones, or "
                "'resume' never to begin anew"
            )
    if found is None:
        return series.create(out, name, parameters.model_dump(mode="json"), same, **more)
    _recover_runs(found)
    return found


@contextlib.contextmanager
def under_way(folder: Path, write: Callable[..., None], **more: Any) -> Iterator[None]:
    """Keeps an experiment's status while the block lasts: running, then complete, interrupted or failed.

    Args:
        folder: the experiment's, in which this process is remembered as its runner.
        write: writes its file, with ``status``.
        more: what is written with the status at the beginning.
    """
    processes.remember(folder, "runner", os.getpid())
    write(status="running", **more)
    try:
        yield
    except asyncio.CancelledError:
        write(status="interrupted")
        raise
    except BaseException:
        write(status="failed")
        raise
    else:
        write(status="complete")
    finally:
        processes.forget(folder)


def _recover_runs(folder: Path) -> None:
    """Finishes what a killed experiment left half-way: it does not count, but nothing measured is lost."""
    from benchkit.experiments.recover import recover
    from benchkit.records import store

    for run in store.list_runs(folder):
        with contextlib.suppress(RecordError, OSError, ValueError):
            recover(run.path)
