"""Searches the highest load that meets the objectives, on whatever measures a load: a server, or its simulated twin."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchkit.analysis.boundary import Boundary
from benchkit.analysis.points import LoadPoint
from benchkit.experiments.search_forecast import Forecast, forecast
from benchkit.experiments.search_levels import Bracket, bracket
from benchkit.experiments.search_steps import Probe, SearchAsk, Steps

__all__ = [
    "AsyncMeasure",
    "Forecast",
    "Measure",
    "Probe",
    "SearchAsk",
    "SearchResult",
    "beside",
    "conclude",
    "forecast",
    "search",
    "search_async",
]

Measure = Callable[[float, float, int], LoadPoint]
"""Measures a load: requests per second (or streams), seconds of the window, a seed of the contents."""
AsyncMeasure = Callable[[float, float, int], Awaitable[LoadPoint]]
OnStep = Callable[[Probe, Boundary | None], Any]
"""Told of each measurement that is about to begin, and of the estimate so far."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The highest load that meets the objectives, as far as was seen."""

    boundary: Boundary | None
    """Of the objective that limits; None where no load was found on both sides."""
    boundaries: tuple[Boundary, ...]
    """Of each objective that has one."""
    bracket: Bracket
    """The loads between which verdicts change."""
    points: tuple[LoadPoint, ...]
    """All that was measured, by rising load."""
    spent_s: float
    """Server time, warm-ups included."""
    resolved: bool
    """Whether the interval is as narrow as was asked, and rests on enough."""
    notes: tuple[str, ...]
    """What is not resolved, and why the search ended."""
    unit: str = "requests/s"
    forecast: Forecast | None = None
    """What it was said to cost before it began."""
    twin: SearchResult | None = None
    """The search on the twin that came before it."""

    def as_dict(self) -> dict[str, Any]:
        """For a sweep's manifest, without the points."""
        return {
            "boundary": None if self.boundary is None else asdict(self.boundary),
            "boundaries": [asdict(each) for each in self.boundaries],
            "bracket": [self.bracket.low, self.bracket.high if math.isfinite(self.bracket.high) else None],
            "points": len(self.points),
            "spent_s": self.spent_s,
            "resolved": self.resolved,
            "notes": list(self.notes),
            "unit": self.unit,
            "forecast": None if self.forecast is None else asdict(self.forecast),
            "twin": None if self.twin is None else self.twin.as_dict(),
        }

    def __str__(self) -> str:
        lines = [self._headline()]
        found = self.boundary
        if found is not None and found.elasticity is not None and found.elasticity_of:
            lines.append(f"1 % more load there, {found.elasticity:.2g} % more {found.elasticity_of}")
        lines += [f"beyond it: {each}" for each in self.boundaries if found is not None and each != found]
        if self.twin is not None and self.twin.boundary is not None:
            lines.append(f"its twin said: {self.twin.boundary}")
        lines += self.notes
        lines.append(f"{len(self.points)} measurements, {self.spent_s:,.0f} s of server time")
        return "\n".join(lines)

    def _headline(self) -> str:
        if self.boundary is None:
            low, high = self.bracket.low, self.bracket.high
            seen = [f"{low:.4g} {self.unit} meets"] if low > 0 else []
            seen += [f"{high:.4g} {self.unit} fails"] if math.isfinite(high) else []
            return "no boundary found" + (f": {', '.join(seen)}" if seen else "")
        return f"{'' if self.resolved else 'not resolved: '}{self.boundary}"


def search(
    measure: Measure, ask: SearchAsk, *, on_step: OnStep | None = None, twin: SearchResult | None = None
) -> SearchResult:
    """The highest load that meets the objectives.

    Loads are doubled and bisected by verdicts that are believed once a load carries 20 memories of its run; then loads
    on both sides of the estimate are measured, and a local fit gives the boundary and its interval, until that is as
    narrow as was asked or the budget is spent. What is not resolved is said.

    Args:
        measure: measures one load; errors of it pass through.
        ask: the objectives, where to begin, how narrow, and the budget.
        on_step: told of each measurement before it begins.
        twin: the search on the server's twin; this one then begins beside what that found.
    """
    steps = Steps(ask if twin is None else beside(ask, twin))
    while (probe := steps.next()) is not None:
        if on_step is not None:
            on_step(probe, steps.boundary)
        steps.take(probe, measure(probe.load, probe.duration_s, probe.seed))
    return conclude(steps, twin)


async def search_async(
    measure: AsyncMeasure, ask: SearchAsk, *, on_step: OnStep | None = None, twin: SearchResult | None = None
) -> SearchResult:
    """As ``search``, where measuring a load is awaited."""
    steps = Steps(ask if twin is None else beside(ask, twin))
    while (probe := steps.next()) is not None:
        if on_step is not None:
            on_step(probe, steps.boundary)
        steps.take(probe, await measure(probe.load, probe.duration_s, probe.seed))
    return conclude(steps, twin)


def beside(ask: SearchAsk, twin: SearchResult) -> SearchAsk:
    """The ask for a real server whose twin was searched first: it begins beside the twin's boundary, in small steps.

    Where the server is not as its twin said, the steps go on until a bracket is found.

    Args:
        ask: for the server.
        twin: what the search on the twin gave.
    """
    if twin.boundary is None:
        return ask
    return replace(ask, start=twin.boundary.rate / 1.1, step=1.21)


def conclude(steps: Steps, twin: SearchResult | None = None) -> SearchResult:
    """What a search found, when it is over or was broken off."""
    ask, found = steps.ask, steps.boundary
    if found is not None:
        found = replace(found, unit=ask.unit)
    others = tuple(replace(each, unit=ask.unit) for each in steps.boundaries.values() if each is not None)
    notes = [note for note in (steps.note, found.note if found else "") if note]
    half = found.half_width if found else None
    if half is not None and half > ask.half_width:
        notes.append(f"not resolved to {100 * ask.half_width:.0f} %: half-width {100 * half:.0f} %")
    notes += _without(steps)
    return SearchResult(
        boundary=found,
        boundaries=others,
        bracket=bracket(steps.levels.values(), ask.objectives),
        points=tuple(steps.points),
        spent_s=steps.spent_s,
        resolved=found is not None and found.resolved and half is not None and half <= ask.half_width,
        notes=tuple(notes),
        unit=ask.unit,
        forecast=forecast(steps.ask, twin_s=twin.spent_s if twin is not None and twin.resolved else None),
        twin=twin,
    )


def _without(steps: Steps) -> Sequence[str]:
    """What is said of objectives that have no boundary."""
    return [
        f"{objective}: met at every load that was measured"
        if all(level.verdict_on(objective) == "meets" for level in steps.levels.values())
        else f"{objective}: no boundary by what was measured"
        for objective, each in steps.boundaries.items()
        if each is None
    ]
