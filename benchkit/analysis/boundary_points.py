"""The boundary of an objective among measured points: from their requests if they have them, else from figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from benchkit.analysis.boundary import Boundary, Sample, fit_boundary
from benchkit.analysis.measured import Measured
from benchkit.analysis.misses import misses_in
from benchkit.analysis.points import LoadPoint
from benchkit.analysis.recorded import measured_of
from benchkit.analysis.run_memory import memory_of
from benchkit.analysis.window import Window
from benchkit.objectives import (
    AllOf,
    AttainmentObjective,
    Objective,
    RateObjective,
    Single,
    StatisticObjective,
    singles,
)

_OPEN = frozenset({"constant", "poisson", "gamma"})
_CHANCE = 4.0
"""Standard deviations of a Poisson count within which a rate is the one that was asked for."""


def boundary_of(points: Sequence[LoadPoint], objective: Objective) -> Boundary | None:
    """The highest rate that meets an objective; of several joined by "and" the lowest of theirs.

    By a local fit to who missed it, with an interval, where points have requests. Without requests, and for means,
    by a straight line in the statistic between the last point that meets and the first that fails, without an interval.
    Saturated points and those at full throughput show no steady state and do not enter.

    Args:
        points: loads on one server.
        objective: a parsed one.

    Returns:
        None where the points do not say: all of them meet it, or none does.
    """
    steady = [
        point
        for point in points
        if not point.saturated and point.load != "throughput" and point.requests_per_s is not None
    ]
    if isinstance(objective, AllOf):
        found = [_boundary_of_one(steady, part) for part in singles(objective)]
        return min((each for each in found if each is not None), key=lambda each: each.rate, default=None)
    return _boundary_of_one(steady, objective)


def samples_of(point: LoadPoint, objectives: Sequence[Single]) -> dict[Single, list[Sample]]:
    """Who missed each of some objectives in a point that has requests, one sample for each repeat of its window.

    Objectives that are not about a share of requests (see ``misses_in``) have none.
    """
    if point.records is None:
        return {}
    measured = measured_of(point.records)
    remembered = memory_of(measured)
    found: dict[Single, list[Sample]] = {}
    for objective in objectives:
        misses = misses_in(objective, measured)
        if misses is None:
            continue
        at_ns = misses.times_s * 1e9 + measured.window.start_ns
        found[objective] = [
            Sample(
                rate=_load_of(point, measured, part),
                misses=misses.flags[part.holds(at_ns)],
                allowed=misses.allowed,
                memory=remembered,
                statistic=_measured_statistic(measured, objective),
                name=point.name,
            )
            for part in measured.window.parts
        ]
    return found


def _measured_statistic(measured: Measured, objective: Single) -> float | None:
    """The percentile that an objective bounds, over all of a point's window."""
    if not statistic_name(objective) or not isinstance(objective, StatisticObjective):
        return None
    sample, quantile = measured.samples[objective.metric], objective.quantile
    return sample.percentile(100.0 * quantile) if quantile is not None and sample.total else None


def statistic_name(objective: Single) -> str:
    """What an objective bounds, as it is said: ``p99 ttft``; empty where it bounds a share, or the bound grows."""
    if not isinstance(objective, StatisticObjective) or objective.per_token:
        return ""
    return f"{objective.statistic.replace('_', '.')} {objective.metric.removesuffix('_ms')}"


def value_of(point: LoadPoint, objective: Single) -> float | None:
    """What a point states of the quantity that an objective bounds; None where it does not state it."""
    if isinstance(objective, StatisticObjective):
        return None if objective.per_token else point.statistic(objective.metric, objective.statistic)
    if isinstance(objective, AttainmentObjective):
        return None
    if objective.name not in ("error_rate", "shed_rate"):
        return point.rate_of(objective.name)
    counts = point.summary.get("requests", {})
    kinds = [counts.get(kind) for kind in ("ok", "failed", "shed")]
    if any(kind is None for kind in kinds) or not sum(kinds):
        return None
    return float(counts["failed" if objective.name == "error_rate" else "shed"] / sum(kinds))


def _load_of(point: LoadPoint, measured: Measured, part: Window) -> float:
    """Requests a second: of an open loop as asked, unless they came otherwise than by chance; else as they were served.

    What came by chance is no other load: within a short run it goes with the misses that it brought, and would bend
    the fit.
    """
    columns = measured.columns
    came = np.where(np.isnan(columns.scheduled), columns.sent, columns.scheduled)
    came = came[part.holds(came)]
    if point.load not in _OPEN and not point.is_open_loop:
        return int((columns.ok & part.holds(columns.end)).sum()) / part.length_s
    if came.size < 2 or came.max() == came.min():
        return point.rate or 0.0
    realised = float(came.size - 1) / float(came.max() - came.min()) * 1e9
    by_chance = point.rate and abs(realised / point.rate - 1) <= _CHANCE / math.sqrt(came.size)
    return point.rate if by_chance and point.rate else realised


def _boundary_of_one(steady: Sequence[LoadPoint], objective: Single) -> Boundary | None:
    fitted = _fitted(steady, objective)
    if fitted is not None and not fitted.extrapolated:
        return fitted
    return _interpolated(steady, objective) or fitted


def _fitted(steady: Sequence[LoadPoint], objective: Single) -> Boundary | None:
    """By the requests: of open loops, where there are two of them, else of all loads alike."""
    with_requests = [point for point in steady if point.records is not None]
    opened = [point for point in with_requests if point.is_open_loop]
    kind = opened if len({point.rate for point in opened}) > 1 else with_requests
    samples = [sample for point in kind for sample in samples_of(point, [objective]).get(objective, [])]
    usable = [sample for sample in samples if sample.rate > 0]
    return fit_boundary(usable, objective=str(objective), statistic=statistic_name(objective))


class _Level(NamedTuple):
    """One load with its repeats."""

    rate: float
    value: float
    requests: int


def _levels(steady: Sequence[LoadPoint], objective: Single) -> list[_Level]:
    """Means over the repeats of each load, by rising achieved rate."""
    groups: dict[tuple[object, ...], list[_Level]] = {}
    for point in steady:
        rate, value = point.requests_per_s, value_of(point, objective)
        if rate is not None and value is not None and math.isfinite(value):
            key: tuple[object, ...] = (point.load, point.rate, point.concurrency)
            key = key if any(key) else (point.name,)
            groups.setdefault(key, []).append(_Level(rate, value, point.count or 0))
    levels = [
        _Level(
            float(np.mean([each.rate for each in group])),
            float(np.mean([each.value for each in group])),
            sum(each.requests for each in group),
        )
        for group in groups.values()
    ]
    return sorted(levels)


def _interpolated(steady: Sequence[LoadPoint], objective: Single) -> Boundary | None:
    """On a straight line between the last level that meets and the first that fails."""
    if isinstance(objective, AttainmentObjective):
        return None
    levels = _levels(steady, objective)
    for before, after in pairwise(levels):
        if not objective.holds(before.value) or objective.holds(after.value):
            continue
        share = (objective.bound - before.value) / (after.value - before.value)
        rate = before.rate + share * (after.rate - before.rate)
        notes = ["interpolated between two points, without an interval"]
        if any(objective.holds(level.value) for level in levels if level.rate > after.rate):
            notes.append("points at higher rates meet it again: which is chance, these figures do not tell")
        return Boundary(
            rate=rate,
            low=None,
            high=None,
            elasticity=_elasticity(before, after),
            objective=str(objective),
            method="interpolated",
            extrapolated=False,
            resolved=False,
            note="; ".join(notes),
            elasticity_of=statistic_name(objective)
            or (objective.name if isinstance(objective, RateObjective) else ""),
            requests=before.requests + after.requests,
        )
    return None


def _elasticity(before: _Level, after: _Level) -> float | None:
    values = before.value, after.value, before.rate, after.rate
    if min(values) <= 0 or before.rate == after.rate:
        return None
    return math.log(after.value / before.value) / math.log(after.rate / before.rate)
