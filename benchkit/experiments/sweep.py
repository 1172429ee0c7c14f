"""Runs a sweep from its parameters to its folder, or goes on with one that was broken off."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchkit.experiments.resuming import folder_of
from benchkit.experiments.sweeping import SweepHooks, Sweeping
from benchkit.parameters import SweepParameters
from benchkit.records import sweeps

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
    folder = await asyncio.to_thread(folder_of, sweeps.SERIES, parameters, parameters.name, cells=[])
    sweep = Sweeping(parameters, folder, hooks or SweepHooks())
    await sweep.run()
    return folder
