"""How a load process behaved: how late it picked reads up, its pauses, its CPU; steps of the wall clock."""

from __future__ import annotations

from array import array
from typing import NamedTuple

import numpy as np

from benchkit.load.run_queue import UNKNOWN
from benchkit.load.tape import TICK_DATA

_STEP_NS = 1_000_000
"""A time service slews by 0.5 ms a second at most; an offset that moves by so much was stepped."""
_PER_OCTAVE = 16
_BINS = 64 * _PER_OCTAVE
_FIRST_TICK_EVERY_NS = 100_000_000
_MOST_TICKS = 2_048
_FIELDS = 4
"""Of a tick that is kept: loop time, CPU, switches, time at the run queue."""
_ENDLESS = 1 << 62


class Usage(NamedTuple):
    """What a load process took in the window."""

    cpu_ns: int
    wall_ns: int
    involuntary_switches: int
    run_queue_ns: int | None
    """Time in which it was ready to run and others ran; None where the platform does not say."""


class Conduct:
    """Grows with what happens, never with how long it lasts; it can be pickled.

    Attributes:
        offset_ns: CLOCK_REALTIME - CLOCK_MONOTONIC as last looked at; 0 before.
        window_ns, window_end_ns: the window, CLOCK_MONOTONIC; its end is the planned one until it is known.
        lag_max_ns: largest pick-up lag of a read in the window.
        clock_step_ns: largest step of the wall clock.
        loop_gap_max_ns: longest time in the window in which the loop was late to turn.
    """

    def __init__(self) -> None:
        self.offset_ns = 0
        self.window_ns = 0
        self.window_end_ns = _ENDLESS
        self.lag_max_ns = 0
        self.clock_step_ns = 0
        self.loop_gap_max_ns = 0
        self._lags = np.zeros(_BINS, dtype=np.int64)
        self._ticks = array("q")
        self._tick_every_ns = _FIRST_TICK_EVERY_NS

    def tick(self, loop_ns: int, data: bytes) -> None:
        """Takes a tick's data in."""
        offset_ns, cpu_ns, switches, late_ns, waited_ns = TICK_DATA.unpack(data)
        if self.offset_ns:
            self.note_step(abs(offset_ns - self.offset_ns))
        self.offset_ns = offset_ns
        if self.window_ns <= loop_ns <= self.window_end_ns:
            self.loop_gap_max_ns = max(self.loop_gap_max_ns, late_ns)
            if not self._ticks or loop_ns - self._ticks[-_FIELDS] >= self._tick_every_ns:
                self._ticks.extend((loop_ns, cpu_ns, switches, waited_ns))
                if len(self._ticks) > _FIELDS * _MOST_TICKS:
                    self._thin_out()

    def note_step(self, size_ns: int) -> None:
        """A stamp or an offset shows that the wall clock was moved."""
        if size_ns > _STEP_NS:
            self.clock_step_ns = max(self.clock_step_ns, size_ns)

    def note_lags(self, lags_ns: list[int]) -> None:
        """Takes pick-up lags of reads in the window in."""
        if lags_ns:
            lags = np.array(lags_ns, dtype=np.int64)
            self.lag_max_ns = max(self.lag_max_ns, int(lags.max()))
            bins = (np.log2(np.maximum(lags, 1)) * _PER_OCTAVE).astype(np.int64)
            self._lags += np.bincount(bins, minlength=_BINS)

    def lag_quantile_ns(self, share: float) -> int | None:
        """A quantile of the pick-up lag, at most 4.5 % above the true one; ``None`` without kernel times."""
        total = int(self._lags.sum())
        if not total:
            return None
        place = int(np.searchsorted(np.cumsum(self._lags), share * total))
        return min(self.lag_max_ns, int(2 ** ((place + 1) / _PER_OCTAVE)))

    def usage(self) -> Usage | None:
        """What the process took between the window's first and last tick; ``None`` with fewer than two."""
        ticks = np.array(self._ticks, dtype=np.int64).reshape(-1, _FIELDS)
        ticks = ticks[ticks[:, 0] <= self.window_end_ns]
        if len(ticks) < 2:
            return None
        wall_ns, cpu_ns, switches, waited_ns = (int(value) for value in ticks[-1] - ticks[0])
        known = ticks[0, 3] != UNKNOWN and ticks[-1, 3] != UNKNOWN
        return Usage(cpu_ns, wall_ns, switches, waited_ns if known else None)

    def _thin_out(self) -> None:
        """Drops every second tick: the window's end is known late, and a run may last for days."""
        ticks = np.array(self._ticks, dtype=np.int64).reshape(-1, _FIELDS)[::2]
        self._ticks = array("q", ticks.tobytes())
        self._tick_every_ns *= 2
