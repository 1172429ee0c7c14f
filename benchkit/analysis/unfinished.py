"""The latencies of a window with those requests that were not seen to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.estimate import Estimate
from benchkit.analysis.intervals import Depth
from benchkit.analysis.repeats import Clusters
from benchkit.analysis.send_order import Series
from benchkit.analysis.survival import Seen, censored_between, censored_estimates

Floats = NDArray[np.float64]

LATENCIES: Final = ("latency_ms", "latency_from_schedule_ms")
"""Metrics to which a request that was not seen to end says something: how long it lasted at least."""
_NS_PER_MS: Final = 1e6


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latencies in the order in which requests were sent."""

    seen: Seen
    sizes: tuple[int, ...]
    """How many each repeat has."""

    @property
    def runs(self) -> list[Seen]:
        """Those of each repeat."""
        ends = np.cumsum(self.sizes)
        return [
            Seen(self.seen.values[end - size : end], self.seen.ended[end - size : end])
            for end, size in zip(ends, self.sizes, strict=True)
        ]

    @property
    def unfinished(self) -> int:
        """Requests that were not seen to end."""
        return int((~self.seen.ended).sum())

    def estimates(self, depth: Depth, clusters: Clusters | None, level: float) -> dict[str, Estimate]:
        """Mean and percentiles, of which the values are those of Kaplan and Meier.

        Args:
            depth: of the run, or of all repeats together.
            clusters: of repeats whose spread the intervals come from; None = from the memory inside the run.
            level: of confidence of intervals between repeats.
        """
        if clusters is not None:
            return censored_between(self.runs, clusters, level, depth.independent)
        own = Depth(depth.memory, min(depth.independent, self.seen.values.size))
        return censored_estimates(self.seen, self.sizes, own)


def latencies(series: Series) -> dict[str, Latencies]:
    """Of each latency all that is known of the window's requests; empty where every one was seen to end, or to fail."""
    measured = series.measured
    columns, order = measured.columns, series.order
    lost = (columns.censored & columns.in_phase)[order]
    if not lost.any():
        return {}
    watched = _watched_until(series)
    begins = {"latency_ms": columns.sent, "latency_from_schedule_ms": columns.scheduled}
    found = {}
    for name in LATENCIES:
        values = np.where(lost, (watched - begins[name][order]) / _NS_PER_MS, measured.values[name][order])
        known = ~np.isnan(values)
        if not (known & ~lost).any():
            continue
        sizes = np.bincount(series.part[known], minlength=len(measured.window.parts))
        found[name] = Latencies(Seen(values[known], ~lost[known]), tuple(int(size) for size in sizes))
    return found


def _watched_until(series: Series) -> Floats:
    """For each request the last thing that was seen in its repeat: whoever had no end then was still under way."""
    columns = series.measured.columns
    stamps = [columns.sent, columns.first_token, columns.last_token, columns.end]
    latest = np.fmax.reduce([each[series.order] for each in stamps])
    last = np.full(len(series.measured.window.parts), -np.inf)
    np.maximum.at(last, series.part, latest)
    return last[series.part]


def stated(estimates: Mapping[str, Estimate], unfinished: int) -> dict[str, float | int | None]:
    """What replaces the statistics of those that ended alone in a summary's entry."""
    return {"unfinished": unfinished} | {key: each.value for key, each in estimates.items()}
