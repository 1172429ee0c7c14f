"""How sure a statistic of a load is: its value with a band, and what the band means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.binomial import Z95, needed_for, quantile_ranks
from benchkit.analysis.points import LoadPoint, Records
from benchkit.analysis.quantiles import Sample
from benchkit.analysis.recorded import measured_of
from benchkit.analysis.repeats import FEWEST, between
from benchkit.report.precision import doubt, limits_of
from benchkit.report.sweep_loads import Load

Kind = Literal["runs", "interval", "independent", ""]

METRICS: Final = ("ttft_ms", "latency_ms", "itl_ms", "tpot_ms")
"""The metrics that have bands."""

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
"""The percentiles that have bands, as shares."""
_OF_EVENTS: Final = frozenset({"itl_ms"})
_GRID: Final = 1_000

MEANING: Final[Mapping[Kind, str]] = {
    "runs": "bands: 95 % intervals from the spread between repeats",
    "interval": "bands: 95 % intervals of the runs; a number without one is not resolved",
    "independent": "bands: 95 % limits as if requests were independent; the truth is less sure than that",
}
"""What to write under a chart that has bands of a kind."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """A statistic of a metric under one load."""

    value: float
    low: float | None
    high: float | None
    kind: Kind
    """What the band is made of; empty where there is none."""
    resolved: bool
    """Whether so many requests carry this statistic at all."""
    requests: int | None


def statistic(load: Load, metric: str, name: str) -> Statistic | None:
    """A statistic of all repeats of a load with its band; None where the source has no such number.

    Percentiles of several runs come from their requests together, where all have them: an average of the runs'
    own percentiles would be biased. The band is the interval from the spread of three repeats or more, else that of
    the run's summary; of a file without one what as many independent requests would leave.

    Args:
        load: the load.
        metric: one of ``METRICS``.
        name: ``mean``, ``p50``, ``p90``, ``p95`` or ``p99``.
    """
    stated = [point.statistic(metric, name) for point in load.points]
    known = [value for value in stated if value is not None]
    if not known:
        return None
    count = load.count
    carried = name == "mean" or count is None or count >= needed_for(QUANTILES[name])
    if len(known) == 1:
        low, high, kind = _within(load.first, metric, name)
        resolved = carried and not doubt(metric, _entry(load.first, metric), name)
        return Statistic(known[0], low, high, kind if low is not None else "", resolved, count)
    value = _pooled(load, metric, name, known)
    limits = _of_runs(load, metric, name)
    if limits is not None:
        return Statistic(value, *limits, "runs", carried, count)
    return Statistic(value, None, None, "", carried and len(known) < FEWEST, count)


def _entry(point: LoadPoint, metric: str) -> Mapping[str, Any]:
    entry: Mapping[str, Any] = (point.summary["windows"].get("whole") or {}).get("metrics", {}).get(
        metric
    ) or {}
    return entry


def _of_runs(load: Load, metric: str, name: str) -> tuple[float, float] | None:
    """The interval that the spread of the repeats gives; None where records are missing, or repeats."""
    records = [point.records for point in load.points]
    if any(each is None for each in records):
        return None
    runs = [_values(each, metric) for each in records if each is not None]
    starts = [(each.manifest.get("server") or {}).get("started_at") for each in records if each is not None]
    return between(runs, starts, name).interval


def _values(records: Records, metric: str) -> NDArray[np.float64]:
    if metric in _OF_EVENTS:
        return _grid(records, metric).values
    measured = measured_of(records)
    return measured.values[metric][measured.columns.in_phase]


def _within(point: LoadPoint, metric: str, name: str) -> tuple[float | None, float | None, Kind]:
    entry = _entry(point, metric)
    told = limits_of(entry, name)
    if told is not None:
        rests_on = (point.summary["windows"]["whole"].get("intervals") or {}).get("by", "run")
        return *told, "interval" if rests_on == "run" else "runs"
    if "notes" in entry:
        return None, None, ""
    if name == "mean":
        return _mean_limits(point, entry, metric)
    if point.records is None:
        return None, None, ""
    low, high = _digest(point.records).get((metric, name), (None, None))
    return (low, high, "independent") if low is not None and high is not None else (None, None, "")


def _mean_limits(
    point: LoadPoint, entry: Mapping[str, Any], metric: str
) -> tuple[float | None, float | None, Kind]:
    count = point.count if metric in _OF_EVENTS else entry.get("count")
    if not count or count < 2 or entry.get("std") is None:
        return None, None, ""
    half = Z95 * float(entry["std"]) / math.sqrt(count)
    return max(float(entry["mean"]) - half, 0.0), float(entry["mean"]) + half, "independent"


def _pooled(load: Load, metric: str, name: str, known: list[float]) -> float:
    """A statistic of several runs' requests together; of the runs' own values where requests are missing."""
    if name == "mean":
        counts = [point.count or 0 for point in load.points]
        whole = all(counts) and len(counts) == len(known)
        weights = np.asarray(counts if whole else [1] * len(known), dtype=np.float64)
        return float(np.average(known, weights=weights))
    grids = [_grid(point.records, metric) for point in load.points if point.records is not None]
    values = np.concatenate([grid.values for grid in grids] or [np.empty(0)])
    if len(grids) < len(load.points) or not values.size:
        return float(np.mean(known))
    heft = np.concatenate([np.full(grid.values.size, grid.weight) for grid in grids])
    order = np.argsort(values)
    shares = np.cumsum(heft[order]) - heft[order] / 2
    return float(np.interp(QUANTILES[name] * heft.sum(), shares, values[order]))


@dataclass(frozen=True, slots=True)
class _Grid:
    """Quantiles in the middles of equal shares, as a stand-in for a sample, each of the same weight."""

    values: NDArray[np.float64]
    weight: float


_grids: WeakKeyDictionary[Records, dict[str, _Grid]] = WeakKeyDictionary()


def _grid(records: Records, metric: str) -> _Grid:
    found = _grids.setdefault(records, {})
    if metric not in found:
        sample = measured_of(records).samples[metric]
        count = min(_GRID, sample.total)
        shares = (np.arange(count) + 0.5) / max(count, 1) * 100.0
        values = np.array([sample.percentile(float(share)) for share in shares])
        found[metric] = _Grid(values, sample.total / max(count, 1))
    return found[metric]


Limits = dict[tuple[str, str], tuple[float | None, float | None]]
"""By metric and percentile: the order statistics that bracket it."""

_digests: WeakKeyDictionary[Records, Limits] = WeakKeyDictionary()


def _digest(records: Records) -> Limits:
    """The limits of a run's percentiles, found once: several charts ask for them, and records are large."""
    found = _digests.get(records)
    if found is None:
        found = _digests[records] = _make(records)
    return found


def _make(records: Records) -> Limits:
    measured = measured_of(records)
    samples = {name: measured.samples[name] for name in METRICS if measured.samples[name].total}
    requests = int((measured.columns.ok & measured.columns.in_phase).sum())
    return {
        (metric, name): _limits(sample, requests if metric in _OF_EVENTS else sample.total, quantile)
        for metric, sample in samples.items()
        for name, quantile in QUANTILES.items()
    }


def _limits(sample: Sample, independent: int, quantile: float) -> tuple[float | None, float | None]:
    """The order statistics of a 95 % interval; those of events lie where those of as many requests would."""
    independent = min(independent, sample.total)
    if not independent:
        return None, None
    ranks, scale = quantile_ranks(independent, quantile), sample.total / independent
    low = None if ranks.low is None else sample.order_statistic(int(ranks.low * scale))
    top = None if ranks.high is None else min(int((ranks.high + 1) * scale) - 1, sample.total - 1)
    return low, None if top is None else sample.order_statistic(top)


def kinds(found: list[Statistic]) -> list[str]:
    """What the bands of a chart mean, a sentence for each kind that is in it."""
    there: list[Kind] = [kind for kind in ("runs", "interval", "independent") if _has(found, kind)]
    return [f"other {MEANING[kind]}" if place else MEANING[kind] for place, kind in enumerate(there)]


def _has(found: list[Statistic], kind: Kind) -> bool:
    return any(one.kind == kind for one in found)
