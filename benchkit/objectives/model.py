"""Objectives as values: what was asked, without how it is judged."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Op = Literal["<", "<=", ">", ">="]

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class _Bounded:
    """Whatever is compared with a bound."""

    __slots__ = ()

    op: Op
    bound: float

    @property
    def is_upper(self) -> bool:
        """Whether values should stay below the bound."""
        return self.op in ("<", "<=")

    def holds(self, value: float) -> bool:
        """Whether a value, in the bound's unit, meets the bound.

        Where the bound grows, the value is one that the growing part was taken off already.
        """
        return _COMPARE[self.op](value, self.bound)


@dataclass(frozen=True, slots=True)
class Term(_Bounded):
    """What one request must do: a metric of it, compared with a bound in the metric's unit."""

    metric: str
    op: Op
    bound: float
    per_token: float = 0.0
    """What each prompt token adds to the bound, in the metric's unit."""


@dataclass(frozen=True, slots=True)
class StatisticObjective(_Bounded):
    """A statistic of a metric's values, compared with a bound.

    Where the bound grows with the prompt, it is the statistic of ``value - per_token * prompt_tokens`` that is
    compared with ``bound``: for a percentile, 1 - XX/100 of the requests may exceed their own bounds.
    """

    statistic: str
    """mean, std, min, max, or a percentile as in summary.json: p50, p99, p99_9."""
    metric: str
    op: Op
    bound: float
    """In the metric's unit, see ``METRICS``."""
    text: str = field(compare=False)
    """As the user wrote it, spaces tidied."""
    per_token: float = 0.0
    """What each prompt token adds to the bound, in the metric's unit."""

    @property
    def quantile(self) -> float | None:
        """The percentile as a fraction; None for other statistics."""
        return float(self.statistic[1:].replace("_", ".")) / 100.0 if self.statistic[0] == "p" else None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class AttainmentObjective(_Bounded):
    """The share of requests that meet every term; failed and shed ones do not."""

    terms: tuple[Term, ...]
    op: Op
    bound: float
    """A fraction, 0 to 1."""
    text: str = field(compare=False)
    """As the user wrote it, spaces tidied."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class RateObjective(_Bounded):
    """A share of all requests, or a rate over the window, compared with a bound."""

    name: str
    op: Op
    bound: float
    """A fraction for error_rate and shed_rate, else per second; see ``RATES``."""
    text: str = field(compare=False)
    """As the user wrote it, spaces tidied."""

    def __str__(self) -> str:
        return self.text


Single = StatisticObjective | AttainmentObjective | RateObjective


@dataclass(frozen=True, slots=True)
class AllOf:
    """Several objectives, all to be met: by "and", or by a preset's name."""

    parts: tuple[Single, ...]
    """Two or more, in the order in which they were written."""
    text: str = field(compare=False)
    """As the user wrote it, spaces tidied."""

    def __str__(self) -> str:
        return self.text


Objective = Single | AllOf


def singles(objectives: Objective | Iterable[Objective]) -> tuple[Single, ...]:
    """Every single objective of one or of several, each once, in the order in which they were written."""
    given = (objectives,) if isinstance(objectives, Objective) else objectives
    parts = (each.parts if isinstance(each, AllOf) else (each,) for each in given)
    return tuple(dict.fromkeys(part for group in parts for part in group))
