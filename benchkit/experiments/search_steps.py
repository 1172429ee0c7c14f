"""Which load a search measures next, for how long, and when it is over; it measures nothing itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchkit.analysis.boundary import SPAN, Boundary, fit_boundary
from benchkit.analysis.boundary_points import boundary_of, statistic_name
from benchkit.analysis.points import LoadPoint
from benchkit.errors import InvalidParameter
from benchkit.experiments.search_levels import Bracket, Level, bracket
from benchkit.objectives import Single, parse, singles

Phase = Literal["bracket", "refine"]

_NEAR = 1.3
"""High over low of a bracket from which on a fit says more than verdicts do."""
_BELOW, _ABOVE = math.log(0.98), math.log(1.15)
"""From the estimate to the loads measured round it. The lower one tells where the boundary is, best when it is close;
the upper one, where misses are many, tells the slope at little cost. Far below, hardly anyone misses."""
_SHARE_BELOW, _SHARE_UNSURE = 0.6, 0.5
"""Of the requests; the second while the slope is not sure."""
_SLACK = 1.05
_CLOSE = 1.15
"""High over low below which bisecting further leads nowhere."""
_MOST_ASKED = 5
_MOST_LEVELS, _MOST_MEASUREMENTS = 14, 80
_GROWTH = (0.3, 0.45)
"""What one more measurement adds, as a share of the requests that the fit rests on: least and most."""


@dataclass(frozen=True, slots=True)
class SearchAsk:
    """What a search is asked."""

    objectives: tuple[Single, ...]
    start: float
    """The load to begin at: requests per second, or streams."""
    step: float = 2.0
    """Factor from one load to the next while all meet or all fail; 1.2 around a start that is nearly known."""
    lowest: float = 0.0
    highest: float = math.inf
    half_width: float = 0.10
    """Of the interval, relative to the estimate, at which the search stops."""
    budget_s: float = 3600.0
    """Server time that it may take, warm-ups included."""
    probe_s: float = 10.0
    """The shortest window."""
    overhead_s: float = 3.0
    """What a measurement takes beside its window: warm-up, settling."""
    streams: bool = False
    """Whether the load is a number of streams, a whole one."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("start", "half_width", "budget_s", "probe_s"):
            if getattr(self, name) <= 0:
                raise InvalidParameter(f"'{name}' of a search is {getattr(self, name):g}; give more than 0")
        if self.step <= 1:
            raise InvalidParameter(f"'step' of a search is {self.step:g}; give more than 1")
        if not self.objectives:
            raise InvalidParameter("a search needs an objective in 'slo', such as 'p99 ttft < 200ms'")

    @classmethod
    def of(cls, slo: str | Sequence[str], start: float, **more: Any) -> SearchAsk:
        """The ask for objectives as they are written.

        Args:
            slo: one text or several.
            start: the load to begin at.
            more: further fields.

        Raises:
            ParameterError: an objective does not parse, or a value is out of its range.
        """
        texts = [slo] if isinstance(slo, str) else slo
        return cls(objectives=singles(parse(text) for text in texts), start=start, **more)

    @property
    def unit(self) -> str:
        """Of loads."""
        return "streams" if self.streams else "requests/s"


@dataclass(frozen=True, slots=True)
class Probe:
    """One measurement that a search wants."""

    load: float
    duration_s: float
    """Of the window."""
    seed: int
    phase: Phase
    why: str


class Steps:
    """The course of a search: ``next`` says what to measure, ``take`` is told what came of it."""

    def __init__(self, ask: SearchAsk) -> None:
        self.ask = ask
        self.levels: dict[float, Level] = {}
        self.spent_s = 0.0
        self.note = ""
        self._refined: list[float] = []
        self._seed = ask.seed
        self._boundaries: dict[Single, Boundary | None] = {}

    def next(self) -> Probe | None:
        """The next measurement; None when the search is over, see ``note`` for why."""
        if len(self.points) >= _MOST_MEASUREMENTS:
            self.note = (
                f"no answer after {_MOST_MEASUREMENTS} measurements: longer ones are needed ('probe_s')"
            )
            return None
        found = bracket(self.levels.values(), self.ask.objectives)
        opened = [level for level in self.levels.values() if level.verdict(self.ask.objectives) == "open"]
        if opened and not self._refined:
            return self._more(opened[-1])
        estimate = self.boundary
        if found.ratio > _NEAR and not self._refined:
            return self._bisect(found)
        if estimate is None:
            return self._bisect(found) if found.ratio > _CLOSE else self._again(found)
        return self._refine(found, estimate)

    def take(self, probe: Probe, point: LoadPoint) -> None:
        """What was measured."""
        level = self.levels.setdefault(probe.load, Level(probe.load))
        level.take(point, self.ask.objectives)
        self.spent_s += probe.duration_s + self.ask.overhead_s
        if probe.phase == "refine":
            self._refined.append(probe.load)
        self._boundaries.clear()

    @property
    def boundary(self) -> Boundary | None:
        """That of the objective which limits, by all that was measured."""
        found = [each for each in self.boundaries.values() if each is not None]
        return min(found, key=lambda each: each.rate, default=None)

    @property
    def boundaries(self) -> dict[Single, Boundary | None]:
        """Of each objective; None where its misses do not grow with the load, as far as was seen."""
        if not self._boundaries and self.levels:
            self._boundaries = {objective: self._boundary(objective) for objective in self.ask.objectives}
        return self._boundaries

    @property
    def points(self) -> list[LoadPoint]:
        """All that was measured, by rising load."""
        return [point for load in sorted(self.levels) for point in self.levels[load].points]

    def _boundary(self, objective: Single) -> Boundary | None:
        samples = [sample for level in self.levels.values() for sample in level.samples.get(objective, [])]
        if not samples:
            return boundary_of(self.points, objective)
        return fit_boundary(samples, objective=str(objective), statistic=statistic_name(objective))

    def _probe(self, load: float, count: float, phase: Phase, why: str) -> Probe | None:
        """A measurement of so many requests, within the limits of load and budget."""
        ask = self.ask
        load = min(max(load, ask.lowest), ask.highest)
        load = float(max(1, round(load))) if ask.streams else float(f"{load:.6g}")
        duration_s = max(ask.probe_s, count / self._rate_at(load))
        left_s = ask.budget_s - self.spent_s - ask.overhead_s
        if left_s < min(duration_s, ask.probe_s):
            self.note = f"the budget of {ask.budget_s:,.0f} s of server time is spent"
            return None
        self._seed += 1
        return Probe(load, round(min(duration_s, left_s), 3), self._seed, phase, why)

    def _rate_at(self, load: float) -> float:
        """Requests a second at a load: of streams, as at the nearest number of them."""
        if not self.ask.streams:
            return load
        nearest = min(self.levels.values(), key=lambda level: abs(level.load - load), default=None)
        rates = [point.requests_per_s for point in nearest.points if point.requests_per_s] if nearest else []
        return sum(rates) / len(rates) * load / nearest.load if rates and nearest else load

    def _more(self, level: Level) -> Probe | None:
        lacking = 1.1 * level.wanted(self.ask.objectives) - level.count
        return self._probe(
            level.load, min(lacking, 4 * level.count), "bracket",
            f"{level.count} requests are not {level.wanted(self.ask.objectives):.0f} yet",
        )  # fmt: skip

    def _bisect(self, found: Bracket) -> Probe | None:
        ask = self.ask
        if len(self.levels) >= _MOST_LEVELS:
            self.note = "the loads that meet and those that fail do not separate"
            return None
        if not self.levels:
            load, why = ask.start, "the start"
        elif found.is_closed:
            load, why = math.sqrt(found.low * found.high), f"between {found.low:.4g} and {found.high:.4g}"
        elif found.low > 0:
            if found.low >= ask.highest:
                self.note = (
                    f"{found.low:.4g} {ask.unit}, the highest load that was allowed, meets the objectives"
                )
                return None
            load, why = found.low * ask.step, f"{found.low:.4g} meets"
        else:
            if found.high <= ask.lowest or (ask.streams and found.high <= 1):
                self.note = (
                    f"{found.high:.4g} {ask.unit}, the lowest load that was allowed, does not meet them"
                )
                return None
            load, why = found.high / ask.step, f"{found.high:.4g} fails"
        return self._probe(load, self._wanted_at(load), "bracket", why)

    def _wanted_at(self, load: float) -> float:
        """Requests to be believed, as at the nearest load that is no piling up: its memory would be its length."""
        calm = [level for level in self.levels.values() if not level.plainly_fails(self.ask.objectives)]
        nearest = min(calm, key=lambda level: abs(math.log(level.load / load)), default=None)
        return nearest.wanted(self.ask.objectives) if nearest else 0.0

    def _refine(self, found: Bracket, estimate: Boundary) -> Probe | None:
        half = estimate.half_width
        if self._is_enough(estimate):
            return None
        if estimate.method == "interpolated":
            return self._narrow(found, estimate)
        wanted = 2.0 if half is None else (half / self.ask.half_width) ** 2
        count = estimate.requests * min(max(wanted - 1, _GROWTH[0]), _GROWTH[1])
        said = "no interval yet" if half is None else f"half-width {100 * half:.0f} %"
        centre = estimate.rate
        if half is None and found.is_closed:
            # Without an interval the verdicts know better.
            centre = min(max(centre, found.low / _SLACK), found.high * _SLACK)
        return self._apart(centre, count, said, _SHARE_UNSURE if half is None else _SHARE_BELOW)

    def _again(self, found: Bracket) -> Probe | None:
        """Where no line rises through what was seen, the verdict that the bracket hangs on is asked for again."""
        doubted = self.levels[found.high]
        if len(doubted.points) < _MOST_ASKED and not doubted.plainly_fails(self.ask.objectives):
            return self._probe(
                doubted.load, 2.0 * doubted.count, "refine", "nothing to fit yet: does it really fail?"
            )
        return self._apart(math.sqrt(found.low * found.high), 0.0, "nothing to fit yet", _SHARE_UNSURE)

    def _is_enough(self, estimate: Boundary) -> bool:
        half = estimate.half_width
        sides = {load < estimate.rate for load in self._refined}
        return estimate.resolved and half is not None and half <= self.ask.half_width and len(sides) == 2

    def _narrow(self, found: Bracket, estimate: Boundary) -> Probe | None:
        """An objective without misses, a mean: the bracket is narrowed to the half-width that was asked for."""
        if not found.is_closed or found.ratio <= 1 + self.ask.half_width or len(self.levels) >= _MOST_LEVELS:
            self.note = "an objective on a mean has no interval: it lies between two loads that were measured"
            return None
        load = math.sqrt(found.low * found.high)
        count = max(level.wanted(self.ask.objectives) for level in self.levels.values())
        return self._probe(load, count, "bracket", f"about {estimate.rate:.4g}")

    def _apart(self, centre: float, count: float, said: str, share_below: float) -> Probe | None:
        """A load beside the estimate, on the side that is seen less well for what it can tell."""
        below, above = self._seen(centre)
        lower = below * (1 - share_below) <= above * share_below
        last = [load < centre for load in self._refined[-2:]]
        if len(last) == 2 and last[0] == last[1]:
            lower = not last[0]
        load = centre * math.exp(_BELOW if lower else _ABOVE)
        measured = sorted(self.levels)
        load = min(max(load, measured[0] / SPAN), measured[-1] * SPAN)
        if self.ask.streams:
            load = math.floor(load) if lower else math.ceil(load)
        count = max(count, 2 * self._wanted_at(load))
        return self._probe(load, count, "refine", f"{said}: {'below' if lower else 'above'} {centre:.4g}")

    def _seen(self, centre: float) -> tuple[int, int]:
        """Requests at loads within 25 % below and above a load."""
        near = [level for level in self.levels.values() if 1 / SPAN <= level.load / centre <= SPAN]
        below = sum(level.count for level in near if level.load < centre)
        return below, sum(level.count for level in near) - below
