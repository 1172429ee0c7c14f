"""What one machine's client holds before its own error passes a limit, as a map of measured cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

LIMITS_MS: Final = (1.0, 5.0)
"""Errors of the 99th percentile that a map is read at."""
FORMAT: Final = 1
"""Version of a stored map."""

Kind = Literal["tokens", "requests"]
View = Literal["stamps", "loop"]
"""Times of the kernel where there are any, or those at which the client's own code saw the bytes."""
_LEAST_MS: Final = 1e-3
"""Errors below are clocks' noise."""
_MOST_SHIFT: Final = 0.02
"""Cells whose rates differ by less than this share are at the same rate."""


class Spread(NamedTuple):
    """A distribution of errors in ms."""

    p50: float
    p99: float
    p99_high: float
    """Upper end of the 99th percentile's interval (95 %); NaN where there are too few."""
    max: float
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One load on the client and how far it went wrong."""

    kind: Kind
    """tokens: a fixed number of streams, so many tokens/s in all; requests: short answers at so many requests/s."""
    streams: int
    """Requests under way, at most."""
    asked_per_s: float
    """Tokens or requests, by kind."""
    tokens_per_s: float
    """That the server really sent."""
    requests_per_s: float
    """That it really got."""
    seconds: float
    stamps: Spread
    """The client's time of a token - the server's just before it sent it: what its records are wrong by."""
    loop: Spread
    """The same where a client has no times but those of its own code."""
    lateness: Spread | None
    """How late requests left; None where there was no plan for it."""
    server: Spread
    """How late the server was, by its own fault; no part of the client's error."""
    worker_cpu: float | None
    """Processor time of the process that sends and receives, as a share of one core."""
    steal: float | None
    """Share of the machine's time that its host gave to others."""

    @property
    def per_s(self) -> float:
        """The rate that was reached, in tokens or requests by kind."""
        return self.tokens_per_s if self.kind == "tokens" else self.requests_per_s

    def error_ms(self, view: View = "stamps") -> float:
        """The 99th percentile of the client's own error; that of its sends where it is larger."""
        received = self.stamps.p99 if view == "stamps" else self.loop.p99
        return max(received, self.lateness.p99 if self.lateness is not None else 0.0)


class Held(NamedTuple):
    """The highest rate within a limit."""

    per_s: float
    bound: Literal["found", "at least", "below"]
    """found: between two cells; at least: no cell passed the limit; below: the slowest cell did already."""


def held(cells: Iterable[Cell], limit_ms: float, view: View = "stamps") -> Held | None:
    """The highest rate at which the client's error stays within a limit; None without cells.

    The error is taken to grow with the rate: cells where it falls are pooled with their neighbours (isotonic
    regression of its logarithm by the rate that was reached), so that one bad second of the machine moves the answer
    by a part of a cell, and lies on a straight line between cells in logarithms of both.
    """
    ordered = sorted(cells, key=lambda cell: cell.per_s)
    if not ordered:
        return None
    rates = np.log(np.maximum([cell.per_s for cell in ordered], 1e-9))
    errors = rising(np.log(np.maximum([cell.error_ms(view) for cell in ordered], _LEAST_MS)))
    past = np.flatnonzero(errors > math.log(limit_ms))
    if not past.size:
        return Held(float(np.exp(rates[-1])), "at least")
    first = int(past[0])
    if first == 0:
        return Held(float(np.exp(rates[0])), "below")
    rise = errors[first] - errors[first - 1]
    share = (math.log(limit_ms) - errors[first - 1]) / rise
    return Held(float(np.exp(rates[first - 1] + share * (rates[first] - rates[first - 1]))), "found")


def rising(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The closest sequence (least squares) that never falls: neighbours that fall are pooled."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, count = float(value), 1
        while blocks and blocks[-1][0] > mean:
            before, size = blocks.pop()
            mean = (mean * count + before * size) / (count + size)
            count += size
        blocks.append((mean, count))
    return np.repeat([mean for mean, _ in blocks], [count for _, count in blocks])


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMap:
    """What a machine's client holds, measured against a server that logs what it sends."""

    made_at: str
    """UTC, ISO 8601."""
    environment: Mapping[str, Any]
    """The machine and its software, as in a run's manifest."""
    workers: int
    """Load processes."""
    transport: str
    kernel_times: bool
    """Whether received bytes had the kernel's times."""
    seconds: float
    """What the measurement took."""
    cells: tuple[Cell, ...]

    def of_kind(self, kind: Kind, streams: int | None = None) -> list[Cell]:
        """The cells of one kind, and of one number of streams if that is given."""
        return [cell for cell in self.cells if cell.kind == kind and streams in (None, cell.streams)]

    @property
    def streams(self) -> list[int]:
        """The numbers of streams that were measured, ascending."""
        return sorted({cell.streams for cell in self.of_kind("tokens")})

    def frontier(self, limit_ms: float, view: View = "stamps") -> dict[int, Held]:
        """Tokens/s within a limit, by the number of streams."""
        found = {count: held(self.of_kind("tokens", count), limit_ms, view) for count in self.streams}
        return {count: value for count, value in found.items() if value is not None}

    def requests_held(self, limit_ms: float, view: View = "stamps") -> Held | None:
        """Requests/s within a limit; None where none were measured."""
        return held(self.of_kind("requests"), limit_ms, view)

    def tokens_held(self, streams: float, limit_ms: float) -> Held | None:
        """Tokens/s within a limit at any number of streams; None beyond the most that were measured.

        Between two measured numbers it lies on a straight line in logarithms; below the least it is that of the least.
        """
        frontier = self.frontier(limit_ms)
        if not frontier or streams > max(frontier) * (1 + _MOST_SHIFT):
            return None
        counts = list(frontier)
        rate = np.interp(
            math.log(max(streams, 1.0)),
            np.log(counts),
            np.log([value.per_s for value in frontier.values()]),
        )
        beside = [value.bound for value in _beside(frontier, streams)]
        bound = next((kind for kind in ("below", "at least") if kind in beside), "found")
        return Held(float(np.exp(rate)), bound)  # type: ignore[arg-type]

    @property
    def steal(self) -> float | None:
        """The largest share of a cell's time that the host gave to others."""
        return max((cell.steal for cell in self.cells if cell.steal is not None), default=None)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "format": FORMAT,
            "made_at": self.made_at,
            "environment": dict(self.environment),
            "workers": self.workers,
            "transport": self.transport,
            "kernel_times": self.kernel_times,
            "seconds": self.seconds,
            "cells": [_cell_as_dict(cell) for cell in self.cells],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What ``as_dict`` gave.

        Raises:
            ValueError: it is none of those, or of a later format.
        """
        if data.get("format") != FORMAT:
            raise ValueError(f"it is of format {data.get('format')!r}, and this version reads {FORMAT}")
        try:
            told = {name: value for name, value in data.items() if name not in {"format", "cells"}}
            return cls(**told, cells=tuple(map(_cell_from_dict, data["cells"])))
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is not complete: {error}") from None


_SPREADS: Final = ("stamps", "loop", "lateness", "server")


def _cell_as_dict(cell: Cell) -> dict[str, Any]:
    told = asdict(cell)
    for name in _SPREADS:
        spread: Spread | None = getattr(cell, name)
        if spread is not None:
            high = None if math.isnan(spread.p99_high) else spread.p99_high
            told[name] = spread._replace(p99_high=high)._asdict()  # type: ignore[arg-type]
    return told


def _cell_from_dict(told: Mapping[str, Any]) -> Cell:
    spreads = {name: None if told[name] is None else _spread(told[name]) for name in _SPREADS}
    return Cell(**{**told, **spreads})


def _spread(told: Mapping[str, Any]) -> Spread:
    high = math.nan if told["p99_high"] is None else told["p99_high"]
    return Spread(**{**told, "p99_high": high})


def _beside(frontier: Mapping[int, Held], streams: float) -> Sequence[Held]:
    """What was measured at the numbers of streams on either side."""
    counts = list(frontier)
    above = min((count for count in counts if count >= streams), default=counts[-1])
    below = max((count for count in counts if count <= streams), default=counts[0])
    return [frontier[count] for count in sorted({below, above})]
