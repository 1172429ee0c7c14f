"""Measured points as levels of load: repeats together, in order of what was served, judged by objectives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchkit.analysis.points import LoadPoint
from benchkit.analysis.slo import Evaluation
from benchkit.analysis.slo_stated import evaluate_points
from benchkit.objectives import Single


@dataclass(frozen=True, slots=True)
class Judged:
    """What a level's values say of one objective."""

    objective: str
    value: float | None
    """The least favourable of the repeats; None where a repeat has no value."""
    unit: str
    holds: bool
    """Whether each repeat's value meets the bound, whatever its sample can tell."""
    resolved: bool
    """Whether each repeat's sample is large enough to tell."""
    unknown: bool
    """Whether the source does not have what the objective bounds."""
    note: str
    """Why a sample cannot tell."""


@dataclass(frozen=True, slots=True)
class Level:
    """One load on one server, with all its repeats."""

    points: tuple[LoadPoint, ...]
    requests_per_s: float
    """Mean over the repeats of the requests that ended well, per second."""
    judged: tuple[Judged, ...] = ()

    @property
    def label(self) -> str:
        """The load as a person names it: ``4.76 requests/s (constant)``, ``16 streams``, ``throughput``."""
        point = self.points[0]
        if point.rate is not None:
            return f"{point.rate:g} requests/s" + (f" ({point.load})" if point.load else "")
        if point.load in ("synchronous", "throughput"):
            return point.load
        return f"{point.concurrency} streams" if point.concurrency else point.name

    @property
    def saturated(self) -> bool:
        """Whether requests piled up in one of its repeats: it shows no steady state."""
        return any(point.saturated for point in self.points)

    @property
    def is_steady(self) -> bool:
        """Whether it shows what a server does for long: not saturated, nor at full throughput."""
        return not self.saturated and self.points[0].load != "throughput"

    @property
    def meets(self) -> bool:
        """Whether the values of every repeat meet every objective, and the level is a steady state."""
        return not self.saturated and all(each.holds for each in self.judged)

    @property
    def requests(self) -> int | None:
        """Requests of the smallest repeat; None where one does not say."""
        counts = [point.count for point in self.points]
        known = [count for count in counts if count is not None]
        return min(known) if len(known) == len(counts) else None

    def mean(self, metric: str, statistic: str = "mean") -> float | None:
        """A statistic's mean over the repeats; None where one lacks it."""
        return _mean([point.statistic(metric, statistic) for point in self.points])

    def rate_of(self, name: str) -> float | None:
        """A rate's mean over the repeats; None where one lacks it."""
        return _mean([point.rate_of(name) for point in self.points])


def levels_of(points: Sequence[LoadPoint], objectives: Sequence[Single]) -> tuple[Level, ...]:
    """The levels of load that some points measured, lowest first.

    Points of the same load are repeats of one level. Points without a rate of answers are left out.

    Args:
        points: of one server setting.
        objectives: what to judge them by.
    """
    groups: dict[tuple[str, float | None, int | None], list[LoadPoint]] = {}
    for point in points:
        if point.requests_per_s is not None:
            groups.setdefault((point.load, point.rate, point.concurrency), []).append(point)
    levels = [_level(tuple(group), objectives) for group in groups.values()]
    return tuple(sorted(levels, key=lambda level: level.requests_per_s))


def highest_that_meets(levels: Iterable[Level]) -> Level | None:
    """The highest level that meets every objective; None when none does."""
    return max(
        (level for level in levels if level.meets), key=lambda level: level.requests_per_s, default=None
    )


def _level(points: tuple[LoadPoint, ...], objectives: Sequence[Single]) -> Level:
    served = _mean([point.requests_per_s for point in points])
    assert served is not None
    found = [evaluate_points(objectives, point) for point in points] if objectives else []
    judged = tuple(
        _judged(objective, [repeat[at] for repeat in found]) for at, objective in enumerate(objectives)
    )
    return Level(points, served, judged)


def _judged(objective: Single, found: Sequence[Evaluation]) -> Judged:
    known = [each.value for each in found if each.value is not None]
    worst = None
    if len(known) == len(found):
        worst = max(known) if objective.is_upper else min(known)
    notes = dict.fromkeys(each.note for each in found if each.note and each.verdict == "undecided")
    return Judged(
        objective=objective.text,
        value=worst,
        unit=found[0].unit,
        holds=all(each.holds for each in found),
        resolved=all(each.verdict != "undecided" for each in found),
        unknown=all(each.holds is None for each in found),
        note="; ".join(notes),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if values and len(known) == len(values) else None
