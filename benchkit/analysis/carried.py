"""What one server carries: the highest load that was seen to meet the objectives, and the one estimated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchkit.analysis.boundary import Boundary
from benchkit.analysis.boundary_points import boundary_of
from benchkit.analysis.limits_of_load import (
    Kind,
    Wall,
    limiting,
    memory_wall,
    objective_wall,
    saturation_wall,
)
from benchkit.analysis.load_levels import Level, highest_that_meets, levels_of
from benchkit.analysis.points import LoadPoint
from benchkit.analysis.server_readings import PrefixHits, prefix_hits_of
from benchkit.objectives import Objective, Single, singles

_WIDEST = 0.5
"""Lower end of an interval over the estimate below which the interval says no more than that little was seen."""


@dataclass(frozen=True, slots=True)
class EstimatedRate:
    """The load at which the lowest of a server's limits is estimated to stand."""

    rate: float
    low: float | None
    """Lower end of its 95 % interval; None where the source allows none."""
    high: float | None
    limited_by: Kind
    extrapolated: bool
    """Whether it lies outside the loads that were measured."""
    resolved: bool
    note: str

    @property
    def safe(self) -> float:
        """The rate to build on: the lower end of the interval where there is one."""
        return self.rate if self.low is None else self.low


@dataclass(frozen=True, slots=True)
class Carried:
    """What one server carries under some objectives, both ways, with what it rests on."""

    objectives: tuple[Single, ...]
    levels: tuple[Level, ...]
    boundaries: tuple[Boundary, ...]
    """Of the objectives that have one, by estimate."""
    walls: tuple[Wall, ...]
    """Saturation, objective, memory, in this order."""
    measured: Level | None
    """The highest level that meets every objective; None when none does."""
    estimated: EstimatedRate | None
    """None when no level meets the objectives, or none of them can be interpolated."""

    hits: PrefixHits | None = None
    """Of the point that owed most to what only this server's prefix cache knew; None where nothing is known."""

    @property
    def points(self) -> tuple[LoadPoint, ...]:
        """The points behind the levels."""
        return tuple(point for level in self.levels for point in level.points)

    @property
    def limit(self) -> Wall | None:
        """The lowest wall that was reached."""
        return limiting(self.walls)


def carried(
    points: Sequence[LoadPoint], objectives: Sequence[Objective], like: Carried | None = None
) -> Carried:
    """What one server carries.

    Args:
        points: of one server and one kind of work, at least one with a rate of answers.
        objectives: all of them must be met.
        like: what the same points carry under other objectives, to spare reading again what the server said.
    """
    asked = singles(objectives)
    levels = levels_of(points, asked)
    kept = [point for level in levels for point in level.points]
    found = [boundary_of(kept, objective) for objective in asked]
    boundaries = tuple(each for each in found if each is not None)
    lowest = min(boundaries, key=lambda each: each.rate, default=None)
    unbounded = _lowest_unbounded(levels, found)
    if lowest is not None and unbounded is not None and unbounded < lowest.rate:
        lowest = None
    memory = like.walls[2] if like is not None else memory_wall(levels)
    walls = (saturation_wall(levels), objective_wall(levels, lowest), memory)
    measured = highest_that_meets(levels)
    estimated = None
    if measured is not None and lowest is not None:
        estimated = _estimated(walls, lowest)
    hits = like.hits if like is not None else _worst_hits(kept)
    return Carried(asked, levels, boundaries, walls, measured, estimated, hits)


def _worst_hits(points: Sequence[LoadPoint]) -> PrefixHits | None:
    found = [hits for point in points if (hits := prefix_hits_of(point)) is not None]
    return max(found, key=lambda hits: hits.share - hits.common, default=None)


def _lowest_unbounded(levels: Sequence[Level], found: Sequence[Boundary | None]) -> float | None:
    """The lowest load that misses an objective of which no boundary could be estimated."""
    rates = [
        level.requests_per_s
        for level in levels
        if level.is_steady
        for judged, boundary in zip(level.judged, found, strict=True)
        if boundary is None and not judged.holds
    ]
    return min(rates, default=None)


def _estimated(walls: Sequence[Wall], lowest: Boundary) -> EstimatedRate:
    """The boundary, unless saturation or memory stands below it."""
    others = [wall for wall in walls if wall.kind != "objective" and wall.reached and wall.rate is not None]
    wall = min(others, key=lambda each: each.rate or math.inf, default=None)
    wide = lowest.low is not None and lowest.low < _WIDEST * lowest.rate
    sure = None if wide else lowest.low
    if wall is None or wall.rate is None or wall.rate >= lowest.rate:
        reach = (
            f"its 95 % interval reaches down to {lowest.low:.2g} requests/s, too far to count with"
            if wide
            else ""
        )
        return EstimatedRate(
            lowest.rate,
            sure,
            None if wide else lowest.high,
            "objective",
            lowest.extrapolated,
            lowest.resolved and not wide,
            "; ".join(filter(None, [reach, lowest.note])),
        )
    low = wall.low if sure is None or wall.low is None else min(wall.low, sure)
    return EstimatedRate(
        wall.rate, low, wall.high, wall.kind, extrapolated=False, resolved=low is not None, note=wall.evidence
    )
