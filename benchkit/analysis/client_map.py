"""What a machine's client can hold before its own error passes a bound: a map of loads, and the limits in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final, Literal, Self

import numpy as np
from scipy.optimize import isotonic_regression

from benchkit.analysis.client_error import Spread

View = Literal["kernel", "loop"]

BOUNDS_MS: Final = (1.0, 5.0)
"""Errors that a map is asked for."""
VIEWS: Final[Mapping[View, str]] = {
    "kernel": "by the kernel's times",
    "loop": "by the event loop's times",
}
_KEPT: Final = 0.97
_SAME_MACHINE: Final = (
    *("benchkit", "python", "client_packages", "kernel", "cpu_model", "cpu_count"),
    *("cpu_affinity", "cpu_quota", "container"),
)
_SMALLEST_MS: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Cell:
    """One load of the test, or one stage of it."""

    kind: Literal["streams", "requests"]
    streams: int
    """Asked for; of a rate of requests the most that were under way."""
    asked_per_s: float
    """Tokens/s, or requests/s."""
    events_per_s: float
    """As the server sent them."""
    requests_per_s: float
    """That were due."""
    kernel: Spread | None
    loop: Spread | None
    lateness: Spread | None
    """Of the requests that were due meanwhile; None of too few."""
    server: Spread | None
    """How late the server sent, by its own log."""
    steal_percent: float | None
    """Of the machine's time, taken away during the load."""

    @property
    def rate(self) -> float:
        """What the cell stands for on its axis: events/s, or requests/s."""
        return self.events_per_s if self.kind == "streams" else self.requests_per_s

    @property
    def kept_pace(self) -> bool:
        """Whether the server sent what was asked; of a rate of requests its lateness tells."""
        return self.kind == "requests" or self.rate >= _KEPT * self.asked_per_s

    def spread(self, view: View) -> Spread | None:
        """The client's error in one view."""
        return self.kernel if view == "kernel" else self.loop

    def error_ms(self, view: View) -> float:
        """The 99th percentile that is judged: of stamps, and of lateness where a rate of requests was asked."""
        judged = [self.spread(view), *([self.lateness] if self.kind == "requests" else [])]
        values = [math.inf if each is None or each.p99 is None else each.p99 for each in judged]
        return max(_SMALLEST_MS, *values)

    def state(self, view: View, bound_ms: float) -> Literal["holds", "fails", "unsure"]:
        """Whether the error is below a bound, by the limits of its 99th percentile."""
        judged = [self.spread(view), *([self.lateness] if self.kind == "requests" else [])]
        if all(each is not None and each.high is not None and each.high < bound_ms for each in judged):
            return "holds"
        if any(each is None or each.p99 is None or (each.low or 0.0) >= bound_ms for each in judged):
            return "fails"
        return "unsure"

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """The cell that ``asdict`` wrote."""
        spreads = {
            name: Spread(**told[name]) if told[name] else None
            for name in ("kernel", "loop", "lateness", "server")
        }
        return cls(**{**told, **spreads})


@dataclass(frozen=True, slots=True)
class Limit:
    """The highest rate within a bound."""

    rate: float
    open: bool = False
    """Not reached by the test: it is at least that."""
    below: bool = False
    """Already the lowest rate of the test was too much: it is less than that."""

    def __str__(self) -> str:
        return (
            "at least " if self.open else "less than " if self.below else ""
        ) + f"{float(f'{self.rate:.3g}'):,.0f}"


@dataclass(frozen=True, slots=True)
class ClientMap:
    """All cells of one test, and the machine that they are of."""

    made: str
    """UTC, as ISO 8601."""
    workers: int
    arrive: str
    answer_tokens: int
    seconds: float
    """How long the test took."""
    busy_percent: float
    """Share of all processors that others used just before."""
    environment: dict[str, Any]
    cells: tuple[Cell, ...]

    @property
    def columns(self) -> tuple[int, ...]:
        """Numbers of streams that were tried, ascending."""
        return tuple(sorted({cell.streams for cell in self.cells if cell.kind == "streams"}))

    def of_streams(self, streams: int) -> list[Cell]:
        """The stages of one number of streams, by what the server sent."""
        found = [cell for cell in self.cells if cell.kind == "streams" and cell.streams == streams]
        return sorted(found, key=lambda cell: cell.rate)

    @property
    def of_requests(self) -> list[Cell]:
        """The rates of requests, ascending."""
        return sorted((cell for cell in self.cells if cell.kind == "requests"), key=lambda cell: cell.rate)

    def events_limit(self, streams: float, bound_ms: float, view: View = "kernel") -> Limit | None:
        """Events/s that so many streams may bring; None beyond the streams that were tried.

        Between the columns it is interpolated on logarithmic axes; below the first one it is the first one's.
        """
        columns = self.columns
        if not columns or streams > columns[-1]:
            return None
        at = next(index for index, column in enumerate(columns) if column >= streams)
        if at == 0 or streams == columns[at]:
            return limit(self.of_streams(columns[at]), bound_ms, view)
        first, second = (limit(self.of_streams(columns[index]), bound_ms, view) for index in (at - 1, at))
        share = math.log(streams / columns[at - 1]) / math.log(columns[at] / columns[at - 1])
        rate = math.exp((1 - share) * math.log(first.rate) + share * math.log(second.rate))
        below = first.below or second.below
        return Limit(rate, (first.open or second.open) and not below, below)

    def requests_limit(self, bound_ms: float, view: View = "kernel") -> Limit | None:
        """Requests/s that it may send; None where none were tried."""
        cells = self.of_requests
        return limit(cells, bound_ms, view) if cells else None

    def foreign(self, environment: Mapping[str, Any]) -> list[str]:
        """In which facts another environment differs from this map's, as far as its client is concerned."""
        return [name for name in _SAME_MACHINE if environment.get(name) != self.environment.get(name)]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """The map that ``as_dict`` wrote."""
        return cls(**{**told, "cells": tuple(Cell.of(cell) for cell in told["cells"])})


def limit(cells: Sequence[Cell], bound_ms: float, view: View) -> Limit:
    """Where the error of rising rates passes a bound.

    A disturbance of the machine can spoil a low rate and spare a higher one, but no client errs less under more load:
    the errors are first made to rise with the rate (isotonic regression of their logarithms), then interpolated on
    logarithmic axes.

    Args:
        cells: by rising rate, at least one.
        bound_ms: the bound of the 99th percentile.
        view: which times are judged.
    """
    rates = np.log([max(cell.rate, 1e-9) for cell in cells])
    worst = 1e3 * bound_ms
    errors = np.log([min(cell.error_ms(view), worst) for cell in cells])
    rising = isotonic_regression(errors).x
    bound = math.log(bound_ms)
    if rising[0] >= bound:
        return Limit(math.exp(rates[0]), below=True)
    for (rate, error), (next_rate, next_error) in pairwise(zip(rates, rising, strict=True)):
        if next_error >= bound:
            share = (bound - error) / (next_error - error)
            return Limit(math.exp(rate + share * (next_rate - rate)))
    return Limit(math.exp(rates[-1]), open=True)
