"""What change a comparison can see, and how many runs it takes: ranges, since a spread is never known exactly."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import NamedTuple

from scipy import stats

POWER = 0.9
ALPHA = 0.05
_CENTRAL = 0.8
"""Share of cases in which the true spread lies in the range that is stated."""
_MOST = 1_000


class Range(NamedTuple):
    """Two numbers between which something lies."""

    low: float
    high: float

    def text(self, digits: int = 0) -> str:
        """Both ends, as "8 to 20"; one number where they are the same."""
        low, high = (f"{end:.{digits}f}" for end in self)
        if self.high >= _MOST:
            return f"at least {low}"
        return low if low == high else f"{low} to {high}"


def spread_range(sd: float, freedom: float) -> Range:
    """Between what a true standard deviation lies in 80 % of cases (chi-square).

    Args:
        sd: as estimated.
        freedom: the degrees of freedom behind it.
    """
    tail = (1 - _CENTRAL) / 2
    return Range(
        *(sd * math.sqrt(freedom / float(stats.chi2.ppf(share, freedom))) for share in (1 - tail, tail))
    )


def needed(sd: float, change: float, *, values: int, power: float = POWER, alpha: float = ALPHA) -> int:
    """Pairs, or runs a side, that see a change with some power at a two-sided level.

    Args:
        sd: standard deviation of a pair's log ratio, or of a run's logarithm.
        change: as a share; of a rise and a drop of that size the one that is harder to see, the rise.
        values: 1 for pairs; 2 for two sides, each with its own error.
        power: share of cases in which the change is seen.
        alpha: of the test.
    """
    apart = math.log1p(change)

    def is_enough(count: int) -> bool:
        freedom = values * (count - 1)
        factor = float(stats.t.ppf(1 - alpha / 2, freedom) + stats.t.ppf(power, freedom))
        return bool(values * (factor * sd / apart) ** 2 <= count)

    counts = range(2, _MOST)
    return 2 + bisect_left(counts, True, key=is_enough)


def more_needed(sd: float, freedom: float, *, have: int, change: float, values: int) -> Range:
    """How many more pairs, or runs a side, see a change with 90 % power; at least one.

    Args:
        sd: as estimated by what there is.
        freedom: the degrees of freedom behind it.
        have: pairs, or runs of the smaller side.
        change: as a share.
        values: 1 for pairs, 2 for two sides.
    """
    counts = [needed(end, change, values=values) for end in spread_range(sd, freedom)]
    return Range(*(float(count if count == _MOST else max(1, count - have)) for count in counts))


def visible_change(sd: float, freedom: float, *, count: int, values: int, alpha: float = ALPHA) -> Range:
    """The change, as a share, that so many pairs or runs a side see with 90 % power.

    Args:
        sd: as estimated by a pilot.
        freedom: the degrees of freedom of the pilot.
        count: pairs, or runs a side, of the whole comparison.
        values: 1 for pairs, 2 for two sides.
        alpha: of the test.
    """
    left = values * (count - 1)
    factor = float(stats.t.ppf(1 - alpha / 2, left) + stats.t.ppf(POWER, left)) * math.sqrt(values / count)
    return Range(*(math.expm1(factor * end) for end in spread_range(sd, freedom)))
