"""The load at which an objective is just met, fitted to who missed it at loads near by, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.boundary_fit import LogitLine, fit_line, logit

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SPAN = 1.25
"""Loads up to this factor from the boundary enter its fit: over wider ranges the logit is no line."""
_LOG_SPAN = math.log(SPAN)
_SPANS = (SPAN, 1.5, 2.5)
"""Wider ones only where misses near by do not surely grow with the load, which is chance or too little data."""
_SAME = 1e-3
"""Loads that differ by less are one, through which no line goes."""
_MEMORIES = 5
"""A sample shorter than so many memories of its run is no steady load."""
BURSTS = 40
"""Separate bursts of misses below which a boundary is called unresolved."""

Method = Literal["local logit fit", "interpolated"]


@dataclass(frozen=True, slots=True)
class Sample:
    """Who missed an objective in one steady stretch at one load."""

    rate: float
    """Requests per second, or streams of a closed loop where those are varied."""
    misses: Flags
    """One element a request, in order of sending."""
    allowed: float
    """The share that may miss."""
    memory: float = 1.0
    """Of the run, in requests."""
    statistic: float | None = None
    """The statistic that the objective bounds, as measured; None for shares."""
    name: str = ""

    @property
    def count(self) -> int:
        """How many requests count."""
        return int(self.misses.size)

    @property
    def share(self) -> float:
        """The share that missed; NaN when no request counts."""
        return float(self.misses.mean()) if self.misses.size else math.nan

    @property
    def bursts(self) -> int:
        """Misses with more than a memory of requests between one and the next, which count as one burst otherwise."""
        at = np.flatnonzero(self.misses)
        return int((np.diff(at) > self.memory).sum()) + 1 if at.size else 0


@dataclass(frozen=True, slots=True)
class Boundary:
    """The highest load that meets an objective."""

    rate: float
    """Requests per second, or streams; see ``unit``."""
    low: float | None
    """Lower end of its 95 % interval; None where there is none."""
    high: float | None
    elasticity: float | None
    """Per cent by which ``elasticity_of`` grows with one per cent more load, at the boundary; None if unknown."""
    objective: str
    method: Method
    extrapolated: bool
    """Whether it lies outside the loads that were measured."""
    resolved: bool
    """Whether enough was seen to rely on the interval."""
    note: str
    elasticity_of: str = ""
    """A statistic such as ``p99 ttft``, or ``misses`` where a share is bounded."""
    steepness: float | None = None
    """Per cent by which the odds of a miss grow with one per cent more load; None unless fitted."""
    inflation: float | None = None
    """How many times the variance of counts of misses is that of independent requests."""
    requests: int = 0
    """That the estimate rests on."""
    unit: str = "requests/s"

    @property
    def half_width(self) -> float | None:
        """Half the interval's length over the estimate; None without an interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / (2 * self.rate)

    def __str__(self) -> str:
        between = "no interval" if self.low is None else f"95 %: {self.low:.4g} to {self.high:.4g}"
        return f"{self.objective}: {self.rate:.4g} {self.unit} ({between})"


def fit_boundary(samples: Sequence[Sample], *, objective: str = "", statistic: str = "") -> Boundary | None:
    """The boundary by a logit line of the share of misses on the logarithm of the load, within 25 % of it.

    Weighting each sample by an effective size of its own, verdicts on single loads, isotonic regression, and a logit
    over all loads cover the truth far too rarely, or miss it (see docs/search.md).

    Args:
        samples: at two loads or more, of one objective; several of one load are welcome.
        objective: its text.
        statistic: what ``Sample.statistic`` is.

    Returns:
        None where the samples do not say that misses grow with the load, or where there are fewer than two loads.
    """
    used = [sample for sample in samples if sample.count and sample.count >= _MEMORIES * sample.memory]
    x = np.log([sample.rate for sample in used])
    if not used or float(np.ptp(x)) < _SAME:
        return None
    start = _first_guess(x, used, used[0].allowed)
    fits = []
    for span in _SPANS:
        centre = _settled(x, used, start, math.log(span))
        found = _boundary(x, used, centre, math.log(span), objective, statistic)
        if found is not None and found.low is not None and not found.extrapolated:
            return found
        fits.append(found)
    return min((fit for fit in fits if fit is not None), key=lambda fit: fit.extrapolated, default=None)


def _settled(x: Floats, used: Sequence[Sample], centre: float, span: float) -> float:
    """A boundary by the samples near a first guess, then by those near that, until they stay the same."""
    tried = set[bytes]()
    near = _near(x, centre, span)
    while near.tobytes() not in tried:
        tried.add(near.tobytes())
        inside = [sample for sample, kept in zip(used, near, strict=True) if kept]
        crossing = fit_line(x[near] - centre, [sample.misses for sample in inside]).crossing(used[0].allowed)
        if crossing is None:
            break
        centre = float(np.clip(centre + crossing, x.min() - span, x.max() + span))
        near = _near(x, centre, span)
    return centre


def _boundary(
    x: Floats, used: Sequence[Sample], centre: float, span: float, objective: str, statistic: str
) -> Boundary | None:
    """The boundary by the samples near it; None where they say that it is nowhere near any load, or do not rise."""
    near = _near(x, centre, span)
    inside = [sample for sample, kept in zip(used, near, strict=True) if kept]
    allowed = inside[0].allowed
    line = fit_line(x[near] - centre, [sample.misses for sample in inside])
    crossing = line.crossing(allowed)
    if crossing is None:
        return None
    at = centre + crossing
    if not x.min() - _LOG_SPAN <= at <= x.max() + _LOG_SPAN:
        return None
    limits = line.fieller(allowed)
    extrapolated = not x[near].min() <= at <= x[near].max()
    bursts = sum(sample.bursts for sample in inside)
    notes = []
    if limits is None:
        notes.append("the samples do not tell for sure that misses grow with the load")
    if extrapolated:
        notes.append("extrapolated: it lies outside the loads that were measured near it")
    if bursts < BURSTS:
        notes.append(f"not enough data: {bursts} separate bursts of misses of the {BURSTS} that it takes")
    far = bool(np.abs(x[near] - at).max() > 1.1 * _LOG_SPAN)
    if far:
        notes.append("it rests on loads that are more than 25 % away")
    found = Boundary(
        rate=math.exp(at),
        low=None if limits is None else math.exp(centre + limits[0]),
        high=None if limits is None else math.exp(centre + limits[1]),
        elasticity=None,
        objective=objective,
        method="local logit fit",
        extrapolated=extrapolated,
        resolved=limits is not None and not extrapolated and not far and bursts >= BURSTS,
        note="; ".join(notes),
        steepness=line.slope,
        inflation=line.inflation,
        requests=sum(sample.count for sample in inside),
    )
    return _with_elasticity(found, inside, line, statistic)


def _near(x: Floats, centre: float, span: float) -> Flags:
    """Loads within the span of the centre, and the nearest on a side that has none."""
    near: Flags = np.abs(x - centre) <= span + 1e-9
    for side in (x <= centre, x >= centre):
        if side.any() and not (side & near).any():
            distance = np.where(side, np.abs(x - centre), np.inf)
            near |= distance <= distance.min() + 1e-9
    if np.ptp(x[near]) < _SAME:
        distance = np.where(near, np.inf, np.abs(x - centre))
        near |= distance <= distance.min() + 1e-9
    return near


def _first_guess(x: Floats, samples: Sequence[Sample], allowed: float) -> float:
    """Where shares that are pooled until they rise with the load cross the allowed one; an end where they do not."""
    pools: list[list[float]] = []
    for at in np.argsort(x, kind="stable"):
        sample = samples[int(at)]
        pools.append([float(x[at]) * sample.count, float(sample.misses.sum()), float(sample.count)])
        while len(pools) > 1 and pools[-2][1] / pools[-2][2] >= pools[-1][1] / pools[-1][2]:
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
    places = [pool[0] / pool[2] for pool in pools]
    odds = [logit((pool[1] + 0.5) / (pool[2] + 1)) for pool in pools]
    return float(np.interp(logit(allowed), odds, places))


def _with_elasticity(found: Boundary, inside: Sequence[Sample], line: LogitLine, statistic: str) -> Boundary:
    """Of the statistic where samples have it (a line through its logarithms), else of the share of misses."""
    stated = [sample for sample in inside if sample.statistic and math.isfinite(sample.statistic)]
    if statistic and len({sample.rate for sample in stated}) >= 2:
        places = np.log([sample.rate for sample in stated])
        values = np.log([sample.statistic for sample in stated if sample.statistic])
        weights = np.sqrt([float(sample.count) for sample in stated])
        return replace(
            found, elasticity=float(np.polyfit(places, values, 1, w=weights)[0]), elasticity_of=statistic
        )
    allowed = inside[0].allowed
    return replace(found, elasticity=line.slope * (1 - allowed), elasticity_of="misses")
