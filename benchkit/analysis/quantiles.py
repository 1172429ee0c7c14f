"""Order statistics of large weighted samples, without expanding the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PERCENTILES: tuple[tuple[str, float], ...] = (
    ("p50", 50.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99_9", 99.9),
)
"""The percentiles of every metric of a summary: key and percent."""

_MOST_GROUPS = 32
"""Weights that get a sorted array of their own; the rarer ones share one that is sorted through indices."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Sorted values ``raw / divisor`` that share one weight, or bring the running sum of their weights.

    Integers keep their type, since they sort faster; floats are divided beforehand and have divisor 1.
    """

    raw: Array
    divisor: float
    weight: int = 1
    running: Array | None = None

    @property
    def total(self) -> int:
        return self.heft(self.raw.size)

    def heft(self, count: int) -> int:
        """The weight of the ``count`` smallest values."""
        if self.running is None:
            return self.weight * count
        return int(self.running[count - 1]) if count else 0

    def holder(self, rank: int) -> int:
        """The index of the value that covers ``rank`` (from 0) among this group's repeated values."""
        if self.running is None:
            return rank // self.weight
        return int(np.searchsorted(self.running, rank, side="right"))

    def at(self, index: int) -> float:
        return float(self.raw[index]) / self.divisor

    def up_to(self, value: float) -> int:
        """The weight of the values that are not above ``value``."""
        if self.raw.dtype.kind != "i":
            return self.heft(int(np.searchsorted(self.raw, value, side="right")))
        # The product may round to the wrong side of a value that is in the sample itself.
        bound = math.floor(value * self.divisor)
        while bound / self.divisor > value:
            bound -= 1
        while (bound + 1) / self.divisor <= value:
            bound += 1
        # An integer of the same type: numpy would turn the whole array into floats otherwise.
        limits = np.iinfo(self.raw.dtype)
        whole = self.raw.dtype.type(min(max(bound, limits.min), limits.max))
        return self.heft(int(np.searchsorted(self.raw, whole, side="right")))

    def sum(self) -> float:
        if self.running is None:
            return self.weight * float(self.raw.sum(dtype=_wide(self.raw))) / self.divisor
        return float(self.raw @ np.diff(self.running, prepend=0)) / self.divisor

    def squares(self, centre: float, block: int = 1 << 20) -> float:
        """The weighted sum of ``(value - centre)**2``, in blocks so that no copy of the whole is made."""
        middle = centre * self.divisor
        total = 0.0
        for at in range(0, self.raw.size, block):
            offsets = np.square(self.raw[at : at + block] - middle)
            if self.running is None:
                total += self.weight * float(offsets.sum())
            else:
                before = int(self.running[at - 1]) if at else 0
                total += float(offsets @ np.diff(self.running[at : at + block], prepend=before))
        return total / self.divisor**2


class Sample:
    """A sample with whole-number weights, ready for percentiles and moments.

    A value of weight 3 counts as three equal values: every number is what numpy gives for
    ``np.repeat(values, weights)``, in the memory of ``values`` alone. Nulls (NaN) and values of weight 0 are
    left out.

    Args:
        values: integers or floats, in any order. Integers sort several times faster.
        weights: whole numbers, one a value; None for 1 each.
        divisor: divides every value (1e6 turns ns into ms).
        shared: True divides each value by its weight too: a gap shared out among its tokens.
    """

    def __init__(
        self, values: Array, weights: Array | None = None, *, divisor: float = 1.0, shared: bool = False
    ) -> None:
        values = np.asarray(values)
        if values.dtype.kind == "f" and np.isnan(values).any():
            keep = ~np.isnan(values)
            values = values[keep]
            weights = None if weights is None else weights[keep]
        if weights is not None and weights.size and int(weights.min()) <= 0:
            keep = weights > 0
            values, weights = values[keep], weights[keep]
        self._groups = tuple(_groups(_narrow(values), weights, divisor, shared=shared))
        self.total = sum(group.total for group in self._groups)

    @property
    def min(self) -> float:
        """The smallest value."""
        return min(group.at(0) for group in self._groups)

    @property
    def max(self) -> float:
        """The largest value."""
        return max(group.at(group.raw.size - 1) for group in self._groups)

    def mean(self) -> float:
        """The weighted mean."""
        return math.fsum(group.sum() for group in self._groups) / self.total

    def std(self, ddof: int = 1) -> float | None:
        """The standard deviation over the repeated values; null where ``ddof`` leaves none."""
        if self.total <= ddof:
            return None
        mean = self.mean()
        squares = math.fsum(group.squares(mean) for group in self._groups)
        return math.sqrt(squares / (self.total - ddof))

    def order_statistic(self, rank: int) -> float:
        """The value at ``rank`` (from 0) of the sorted, repeated sample."""
        if len(self._groups) == 1:
            group = self._groups[0]
            return group.at(group.holder(rank))
        found = (self._first_past(group, rank) for group in self._groups)
        return min(value for value in found if value is not None)

    def _first_past(self, group: _Group, rank: int) -> float | None:
        """The group's smallest value with more than ``rank`` of the whole sample at or below it."""
        low, high = 0, group.raw.size
        while low < high:
            middle = (low + high) // 2
            value = group.at(middle)
            if sum(each.up_to(value) for each in self._groups) > rank:
                high = middle
            else:
                low = middle + 1
        return group.at(low) if low < group.raw.size else None

    def percentile(self, percent: float, worse: int = 0) -> float:
        """The percentile by linear interpolation at ``percent / 100 * (n - 1)``, as numpy's default.

        Args:
            percent: from 0 to 100.
            worse: so many values worse than any are added; ``inf`` comes back when the percentile touches
                one.
        """
        count = self.total + worse
        position = percent / 100.0 * (count - 1)
        low = math.floor(position)
        share = position - low
        last = low + 1 if share > 0.0 else low
        if last >= self.total:
            return math.inf
        first = self.order_statistic(low)
        if last == low:
            return first
        return _between(first, self.order_statistic(last), share)

    def describe(self, percentiles: Sequence[tuple[str, float]] = PERCENTILES) -> dict[str, Any]:
        """``count``, ``mean``, ``std`` (ddof 1), ``min``, ``max``, percentiles; null where nothing is."""
        if not self.total:
            names = ("mean", "std", "min", "max", *(name for name, _ in percentiles))
            return {"count": 0} | dict.fromkeys(names)
        return {
            "count": self.total,
            "mean": self.mean(),
            "std": self.std(),
            "min": self.min,
            "max": self.max,
        } | {name: self.percentile(percent) for name, percent in percentiles}


def _between(first: float, second: float, share: float) -> float:
    """Linear interpolation that stays monotone in rounding, as numpy's does."""
    step = second - first
    return second - step * (1 - share) if share >= 0.5 else first + step * share


def _narrow(values: Array) -> Array:
    """The same integers in 32 bits where they fit: half the memory, twice the sorting speed."""
    if values.dtype.kind != "i" or values.dtype.itemsize <= 4 or not values.size:
        return values
    limits = np.iinfo(np.int32)
    if values.max() <= limits.max and values.min() >= limits.min:
        return values.astype(np.int32)
    return values


def _groups(values: Array, weights: Array | None, divisor: float, *, shared: bool) -> Iterator[_Group]:
    if not values.size:
        return
    if weights is None:
        yield _sorted(values, divisor, 1)
        return
    if weights.min() == weights.max():
        kinds, counts = weights[:1], np.array([weights.size])
    else:
        kinds, counts = np.unique(weights, return_counts=True)
    common = {int(kind) for kind in kinds[np.argsort(counts)[::-1][:_MOST_GROUPS]]}
    for weight in sorted(common):
        own = values if len(kinds) == 1 else values[weights == weight]
        yield _sorted(own, divisor * weight if shared else divisor, weight)
    if len(kinds) > _MOST_GROUPS:
        rare = ~np.isin(weights, list(common))
        heavy = weights[rare]
        rest = values[rare] / (divisor * heavy if shared else divisor)
        order = np.argsort(rest)
        yield _Group(rest[order], 1.0, running=np.cumsum(heavy[order], dtype=np.int64))


def _sorted(values: Array, divisor: float, weight: int) -> _Group:
    if values.dtype.kind == "i":
        return _Group(np.sort(values), divisor, weight)
    return _Group(np.sort(values / divisor), 1.0, weight)


def _wide(values: Array) -> type[np.int64 | np.float64]:
    return np.int64 if values.dtype.kind in "iub" else np.float64
