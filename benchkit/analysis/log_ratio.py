"""A difference as a value: the ratio of two sides with its interval, its p, and the words for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from benchkit.analysis.power import Range, more_needed

SEES = 0.05
"""The change that a comparison is expected to see, where nobody says another: 5 %."""
SINGLE = "a single run a side does not show how much runs differ from each other: repeat both"


@dataclass(frozen=True, slots=True)
class Difference:
    """The ratio new / base of one number, by the runs of both sides.

    Everything is computed on logarithms of the runs' values: a ratio is symmetric there, and 5 % is 5 % at any level.
    """

    base: float | None
    """Geometric mean over the runs of the base; None where there is none."""
    new: float | None
    log_ratio: float | None
    """ln(new / base)."""
    standard_error: float | None
    """Of ``log_ratio``; None where a side has a single run."""
    freedom: float
    """Degrees of freedom of Student's t."""
    sd_log: float | None
    """Standard deviation of what is independent: of a pair's log ratio, or of a run's logarithm (both sides pooled)."""
    runs: tuple[int, int]
    units: tuple[int, int]
    """How many independent values each side has: runs, or server starts where those differ inside a side."""
    paired: bool
    higher_is_worse: bool
    method: str
    """``paired t on log ratios``, ``Welch t on log ratios``; empty where nothing could be computed."""
    permutation_p: float | None = None
    """Two-sided; from six values a side."""
    note: str = ""
    """Why there is no interval, or what to keep in mind with it."""
    alpha: float = 0.05
    """Error of the interval and of ``differs``; smaller where this was one of several looks, see ``analysis.looks``."""

    @property
    def ratio(self) -> float | None:
        """new / base."""
        return None if self.log_ratio is None else math.exp(self.log_ratio)

    @property
    def low(self) -> float | None:
        """Lower limit of ``ratio``, at 95 % where ``alpha`` is 0.05."""
        limits = self.interval()
        return None if limits is None else limits[0]

    @property
    def high(self) -> float | None:
        """Upper limit of ``ratio``."""
        limits = self.interval()
        return None if limits is None else limits[1]

    @property
    def p(self) -> float | None:
        """Two-sided p of "no difference"."""
        above, below = self.p_above(1.0), self.p_below(1.0)
        return None if above is None or below is None else min(1.0, 2 * min(above, below))

    @property
    def n(self) -> int:
        """Pairs, or runs of the smaller side."""
        return min(self.runs)

    @property
    def effect(self) -> float | None:
        """The difference in units of ``sd_log`` (Cohen's d; of paired differences where paired)."""
        if self.log_ratio is None or not self.sd_log:
            return None
        return self.log_ratio / self.sd_log

    def interval(self, level: float | None = None) -> tuple[float, float] | None:
        """Limits of ``ratio``; None where a side has a single run.

        Args:
            level: of confidence; None = 1 - ``alpha``.
        """
        level = 1 - self.alpha if level is None else level
        if self.log_ratio is None or self.standard_error is None:
            return None
        half = float(stats.t.ppf(0.5 + level / 2, self.freedom)) * self.standard_error
        return math.exp(self.log_ratio - half), math.exp(self.log_ratio + half)

    def p_above(self, ratio: float) -> float | None:
        """One-sided p of "the true ratio is at most this"; small when it is above."""
        if self.log_ratio is None or self.standard_error is None:
            return None
        away = self.log_ratio - math.log(ratio)
        if self.standard_error == 0:
            return 0.0 if away > 0 else 1.0
        return float(stats.t.sf(away / self.standard_error, self.freedom))

    def p_below(self, ratio: float) -> float | None:
        """One-sided p of "the true ratio is at least this"; small when it is below."""
        if self.log_ratio is None or self.standard_error is None:
            return None
        away = self.log_ratio - math.log(ratio)
        if self.standard_error == 0:
            return 0.0 if away < 0 else 1.0
        return float(stats.t.cdf(away / self.standard_error, self.freedom))

    def differs(self, alpha: float | None = None) -> bool:
        """Whether there is a difference, at a level of error; None = ``alpha``."""
        return self.p is not None and self.p < (self.alpha if alpha is None else alpha)

    @property
    def is_worse(self) -> bool | None:
        """Whether the new side is the worse one, by its value alone; None where they are equal or unknown."""
        if not self.log_ratio:
            return None
        return (self.log_ratio > 0) == self.higher_is_worse

    def largest(self) -> float | None:
        """The largest change, as a share, that the interval leaves possible."""
        limits = self.interval()
        return None if limits is None else max(abs(limit - 1) for limit in limits)

    def more(self, sees: float = SEES) -> Range | None:
        """How many more pairs, or runs a side, would see such a change with 90 % power.

        A range, since the spread itself is known by few runs only (80 % by chi-square).

        Args:
            sees: the change, as a share.
        """
        if self.sd_log is None:
            return None
        return more_needed(
            self.sd_log, self.freedom, have=min(self.units), change=sees, values=1 if self.paired else 2
        )

    def words(self, sees: float = SEES, worse: str = "", better: str = "") -> str:
        """The difference in a few words: "slower by 4-7 %", "no difference larger than 2 % (95 %)", "cannot tell: …".

        Args:
            sees: the smallest change that matters; an interval without a difference that leaves a larger one possible
                tells nothing.
            worse: what a change for the worse is called; by default slower where higher is worse, else lower.
            better: what one for the better is called; faster, higher.
        """
        limits = self.interval()
        if limits is None:
            return f"cannot tell: {self.note or SINGLE}"
        if self.differs():
            word = (worse or self._word(worse=True)) if self.is_worse else (better or self._word(worse=False))
            return f"{word} by {_span(limits)} %"
        largest = self.largest()
        assert largest is not None
        if largest <= sees:
            return f"no difference larger than {_up(100 * largest)} % ({100 * (1 - self.alpha):.3g} %)"
        return f"cannot tell: {self._more_words(sees)}"

    def _word(self, *, worse: bool) -> str:
        if self.higher_is_worse:
            return "slower" if worse else "faster"
        return "lower" if worse else "higher"

    def _more_words(self, sees: float) -> str:
        more = self.more(sees)
        assert more is not None
        what = "pairs" if self.paired else "runs a side"
        return f"{more.text()} more {what} to see {100 * sees:g} %"


def _span(limits: tuple[float, float]) -> str:
    """The smaller and the larger change in percent, without sign."""
    low, high = sorted(100 * abs(limit - 1) for limit in limits)
    digits = 0 if low >= 10 else 1 if high >= 1 else 2
    return f"{low:.{digits}f}-{high:.{digits}f}"


def _up(percent: float) -> str:
    """A percentage rounded up to two figures, so that "not larger than" stays true."""
    if percent <= 0:
        return "0"
    step = 10.0 ** (math.floor(math.log10(percent)) - 1)
    return f"{math.ceil(percent / step - 1e-9) * step:.2g}"
