"""The knee of a load curve: where more requests at once stop giving more output."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_PLATEAU: Final = 0.5
"""The knee is reached when 1 % more in flight gives less than so many per cent more output at the end."""


@dataclass(frozen=True, slots=True)
class Output:
    """What came out of a server at one level of concurrency."""

    in_flight: float
    """Requests under way, on average over time."""
    per_s: float
    """Output, in tokens or in requests per second."""
    steady: bool = True
    """False where requests piled up: then the output is the most that the server gave, at no level of its own."""


@dataclass(frozen=True, slots=True)
class Knee:
    """Where the two limits of a server cross.

    Below it the time of a single request limits the output, above it the server does.
    """

    in_flight: float
    """Requests under way at the crossing."""
    most: float
    """The most that the server gave, in the unit of the output."""
    alone: float
    """What each request under way gave at the lightest load, in the unit of the output."""
    at_knee: float | None
    """The output at the crossing, interpolated between measured loads; None outside of them."""
    reached: bool
    """Whether output had flattened by the end; otherwise the knee lies at or beyond where it is put."""


def knee(outputs: Sequence[Output]) -> Knee | None:
    """The knee by the asymptotes of closed systems; None for fewer than two levels of concurrency.

    With N requests under way, output cannot exceed N times what one gives at the lightest load, nor the most that
    the server gives at all; the knee is where these two lines cross (Denning and Buzen, The operational analysis
    of queueing network models, 1978). Unlike methods that look for the largest bend, it does not depend on
    which loads were chosen or on how the axes are scaled, and saturated loads count, for the most alone.

    Args:
        outputs: measured loads, in any order; those without output or concurrency are left out.
    """
    known = [one for one in outputs if one.in_flight > 0 and one.per_s > 0]
    steady = sorted((one for one in known if one.steady), key=lambda one: one.in_flight)
    if not steady or len({one.in_flight for one in known}) < 2:
        return None
    alone = steady[0].per_s / steady[0].in_flight
    most = max(one.per_s for one in known)
    crossing = most / alone
    return Knee(crossing, most, alone, _at(steady, crossing), _is_reached(known, steady))


def _is_reached(known: Sequence[Output], steady: Sequence[Output]) -> bool:
    """Whether requests piled up somewhere, or output grew much more slowly than concurrency at the end."""
    if len(known) > len(steady):
        return True
    before, last = steady[-2:]
    if last.in_flight <= before.in_flight:
        return False
    return math.log(last.per_s / before.per_s) < _PLATEAU * math.log(last.in_flight / before.in_flight)


def _at(steady: Sequence[Output], in_flight: float) -> float | None:
    for before, after in itertools.pairwise(steady):
        if before.in_flight <= in_flight <= after.in_flight:
            width = after.in_flight - before.in_flight
            share = (in_flight - before.in_flight) / width if width else 0.0
            return before.per_s + share * (after.per_s - before.per_s)
    return None
