"""One number of a run by which settings are compared, as a person names it: ``p99 ttft``, ``output_tokens_per_s``."""

from __future__ import annotations

from typing import NamedTuple

from benchkit.analysis.points import LoadPoint
from benchkit.errors import InvalidParameter
from benchkit.objectives.names import METRICS, RATES, metric_name, statistic_name

_LOWER_IS_BETTER = frozenset({"error_rate", "shed_rate"})


class ComparedNumber(NamedTuple):
    """A statistic of a metric, or a rate."""

    metric: str
    """By summary.json's name."""
    statistic: str
    """By summary.json's name; empty for a rate."""

    @property
    def text(self) -> str:
        """As a person writes it."""
        if not self.statistic:
            return self.metric
        return f"{self.statistic.replace('_', '.')} {self.metric.removesuffix('_ms')}"

    @property
    def unit(self) -> str:
        """Unit of its values."""
        return METRICS[self.metric] if self.statistic else RATES[self.metric]

    @property
    def higher_is_worse(self) -> bool:
        """Whether a rise is a change for the worse: of times and shares of failures, not of rates."""
        return bool(self.statistic) or self.metric in _LOWER_IS_BETTER

    def value(self, point: LoadPoint) -> float | None:
        """Its value in a run; None where the run has none."""
        if self.statistic:
            return point.statistic(self.metric, self.statistic)
        return point.rate_of(self.metric)


def parse_number(text: str) -> ComparedNumber:
    """The number that a text names: a statistic and a metric, or a rate.

    Raises:
        InvalidParameter: there is no such statistic, metric or rate.
    """
    words = text.lower().split()
    if len(words) == 1 and words[0] in RATES:
        return ComparedNumber(words[0], "")
    if len(words) == 2:
        statistic, metric = statistic_name(words[0]), metric_name(words[1])
        if statistic and metric:
            return ComparedNumber(metric, statistic)
    raise InvalidParameter(
        f"{text!r} is no number of a run: write a statistic and a metric ('mean itl', 'p99 ttft'; metrics are "
        f"{', '.join(name.removesuffix('_ms') for name in METRICS)}) or a rate ({', '.join(RATES)})"
    )
