"""A sorted sample of a run beside what its summary says of it: which percentiles may be stated, and how surely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from benchkit.analysis.binomial import needed_for
from benchkit.report.frames import Floats
from benchkit.report.precision import limits_of

MARKED: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
"""The percentiles that are marked on a distribution, as shares."""


@dataclass(frozen=True, slots=True)
class Series:
    """One curve of a chart of distributions."""

    name: str
    sample: Floats
    """Sorted, in ms."""
    noun: str
    """What one value is of."""
    entry: Mapping[str, Any] = field(default_factory=dict)
    """The metric's part of the summary; empty where it has none."""

    def resolves(self, statistic: str) -> bool:
        """Whether a percentile may be stated: it has an interval, or nothing is known against it."""
        if limits_of(self.entry, statistic) is not None:
            return True
        return "notes" not in self.entry and len(self.sample) >= needed_for(MARKED[statistic])

    def at(self, statistic: str) -> float:
        """A percentile, by the summary where that has it: it counts requests that were not seen to end."""
        told = self.entry.get(statistic)
        return float(np.quantile(self.sample, MARKED[statistic])) if told is None else float(told)

    def limits(self, statistic: str) -> tuple[float, float] | None:
        """Its 95 % limits; None where there are none."""
        return limits_of(self.entry, statistic)

    @property
    def highest(self) -> str:
        """The highest percentile above the median that may be stated; empty where none may."""
        return next((name for name in reversed(MARKED) if name != "p50" and self.resolves(name)), "")
