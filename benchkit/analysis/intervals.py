"""95 % intervals of what one run says: of values in the order of their requests, and of counts in bins of time.

Neighbours share a queue, so that a thousand of them may say as much as ten independent values. The variance of every
statistic is therefore that of a series with memory (``long_run``), and a run that is short against its memory gets
words instead of an interval: which, and why, is in docs/methodology.md with how often the intervals cover.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.binomial import quantile_ranks
from benchkit.analysis.estimate import Estimate
from benchkit.analysis.long_run import t_limit, variance_of_mean
from benchkit.analysis.quantiles import PERCENTILES

Floats = NDArray[np.float64]

ENOUGH: Final = 50
"""Memories that a run must span for any interval."""
MARGIN: Final = 2.0
"""By how much more than the least a run must be worth for a percentile: of runs that are worth just so much, 4 of 100
put its upper limit beyond their sample. Of those that are worth less only the lucky ones would be believed, whose
intervals are too narrow."""
ALLOWANCE: Final = 10.0
"""Variance is raised by this much over the memories that a run spans: short series look calm when they are. This and
the longer upper side of means were chosen on other seeds than those of the coverage table."""
BURSTS: Final = 10
"""Separate exceedances that a percentile from p90 up must have seen."""
SHARES: Final[Mapping[str, float]] = {name: percent / 100 for name, percent in PERCENTILES}
_FEWEST: Final = 20
UPPER: Final = 0.9
"""From this share on a percentile is one of the tail, which only separate exceedances can teach."""
_OPEN: Final = 0.1


@dataclass(frozen=True, slots=True)
class Depth:
    """How much a run says: its memory, and how many memories it spans."""

    memory: float
    """Elements of the series between two that know nothing of each other, at least 1."""
    independent: float
    """How many independent observations the run is worth (n / memory)."""

    def refusal(self, share: float | None = None) -> str:
        """Why a mean, or the percentile of a share, has no interval in this run; empty where it may have one."""
        needed = self.needed(share)
        if self.independent >= needed:
            return ""
        what = "needs" if share is None else f"p{100 * share:g} needs"
        return f"not enough data: n/τ = {_count(self.independent)}, {what} {needed:,}"

    def needed(self, share: float | None) -> int:
        """How many independent values a mean or a percentile needs."""
        if share is None or share < UPPER:
            return ENOUGH
        return max(ENOUGH, math.ceil(MARGIN * least(share)))

    @property
    def raised(self) -> float:
        """What a standard error is multiplied by."""
        return raised(self.independent)


def raised(independent: float) -> float:
    """What a standard error is multiplied by, for what so few independent values hide."""
    return math.sqrt(1 + ALLOWANCE / max(independent, 1.0))


def mean_estimate(values: Floats, sizes: Sequence[int], depth: Depth) -> Estimate:
    """The mean of values in order.

    Args:
        values: in the order of their requests, none of them NaN.
        sizes: how many of them each unbroken piece has.
        depth: of the run.
    """
    if values.size < _FEWEST:
        return Estimate(_mean(values), note=_too_few(values.size))
    mean = float(values.mean())
    why = depth.refusal()
    if why:
        return Estimate(mean, note=why, effective=depth.independent)
    error = math.sqrt(float(variance_of_mean(split(values, sizes))))
    return about(mean, error, depth, positive=bool(values.min() >= 0))


def least(share: float) -> float:
    """How many independent values put the upper limit of a percentile just within their sample."""
    return t_limit() ** 2 * share / (1 - share)


def percentile_estimates(
    values: Floats, sizes: Sequence[int], depth: Depth, shares: Mapping[str, float] = SHARES
) -> dict[str, Estimate]:
    """The percentiles of values in order, by inverting the score.

    The limits are all q with ``|F(q) - p| <= t sqrt(p (1 - p) / n_eff)``, where ``n_eff`` is what makes the variance of
    the share of values at or below the sample's percentile that of independent ones.

    Args:
        values: in the order of their requests; none of them NaN, ``inf`` for a request that never gave one.
        sizes: how many of them each unbroken piece has.
        depth: of the run.
        shares: the percentiles by their keys.
    """
    if values.size < _FEWEST:
        return {name: Estimate(None, note=_too_few(values.size)) for name in shares}
    ordered = np.sort(values)

    def at(share: float) -> float:
        return quantile(ordered, share)

    constant = bool(ordered[0] == ordered[-1])
    found = {}
    for name, share in shares.items():
        below = values <= at(share)
        error = math.sqrt(float(variance_of_mean(split(below.astype(np.float64), sizes))))
        seen = None if constant else bursts(np.flatnonzero(~below), depth.memory)
        found[name] = of_share(at, values.size, share, error, seen, depth)
    return found


def bursts(places: NDArray[np.integer[Any]], memory: float, most: int = BURSTS) -> int:
    """How many exceedances there are that know nothing of each other: each further from the one before than the memory.

    One long stretch of them counts by its memories; many within one memory are one event.

    Args:
        places: of the exceedances in their series, rising.
        memory: how far apart two must lie.
        most: where counting ends.
    """
    found, at = 0, 0
    while at < places.size and found < most:
        found += 1
        at = int(np.searchsorted(places, places[at] + memory, side="right"))
    return found


def of_share(
    at: Callable[[float], float],
    count: int,
    share: float,
    error: float,
    seen_bursts: int | None,
    depth: Depth,
) -> Estimate:
    """The percentile of a sample whose empirical distribution is known this well.

    Args:
        at: gives the sample's quantile at a share.
        count: values in the sample.
        share: of the percentile, from 0 to 1.
        error: standard error of the share of values at or below it.
        seen_bursts: separate bursts of values above it; None where all values are equal.
        depth: of the run.
    """
    value = at(share)
    half = t_limit() * error * depth.raised
    independent = share * (1 - share) / error**2 if error > 0 else math.inf
    name = f"p{100 * share:g}"
    why = depth.refusal(share)
    if not why and share + half >= 1:
        needed = depth.needed(share)
        why = f"not enough data: worth {_count(independent)} independent values, {name} needs {needed:,}"
    if not why and share >= UPPER and seen_bursts is not None and seen_bursts < BURSTS:
        why = f"not enough data: values above it came in {seen_bursts} separate bursts, {name} needs {BURSTS}"
    if why:
        return _at_least(at, count, share, name, why, depth)
    low, high = at(share - half), at(share + half)
    if not math.isfinite(high):
        stated = value if math.isfinite(value) else None
        note = "its upper limit lies among the requests that never gave a value"
        return Estimate(stated, low, note=note, effective=independent)
    return Estimate(value, low, high, effective=min(independent, 1e12))


def rate_estimate(counts: Floats, sizes: Sequence[int], length_s: float, depth: Depth) -> Estimate:
    """A rate from what was counted in equal bins of time.

    Args:
        counts: one a bin, in order.
        sizes: how many bins each unbroken piece has.
        length_s: of all bins together.
        depth: of the run.
    """
    rate = float(counts.sum()) / length_s
    why = depth.refusal() if counts.any() else "nothing was counted"
    if why:
        return Estimate(rate, note=why, effective=depth.independent)
    error = math.sqrt(float(variance_of_mean(split(counts, sizes)))) * counts.size / length_s
    return about(rate, error, depth, positive=True)


def quantile(ordered: Floats, share: float) -> float:
    """Linear between order statistics at ``share (n - 1)``, as the percentiles of a summary."""
    position = min(max(share, 0.0), 1.0) * (ordered.size - 1)
    low = math.floor(position)
    first = float(ordered[low])
    if position == low:
        return first
    second = float(ordered[low + 1])
    return first if first == second else first + (second - first) * (position - low)


def split(values: Floats, sizes: Sequence[int]) -> list[Floats]:
    """The unbroken pieces of a series, by its last axis."""
    return [piece for piece in np.split(values, np.cumsum(sizes)[:-1], axis=-1) if piece.shape[-1]]


def about(value: float, error: float, depth: Depth, *, positive: bool) -> Estimate:
    """Limits round a mean, on its inverse where nothing can be negative.

    Where requests wait for each other, a run that saw long waits also saw them vary more, about as their mean squared:
    the inverse is the scale on which that dependence is gone. The upper side is longer by its own part of the mean,
    since means over few long waits are skewed on that scale too.

    Args:
        value: the mean.
        error: its standard error.
        depth: of the run.
        positive: whether no value is below 0.
    """
    half = t_limit() * error * depth.raised
    if not positive or value <= 0:
        return Estimate(value, value - half, value + half, effective=depth.independent)
    part = half / value
    low, rest = value / (1 + part), 1 - longer(part)
    if rest < _OPEN:
        note = f"its upper limit is open: twice its error is as large as the value; it is at least {low:.4g}"
        return Estimate(value, low, note=note, effective=depth.independent)
    return Estimate(value, low, value / rest, effective=depth.independent)


def longer(part: float) -> float:
    """The upper half of an interval of a mean, of which the lower half is this part."""
    return part * (1 + part)


def _at_least(
    at: Callable[[float], float], count: int, share: float, name: str, why: str, depth: Depth
) -> Estimate:
    """No interval, but what as few independent values as the run is worth would still say: a lower bound."""
    whole = min(count, max(1, int(depth.independent)))
    rank = quantile_ranks(whole, share).low
    low = None if rank is None else at(rank / whole)
    if low is not None and math.isfinite(low):
        why = f"{why}; {name} is at least {low:.4g}"
    value = at(share)
    return Estimate(value if math.isfinite(value) else None, low, note=why, effective=depth.independent)


def _too_few(count: int) -> str:
    return f"not enough data: {count} values"


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if values.size else None


def _count(value: float) -> str:
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"
