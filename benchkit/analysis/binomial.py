"""Distribution-free limits for percentiles and shares of independent observations.

Requests of one run are not independent: neighbours share batches and queues, and true intervals are wider.
Use these limits to withhold a verdict, not to give one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

Z95 = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""


class Interval(NamedTuple):
    """A closed interval."""

    low: float
    high: float


class Ranks(NamedTuple):
    """Order statistics (from 0) that bracket a quantile; None where the sample has no such limit."""

    low: int | None
    high: int | None


def needed_for(quantile: float, confidence: float = 0.95) -> int:
    """The smallest sample in which a quantile has a two-sided distribution-free interval's far limit.

    The largest of n independent values lies above the quantile p with probability 1 - p**n; the limit exists
    once that reaches (1 + confidence) / 2: 368 for p99, 3,688 for p99.9.
    """
    extreme = max(quantile, 1.0 - quantile)
    return math.ceil(math.log((1.0 - confidence) / 2.0) / math.log(extreme))


def quantile_ranks(count: int, quantile: float, confidence: float = 0.95) -> Ranks:
    """The order statistics whose interval covers the quantile with at least this probability."""
    tail = (1.0 - confidence) / 2.0
    cumulated, first = _cumulated(count, quantile)
    # cumulated[i] = P(B <= first + i), B the number of observations below the quantile.
    below = int(np.searchsorted(cumulated, tail, side="right"))
    above = int(np.searchsorted(cumulated, 1.0 - tail))
    low, high = first + below - 1, first + above
    return Ranks(low if low >= 0 else None, high if high <= count - 1 else None)


def wilson(hits: float, count: float) -> Interval:
    """Wilson's 95 % interval for a share of independent observations (Wilson 1927); both may be parts of one."""
    if not count:
        return Interval(0.0, 1.0)
    share, square = hits / count, Z95**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = Z95 / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    return Interval(low, 1.0 if hits == count else min(1.0, middle + half))


def _cumulated(count: int, chance: float) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], int]:
    """The binomial distribution function from 12 standard deviations below its mean to 12 above."""
    mean, spread = count * chance, math.sqrt(count * chance * (1 - chance))
    first = max(0, math.floor(mean - 12 * spread - 12))
    last = min(count, math.ceil(mean + 12 * spread + 12))
    steps = np.arange(first, last, dtype=np.float64)
    start = (
        math.lgamma(count + 1)
        - math.lgamma(first + 1)
        - math.lgamma(count - first + 1)
        + first * math.log(chance)
        + (count - first) * math.log1p(-chance)
    )
    ratios = np.log((count - steps) / (steps + 1)) + math.log(chance) - math.log1p(-chance)
    mass = np.exp(start + np.concatenate(([0.0], np.cumsum(ratios))))
    return np.cumsum(mass), first
