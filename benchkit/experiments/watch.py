"""Ends a load early once requests clearly pile up in the server."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from benchkit.load.launch import Launcher
from benchkit.load.progress import Progress

if TYPE_CHECKING:
    from benchkit.analysis.saturation import Trend

SATURATED = "saturated"
"""Why such a load ended, in the manifest's ``load.stopped_by``."""
_ALPHA = 0.0005
"""Far below the test of a whole window: it is asked again and again while the load runs."""
_GROWTH = 0.5
_LEAST_S = 10.0
_LOOK_EVERY_S = 2.0
_TWICE = 2


class SaturationWatch:
    """Sees how a load goes, and stops it once in-flight requests and TTFT have both grown beyond doubt.

    Args:
        skip_s: seconds at the load's start that do not count: the warm-up.
    """

    def __init__(self, skip_s: float) -> None:
        # Loaded now: while the load runs, the time that it takes would be the measurement's.
        importlib.import_module("benchkit.analysis.saturation")
        self._skip_s = skip_s
        self._launcher: Launcher | None = None
        self._rows: list[tuple[float, float, float]] = []
        self._looked_s = 0.0
        self._alarms = 0

    def start(self, launcher: Launcher) -> None:
        """Takes the load that begins."""
        self._launcher = launcher
        self._rows.clear()
        self._looked_s, self._alarms = 0.0, 0

    def progress(self, state: Progress) -> None:
        """Takes a state of the load in, and stops it where it is clear."""
        at_s = state.elapsed_s - self._skip_s
        if at_s <= 0 or state.ttft_ms is None:
            return
        self._rows.append((at_s, float(state.in_flight), state.ttft_ms))
        if at_s < _LEAST_S or at_s - self._looked_s < _LOOK_EVERY_S:
            return
        self._looked_s = at_s
        self._alarms = self._alarms + 1 if self._piles_up() else 0
        if self._alarms >= _TWICE and self._launcher is not None:
            self._launcher.stop(SATURATED)
            self._launcher = None

    def _piles_up(self) -> bool:
        import numpy as np

        from benchkit.analysis.saturation import BATCHES, trend

        rows = np.array(self._rows)
        span_s = float(rows[-1, 0])
        batch = np.minimum((rows[:, 0] / span_s * BATCHES).astype(int), BATCHES - 1)
        counts = np.bincount(batch, minlength=BATCHES)
        with np.errstate(invalid="ignore", divide="ignore"):
            lines = [
                trend(np.bincount(batch, weights=rows[:, column], minlength=BATCHES) / counts, span_s)
                for column in (1, 2)
            ]
        return all(line is not None and _is_clear(line) for line in lines)


def _is_clear(line: Trend) -> bool:
    return line.p < _ALPHA and line.growth > _GROWTH
