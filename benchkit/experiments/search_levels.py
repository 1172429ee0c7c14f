"""What was seen at each load of a search: whether it is enough to believe, and whether it meets the objectives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from scipy import special

from benchkit.analysis.boundary import Sample
from benchkit.analysis.boundary_points import samples_of, value_of
from benchkit.analysis.points import LoadPoint
from benchkit.objectives import Single

Verdict = Literal["meets", "fails", "open"]

MEMORIES = 20
"""Memories of its run that a load must carry before its verdict is believed."""
_MISSES = 5
"""Misses to expect where just the allowed share missed: with fewer, a share says nothing of a percentile."""
_TRIES = 3
_SOME = 100
_PLAIN = 0.001
"""Chance below which a load that seems to fail is not asked any further."""


@dataclass(slots=True)
class Level:
    """One load with all that was measured at it."""

    load: float
    points: list[LoadPoint] = field(default_factory=list)
    samples: dict[Single, list[Sample]] = field(default_factory=dict)

    def take(self, point: LoadPoint, objectives: Sequence[Single]) -> None:
        """Adds a point at this load."""
        self.points.append(point)
        for objective, found in samples_of(point, objectives).items():
            # What varies in a closed loop is its number of streams.
            each = found if point.is_open_loop else [replace(sample, rate=self.load) for sample in found]
            self.samples.setdefault(objective, []).extend(sample for sample in each if sample.count)

    @property
    def count(self) -> int:
        """Requests of the windows."""
        counts = [sum(sample.count for sample in found) for found in self.samples.values()]
        return max(counts, default=sum(point.count or 0 for point in self.points))

    @property
    def memory(self) -> float:
        """The longest memory of its runs, in requests."""
        return max((sample.memory for found in self.samples.values() for sample in found), default=1.0)

    def wanted(self, objectives: Sequence[Single]) -> float:
        """Requests that it must carry to be believed."""
        allowed = [
            self.samples[objective][0].allowed for objective in objectives if self.samples.get(objective)
        ]
        return max([MEMORIES * self.memory, *(_MISSES / share for share in allowed)])

    def verdict(self, objectives: Sequence[Single]) -> Verdict:
        """Whether all objectives are met, as far as this load can be believed."""
        each = [self.verdict_on(objective) for objective in objectives]
        if self.plainly_fails(objectives):
            return "fails"
        if self.count < self.wanted(objectives) and len(self.points) < _TRIES:
            return "open"
        return "fails" if "fails" in each else "meets"

    def verdict_on(self, objective: Single) -> Verdict:
        """Whether one objective is met, believed or not: by the share that missed, else by what points state."""
        found = self.samples.get(objective)
        if found:
            missed = sum(int(sample.misses.sum()) for sample in found)
            return "fails" if missed > found[0].allowed * sum(sample.count for sample in found) else "meets"
        values = [value for point in self.points if (value := value_of(point, objective)) is not None]
        if not values:
            return "open"
        return "meets" if objective.holds(sum(values) / len(values)) else "fails"

    def plainly_fails(self, objectives: Sequence[Single]) -> bool:
        """Whether so many misses would be most unlikely at the boundary.

        More than half where few may miss, whatever the memory (where requests pile up it is as long as the run); else
        by the binomial distribution, each memory taken for one observation.
        """
        return any(self._plainly_fails(objective) for objective in objectives)

    def _plainly_fails(self, objective: Single) -> bool:
        found = self.samples.get(objective)
        if not found:
            return False
        if any(sample.count >= _SOME and sample.share >= (1 + sample.allowed) / 2 for sample in found):
            return True
        count = max(1.0, sum(sample.count for sample in found) / self.memory)
        missed = sum(int(sample.misses.sum()) for sample in found) / self.memory
        if missed <= count * found[0].allowed:
            return False
        chance = special.betainc(missed, max(1e-9, count - missed + 1), found[0].allowed)
        return bool(chance < _PLAIN)


@dataclass(frozen=True, slots=True)
class Bracket:
    """The highest load believed to meet, 0 for none, and the lowest one that does not, infinity for none."""

    low: float
    high: float

    @property
    def is_closed(self) -> bool:
        """Whether both ends are known."""
        return self.low > 0 and math.isfinite(self.high)

    @property
    def ratio(self) -> float:
        """High over low; infinite while it is open."""
        return self.high / self.low if self.low > 0 else math.inf


def bracket(levels: Iterable[Level], objectives: Sequence[Single]) -> Bracket:
    """The bracket by verdicts: below the lowest load that fails.

    A load above that one which meets is not believed: that is chance, or the load below it was.
    """
    judged = [(level.load, level.verdict(objectives)) for level in levels]
    high = min((load for load, verdict in judged if verdict == "fails"), default=math.inf)
    low = max((load for load, verdict in judged if verdict == "meets" and load < high), default=0.0)
    return Bracket(low, high)
