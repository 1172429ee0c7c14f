"""Compares two settings from parameters to a folder, or goes on with a comparison that was broken off."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from benchkit.analysis.compared_number import parse_number
from benchkit.errors import InvalidParameter, RecordError
from benchkit.experiments.ab_running import Comparing
from benchkit.experiments.sweeping import SweepHooks
from benchkit.parameters import AbParameters, parameters_hash
from benchkit.records import pairs
from benchkit.records.project import in_project

__all__ = ["SweepHooks", "measure_ab"]


async def measure_ab(parameters: AbParameters, hooks: SweepHooks | None = None) -> Path:
    """Measures two settings in pairs of runs and returns the comparison's folder.

    An unfinished comparison of the same parameters goes on where it ended, see ``resume``; what is complete is not run
    again.

    Raises:
        ParameterError: the parameters make no sense together with the servers.
        BenchkitError: a run failed; what was measured is kept.
    """
    for text in parameters.numbers:
        parse_number(text)
    folder = await asyncio.to_thread(_folder, parameters)
    await Comparing(parameters, folder, hooks or SweepHooks()).run()
    return folder


def _folder(parameters: AbParameters) -> Path:
    """The folder of an unfinished comparison that goes on, else a new one."""
    out, series = in_project(parameters.out), pairs.SERIES
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
        asked = parameters.model_dump(mode="json")
        return series.create(out, parameters.name or "ab", asked, same, looks=[])
    _recover_runs(found)
    return found


def _recover_runs(folder: Path) -> None:
    """Finishes what a killed comparison left half-way: it does not count, but nothing measured is lost."""
    from benchkit.experiments.recover import recover
    from benchkit.records import store

    for run in store.list_runs(folder):
        with contextlib.suppress(RecordError, OSError, ValueError):
            recover(run.path)
