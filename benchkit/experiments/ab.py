"""Compares two settings from parameters to a folder, or goes on with a comparison that was broken off."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchkit.analysis.compared_number import parse_number
from benchkit.experiments.ab_running import Comparing
from benchkit.experiments.resuming import folder_of
from benchkit.experiments.sweeping import SweepHooks
from benchkit.parameters import AbParameters
from benchkit.records import pairs

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
    name = parameters.name or "ab"
    folder = await asyncio.to_thread(folder_of, pairs.SERIES, parameters, name, looks=[])
    await Comparing(parameters, folder, hooks or SweepHooks()).run()
    return folder
