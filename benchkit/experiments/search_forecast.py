"""What the answer to a search will cost, said before it begins."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchkit.experiments.search_steps import SearchAsk

_REQUESTS = (8_000, 60_000)
"""What searches took for a half-width of 10 %: from the cheapest in docs/search.md to slower servers elsewhere."""
_AT = 0.10


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a search will take, from a low to a high guess."""

    requests: tuple[int, int]
    seconds: tuple[float, float] | None
    """Of server time; None where nobody knows how many requests a second the boundary will be."""
    basis: str
    enough: bool
    """Whether the budget holds the low guess."""

    def __str__(self) -> str:
        low, high = self.requests
        time = (
            ""
            if self.seconds is None
            else f", {' to '.join(_spoken(each) for each in self.seconds)} of server time"
        )
        text = f"{low:,} to {high:,} requests{time} ({self.basis})"
        return text if self.enough else text + "; the budget is less: the interval will be wider than asked"


def forecast(ask: SearchAsk, *, rate: float | None = None, twin_s: float | None = None) -> Forecast:
    """What a search will cost.

    Args:
        ask: its ask; cost goes with the inverse square of the half-width.
        rate: requests per second near the boundary; the start where nothing better is known.
        twin_s: server time that the same search took on the twin: half to twice of it is then said.
    """
    served = rate or (None if ask.streams else ask.start)
    if twin_s is not None:
        seconds = 0.5 * twin_s, 2.0 * twin_s
        requests = [round(each * (served or 1.0)) for each in seconds]
        return Forecast(
            (requests[0], requests[1]),
            seconds,
            "half to twice of what its twin took",
            ask.budget_s >= seconds[0],
        )
    factor = (_AT / ask.half_width) ** 2
    low, high = (max(2_000, round(each * factor)) for each in _REQUESTS)
    if served is None:
        return Forecast((low, high), None, "what most searches took", enough=True)
    seconds = low / served, high / served
    basis = f"what most searches took, at {served:.3g} requests/s"
    return Forecast((low, high), seconds, basis, ask.budget_s >= seconds[0])


def _spoken(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{math.ceil(seconds / 360) / 10:g} h"
