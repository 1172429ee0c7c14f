"""Brings statistics of other tools into summary.json's names: percentiles, factors, and gaps filled from values."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from benchkit.records.interop.documents import Node

__all__ = ["Statistics", "described", "in_flight", "named", "of_keys"]

Statistics = dict[str, float | None]

_NAMES = {"avg": "mean", "average": "mean", "median": "p50", "std_dev": "std", "stddev": "std"}
_KNOWN = re.compile(r"mean|std|min|max|count|p\d{1,2}(_\d+)?")
_PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}


def named(key: str) -> str | None:
    """Give a statistic's name as of summary.json, or None for what is none: ``median`` is p50, ``p99.9`` p99_9."""
    name = _NAMES.get(key, key).replace(".", "_")
    if name.startswith("p0") and "_" not in name and name[2:].isdigit():
        # GuideLLM: p01 is 1 %, p001 is 0.1 %.
        name = f"p{int(name[2:])}" if len(name) == 3 else f"p0_{name[3:]}"
    elif name == "p999":
        name = "p99_9"
    return name if _KNOWN.fullmatch(name) else None


def of_keys(node: Node, factor: float = 1.0) -> Statistics:
    """Give the statistics in an object whose keys name them; all but the count times a factor."""
    found: Statistics = {}
    for key in node.mapping():
        name = named(key)
        if name is not None:
            value = node.get(key).number()
            found[name] = value if name == "count" or value is None else value * factor
    return found


def described(values: NDArray[np.float64], stated: Mapping[str, float | None]) -> Statistics:
    """Give what a file states of a metric, completed from the values that it also holds.

    Percentiles by linear interpolation. The standard deviation is not completed: its divisor differs by tool.

    Args:
        values: The metric's values; NaN is left out.
        stated: What the file says, which stands.
    """
    values = values[np.isfinite(values)]
    if not values.size:
        return dict(stated)
    found: Statistics = {
        "count": float(values.size),
        "mean": float(values.mean()),
        "min": float(values.min()),
        "max": float(values.max()),
        **{name: float(np.percentile(values, percent)) for name, percent in _PERCENTILES.items()},
    }
    return found | {name: value for name, value in stated.items() if value is not None}


def in_flight(
    ok: int | None, failed: int | None, mean_latency_ms: float | None, length_s: float | None
) -> dict[str, Statistics]:
    """Give the mean number of requests in flight, by Little's law: their latencies' sum over the time.

    Exact where the time holds all requests from beginning to end; so nothing is given where some failed, since
    nobody states how long those took.

    Returns:
        ``{"in_flight": {"mean": …}}``, or nothing.
    """
    if failed or not ok or mean_latency_ms is None or not length_s:
        return {}
    return {"in_flight": {"mean": ok * mean_latency_ms / 1e3 / length_s}}
