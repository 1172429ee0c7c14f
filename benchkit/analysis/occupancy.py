"""How many requests were in flight, weighted by time."""

from __future__ import annotations

import math
from typing import Any

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
    began = columns.sent[~np.isnan(columns.sent)]
    ended = columns.end[~np.isnan(columns.sent)]
    ended = np.where(np.isnan(ended), math.inf, ended)
    there = (began < window.end_ns) & (ended > window.start_ns) & (ended > began)
    began = np.clip(began[there], window.start_ns, window.end_ns)
    ended = np.clip(ended[there], window.start_ns, window.end_ns)
    times = np.concatenate(([window.start_ns], began, ended, [window.end_ns]))
    steps = np.concatenate(([0], np.ones(began.size), -np.ones(ended.size), [0]))
    order = np.argsort(times, kind="stable")
    levels = np.cumsum(steps[order])[:-1]
    return time_weighted(levels, np.diff(times[order]) / 1e9, count=int(began.size))


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
