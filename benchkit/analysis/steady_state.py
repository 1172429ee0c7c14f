"""The steady part of a window: without what the load's beginning and its end do to the requests near them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.columns import RequestColumns
from benchkit.analysis.measured import Measured
from benchkit.analysis.window import Window

Floats = NDArray[np.float64]

SETTLING: Final = 3.0
"""Mean latencies from the first request on in which a load settles."""
ENDING: Final = 2.0
"""Mean latencies before the load's end from which on requests see it go."""
SHORTEST: Final = 5.0
"""Mean latencies that a steady part must last."""
_BATCH: Final = 5


class Steady(NamedTuple):
    """The steady part, or why there is none."""

    window: Window | None
    reason: str
    """Empty where there is one."""


def steady_window(measured: Measured) -> Steady:
    """The steady part of each repeat's window, by a rule that does not look at the values.

    It begins when the first wave has ended (the first request of each stream that began together) and three mean
    latencies have gone by since the first request, warm-up included; its last request is sent two mean latencies before
    the load ends. Rules that search the values for a settled state (MSER-5) cut good data and cost coverage: see
    docs/methodology.md.
    """
    columns, window = measured.columns, measured.window
    latencies = measured.values["latency_ms"][columns.in_phase]
    latencies = latencies[~np.isnan(latencies)]
    if not latencies.size:
        return Steady(None, "no request of the window ended")
    latency_ns = float(latencies.mean()) * 1e6
    parts = []
    before = -np.inf
    for part in window.parts:
        sends = columns.sent[(columns.sent >= before) & (columns.sent < part.end_ns)]
        begun = float(sends.min()) if sends.size else float(part.start_ns)
        start = max(part.start_ns, begun + SETTLING * latency_ns, _wave_end(columns, begun, part))
        end = part.end_ns - ENDING * latency_ns
        if end - start < SHORTEST * latency_ns:
            needed = (SETTLING + ENDING + SHORTEST) * latency_ns / 1e9
            return Steady(
                None,
                f"too short for a steady part: warm-up and window together need {needed:.3g} s, "
                f"{SETTLING + ENDING + SHORTEST:g} mean latencies",
            )
        parts.append(Window(round(start), round(end)))
        before = part.end_ns
    return Steady(Window.union(parts), "")


def _wave_end(columns: RequestColumns, begun: float, part: Window) -> float:
    """When the requests that were sent before the first one ended have ended themselves."""
    there = (columns.sent >= begun) & (columns.sent < part.end_ns)
    ends = columns.end[there]
    if not (~np.isnan(ends)).any():
        return begun
    first_end = float(np.nanmin(ends))
    wave = ends[(columns.sent[there] < first_end) & ~np.isnan(ends)]
    # An answer that came by the kernel's clock before the loop's clock said that its request was sent leaves none.
    return float(wave.max(initial=begun))


def mser5(values: Floats) -> int:
    """How many values MSER-5 would cut from the beginning of a series: to draw as a warning, never to cut by.

    The cut that makes the standard error of the rest least, over means of five neighbours, in the first half of the
    series (White, Cobb and Spratt, "A comparison of five steady-state truncation heuristics", 2000).

    Args:
        values: in order of time.
    """
    batches = values.size // _BATCH
    if batches < 4:
        return 0
    means = values[: batches * _BATCH].reshape(batches, _BATCH).mean(axis=1)
    left = np.arange(batches, 0, -1)
    sums, squares = np.cumsum(means[::-1])[::-1], np.cumsum(means[::-1] ** 2)[::-1]
    errors = (squares - sums**2 / left) / left**2
    return int(np.argmin(errors[: batches // 2 + 1])) * _BATCH
