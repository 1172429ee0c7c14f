"""How many requests were in flight, weighted by time."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.columns import RequestColumns
from benchkit.analysis.quantiles import PERCENTILES
from benchkit.analysis.window import Window

Floats = NDArray[np.float64]


def in_flight(columns: RequestColumns, window: Window) -> dict[str, Any]:
    """Statistics of the number of requests between ``sent`` and ``end``, over the window's time.

    Whoever is in flight counts, requests of the warm-up too. ``count`` is the number of requests that were in
    flight at some time in the window. A request without an end counts to the window's end.
    """
    sent = ~np.isnan(columns.sent)
    began, ended = columns.sent[sent], columns.end[sent]
    ended = np.where(np.isnan(ended), math.inf, ended)
    seen = np.zeros(began.size, dtype=np.bool_)
    levels, seconds = [], []
    for part in window.parts:
        there = (began < part.end_ns) & (ended > part.start_ns) & (ended > began)
        seen |= there
        steps = _steps(began[there], ended[there], part)
        levels.append(steps.levels)
        seconds.append(steps.seconds)
    return time_weighted(np.concatenate(levels), np.concatenate(seconds), count=int(seen.sum()))


class _Steps(NamedTuple):
    levels: Floats
    seconds: Floats


def _steps(began: Floats, ended: Floats, part: Window) -> _Steps:
    """How many intervals are open, and for how long, within one unpierced window."""
    began = np.clip(began, part.start_ns, part.end_ns)
    ended = np.clip(ended, part.start_ns, part.end_ns)
    times = np.concatenate(([part.start_ns], began, ended, [part.end_ns]))
    changes = np.concatenate(([0.0], np.ones(began.size), -np.ones(ended.size), [0.0]))
    order = np.argsort(times, kind="stable")
    return _Steps(np.cumsum(changes[order])[:-1], np.diff(times[order]) / 1e9)


def time_weighted(levels: Floats, seconds: Floats, count: int) -> dict[str, Any]:
    """Statistics of a step function: each level counts by the time that it held.

    A percentile is the smallest level that the function did not exceed for that share of the time. ``std`` is
    the function's over time: there is no number of observations, hence no ddof. ``count`` is passed through.
    """
    held = seconds > 0
    levels, seconds = levels[held], seconds[held]
    total = float(seconds.sum())
    names = ("mean", "std", "min", "max", *(name for name, _ in PERCENTILES))
    if total <= 0:
        return {"count": count} | dict.fromkeys(names)
    order = np.argsort(levels, kind="stable")
    levels, seconds = levels[order], seconds[order]
    mean = float(levels @ seconds) / total
    # Sums in ns-sized steps round: a hair of tolerance keeps "held for exactly 99 %" on its level.
    reached = np.cumsum(seconds) / total + 1e-12
    return {
        "count": count,
        "mean": mean,
        "std": math.sqrt(float((levels - mean) ** 2 @ seconds) / total),
        "min": float(levels[0]),
        "max": float(levels[-1]),
    } | {
        name: float(levels[min(int(np.searchsorted(reached, percent / 100.0)), levels.size - 1)])
        for name, percent in PERCENTILES
    }
