"""Runs a sweep from its parameters to its folder, or goes on with one that was broken off."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from benchkit.errors import InvalidParameter, RecordError
from benchkit.experiments.sweeping import SweepHooks, Sweeping
from benchkit.parameters import SweepParameters, parameters_hash
from benchkit.records import sweeps
from benchkit.records.project import in_project

__all__ = ["SweepHooks", "measure_sweep"]


async def measure_sweep(parameters: SweepParameters, hooks: SweepHooks | None = None) -> Path:
    """Measures every point of a sweep and returns its folder.

    An unfinished sweep of the same parameters goes on where it ended, see ``resume``; what is complete is not run
    again. A point that fails is noted and the next one tried.

    Raises:
        ParameterError: the parameters make no sense together with the server.
        SweepFailed: points failed one after the other, or the first two do not tell the rates of the rest.
        BenchkitError: nothing could be measured at all; the first point's own error.
    """
    folder = await asyncio.to_thread(_folder, parameters)
    sweep = Sweeping(parameters, folder, hooks or SweepHooks())
    await sweep.run()
    return folder


def _folder(parameters: SweepParameters) -> Path:
    """The folder of an unfinished sweep that goes on, else a new one."""
    out = in_project(parameters.out)
    same = parameters_hash(parameters.model_copy(update={"resume": "auto", "out": "outputs"}))
    if parameters.resume == "auto":
        found = sweeps.unfinished(out, same)
    elif parameters.resume == "never":
        found = None
    else:
        found = sweeps.find(parameters.resume, out)
        if sweeps.read(found)["parameters_hash"] != same:
            raise InvalidParameter(
                f"'resume': {found.name} was measured with other parameters; give the same ones, or "
                "'resume' never to begin anew"
            )
    if found is None:
        return sweeps.create(out, parameters.name, parameters.model_dump(mode="json"), same)
    _recover_runs(found)
    return found


def _recover_runs(folder: Path) -> None:
    """Finishes what a killed sweep left half-way: it does not count, but nothing measured is lost."""
    from benchkit.experiments.recover import recover
    from benchkit.records import store

    for run in store.list_runs(folder):
        with contextlib.suppress(RecordError, OSError, ValueError):
            recover(run.path)
