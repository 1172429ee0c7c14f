"""The intervals of a window's metrics and rates, as summary.json holds them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis import repeats
from benchkit.analysis.binned import Binned, TimeBins, binned_events
from benchkit.analysis.estimate import Estimate
from benchkit.analysis.intervals import (
    ENOUGH,
    SHARES,
    Depth,
    mean_estimate,
    percentile_estimates,
    rate_estimate,
    split,
)
from benchkit.analysis.long_run import variance_of_mean
from benchkit.analysis.measured import Measured
from benchkit.analysis.run_memory import memory, memory_of
from benchkit.analysis.send_order import Series
from benchkit.analysis.unfinished import latencies, stated

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Statistics = dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class WindowIntervals:
    """How sure the numbers of a window are."""

    metrics: Mapping[str, Statistics]
    rates: Mapping[str, Estimate]
    depth: Depth
    requests: int
    by: str
    """``run``, ``runs`` (repeats) or ``server starts``: whose spread the intervals come from."""
    runs: int
    variance: Mapping[str, repeats.Variance]
    """Of the means over repeats, by metric; empty for a single run."""
    series: Series
    starts: Sequence[float | None] | None = None
    level: float = 0.95
    unfinished: Mapping[str, int] = field(default_factory=dict)
    """Of latencies, how many requests were not seen to end; then the values are those of Kaplan and Meier."""

    def of_requests(self, per_request: Floats, statistic: str, share: float | None) -> Estimate:
        """A mean or percentile of any number that each request has, as those of the metrics.

        Args:
            per_request: one a row of the request table; NaN where a request has none, ``inf`` where it never gave one.
            statistic: ``mean``, or the percentile's key.
            share: of the percentile; None for the mean.
        """
        values, sizes = self.series.known(per_request)
        if self.by != "run":
            return repeats.between(
                split(values, sizes), self.starts, statistic, self.level, self.depth.independent
            )
        own = Depth(self.depth.memory, min(self.depth.independent, values.size))
        if share is None:
            return mean_estimate(values, sizes, own)
        return percentile_estimates(values, sizes, own, {statistic: share})[statistic]

    def worth_of(self, flags: Floats, *, lasting: bool) -> float:
        """How many independent requests stand behind the share of requests for which something is so.

        Args:
            flags: one a row of the request table: 1 where it is so, 0 where not, NaN where it is not asked.
            lasting: whether what makes it so lasts from request to request as the run's own memory does; else only what
                the flags themselves show counts.
        """
        values, sizes = self.series.known(flags)
        if not values.size:
            return 0.0
        share = float(values.mean())
        scatter = share * (1 - share)
        if scatter == 0:
            return min(values.size, self.depth.independent) if lasting else float(values.size)
        memory_seen = memory([values])
        pieces = split(values, sizes)
        errors = [float(variance_of_mean(pieces)) * self.depth.raised**2]
        if self.by != "run":
            own = np.array([each.mean() for each in pieces])
            errors.append(float(own.var(ddof=1)) / own.size)
        worth = min(values.size / memory_seen, *(scatter / error for error in errors if error > 0))
        if lasting and self.depth.independent < ENOUGH:
            worth = min(worth, self.depth.independent)
        return worth

    def of_metric(self, name: str) -> dict[str, Any]:
        """What the summary's entry of a metric is given: ``ci95``, ``effective`` and, where refused, ``notes``.

        Of latencies of which some were not seen to end also ``unfinished`` and the statistics themselves.
        """
        found = self.metrics.get(name) or {}
        limits = {statistic: _limits(each) for statistic, each in found.items()}
        unit = "ms" if name.endswith("_ms") else ""
        notes = {
            statistic: each.told(unit)
            for statistic, each in found.items()
            if each.note and not limits[statistic]
        }
        told: dict[str, Any] = {"ci95": limits if any(limits.values()) else None}
        effective = found["mean"].effective if "mean" in found else None
        if effective is not None and math.isfinite(effective):
            told["effective"] = effective
        if name in self.unfinished:
            told |= stated(found, self.unfinished[name])
        return told | ({"notes": notes} if notes else {})

    def of_rate(self, name: str) -> dict[str, Any]:
        """What the summary's entry of a rate is given."""
        found = self.rates.get(name)
        if found is None:
            return {"ci95": None}
        return {"ci95": _limits(found)} | ({"note": found.note} if found.note else {})

    def as_dict(self) -> dict[str, Any]:
        """What the intervals of this window rest on."""
        return {
            "level": self.level,
            "by": self.by,
            "runs": self.runs,
            "requests": self.requests,
            "memory_requests": self.depth.memory,
            "effective_requests": self.depth.independent,
            "variance": {
                name: {"within": each.within, "between": each.between} for name, each in self.variance.items()
            },
        }


def window_intervals(
    measured: Measured,
    counts: Mapping[str, Floats],
    starts: Sequence[float | None] | None = None,
    level: float = 0.95,
) -> WindowIntervals:
    """The intervals of every metric and rate.

    From ``repeats.FEWEST`` repeats on they come from the spread between the repeats (or between the starts of the
    server, where there were several), else from the memory inside the run.

    Args:
        measured: the run's records and window.
        counts: what the rates count, of each bin of ``TimeBins.of(measured.window)``.
        starts: for each repeat what identifies the start of its server.
        level: of confidence, of intervals between repeats; more than 0.95 at one of several looks.
    """
    series = Series.of(measured)
    bins = TimeBins.of(measured.window)
    depth = Depth(1.0, 0.0)
    if series.requests:
        tau = memory_of(measured)
        depth = Depth(tau, series.requests / tau)
    events = binned_events(measured, bins) if bins.count else {}
    parts = len(measured.window.parts)
    if parts >= repeats.FEWEST:
        clusters = repeats.clusters_of([True] * parts, starts)
        if len(clusters.groups) >= repeats.FEWEST:
            return _between(measured, series, bins, events, counts, depth, starts, level)
    metrics: dict[str, Statistics] = {}
    for name, (values, sizes) in series.all().items():
        own = Depth(depth.memory, min(depth.independent, values.size))
        metrics[name] = _within(values, sizes, own)
    longest = latencies(series)
    for name, known in longest.items():
        metrics[name] = known.estimates(depth, None, level)
    for name, each in events.items():
        metrics[name] = each.estimates(depth, series.requests)
    if bins.count:
        levels = in_flight_levels(measured, bins)
        share = levels.size / max(series.requests, 1)
        metrics["in_flight"] = _within(levels, bins.sizes, Depth(depth.memory * share, depth.independent))
    rates = {
        name: rate_estimate(each, bins.sizes, measured.window.length_s, depth)
        for name, each in counts.items()
    }
    lost = {name: known.unfinished for name, known in longest.items()}
    return WindowIntervals(metrics, rates, depth, series.requests, "run", parts, {}, series, unfinished=lost)


def in_flight_levels(measured: Measured, bins: TimeBins) -> Floats:
    """How many requests were under way in the middle of each bin."""
    columns = measured.columns
    sent = ~np.isnan(columns.sent)
    ended = np.where(np.isnan(columns.end[sent]), np.inf, columns.end[sent])
    middles = bins.middles_ns
    begun = np.searchsorted(np.sort(columns.sent[sent]), middles, side="right")
    return (begun - np.searchsorted(np.sort(ended), middles, side="right")).astype(np.float64)


def _within(values: Floats, sizes: Sequence[int], depth: Depth) -> Statistics:
    if not values.size:
        return {}
    return {"mean": mean_estimate(values, sizes, depth)} | percentile_estimates(values, sizes, depth)


def _between(
    measured: Measured,
    series: Series,
    bins: TimeBins,
    events: Mapping[str, Binned],
    counts: Mapping[str, Floats],
    depth: Depth,
    starts: Sequence[float | None] | None,
    level: float,
) -> WindowIntervals:
    parts = measured.window.parts
    clusters = repeats.clusters_of([True] * len(parts), starts)
    metrics: dict[str, Statistics] = {}
    variance: dict[str, repeats.Variance] = {}
    by_request = {
        name: np.split(values, np.cumsum(sizes)[:-1]) for name, (values, sizes) in series.all().items()
    }
    if bins.count:
        by_request["in_flight"] = split(in_flight_levels(measured, bins), bins.sizes)
    for name, runs in by_request.items():
        metrics[name] = {
            key: repeats.between(runs, starts, key, level, depth.independent) for key in ("mean", *SHARES)
        }
        known = [each for each in runs if each.size]
        found = repeats.variance_parts(
            [float(each.mean()) for each in known], [float(variance_of_mean([each])) for each in known]
        )
        if found is not None and math.isfinite(found.within):
            variance[name] = found
    longest = latencies(series)
    for name, latency in longest.items():
        metrics[name] = latency.estimates(depth, clusters, level)
    for name, each in events.items():
        metrics[name] = each.between(clusters, series.requests, level, depth.independent)
    lengths = np.array([part.length_s for part in parts])
    rates = {
        name: _rate(split(each, bins.sizes), lengths, clusters, level, depth.independent)
        for name, each in counts.items()
    }
    return WindowIntervals(
        metrics,
        rates,
        depth,
        series.requests,
        clusters.noun,
        len(clusters.groups),
        variance,
        series,
        starts,
        level,
        {name: latency.unfinished for name, latency in longest.items()},
    )


def _rate(
    parts: Sequence[Floats], lengths: Floats, clusters: repeats.Clusters, level: float, worth: float
) -> Estimate:
    totals = np.array([each.sum() for each in parts])
    groups = [list(group) for group in clusters.groups]
    own = np.array([totals[group].sum() / lengths[group].sum() for group in groups])
    rate = float(totals.sum() / lengths.sum())
    return repeats.of_means(rate, own, clusters.noun, level, positive=True, worth=worth)


def _limits(found: Estimate) -> list[float] | None:
    return None if found.interval is None else list(found.interval)
