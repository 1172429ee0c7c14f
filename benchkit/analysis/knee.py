"""The knee of a load curve: where more requests at once stop being worth their waiting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Output:
    """What came out of a server at one level of concurrency."""

    in_flight: float
    """Requests under way, on average over time."""
    per_s: float
    """Output, in tokens or in requests per second."""
    steady: bool = True
    """False where requests piled up: the output is then the most that the server gave, at no level of its own."""


@dataclass(frozen=True, slots=True)
class Knee:
    """The measured load with the most output for the time that it takes."""

    in_flight: float
    per_s: float
    most: float
    """The most that the server gave under any load, in the unit of the output."""
    low: float | None
    """Requests in flight of the next lower measured load: the knee lies above; None where there is none."""
    high: float | None
    """Requests in flight of the next higher one: the knee lies below; None where there is none."""
    reached: bool
    """Whether the knee was passed: some load had more in flight, or requests piled up. Otherwise it lies at or
    beyond where it is put."""

    @property
    def share(self) -> float:
        """Output at the knee over the most."""
        return self.per_s / self.most


def knee(outputs: Sequence[Output]) -> Knee | None:
    """The knee by the largest power, output over time in the server; None for fewer than two loads.

    With N requests in flight and output X, a request takes N / X (Little's law), so that power is X² / N. Where it
    is largest, 1 % more in flight gives 1/2 % more output; beyond, waiting grows faster than output (Kleinrock,
    Power and deterministic rules of thumb for probabilistic problems in computer communications, ICC 1979).
    Unlike methods that look for the largest bend, it does not depend on how the axes are scaled.

    Args:
        outputs: measured loads, in any order; those without output or concurrency are left out. Unsteady ones
            count for the most that came out, and for whether the knee was passed.
    """
    known = [one for one in outputs if one.in_flight > 0 and one.per_s > 0]
    steady = sorted((one for one in known if one.steady), key=lambda one: one.in_flight)
    if not steady or len({one.in_flight for one in known}) < 2:
        return None
    best = max(range(len(steady)), key=lambda place: _log_power(steady[place]))
    last = best == len(steady) - 1
    return Knee(
        in_flight=steady[best].in_flight,
        per_s=steady[best].per_s,
        most=max(one.per_s for one in known),
        low=steady[best - 1].in_flight if best else None,
        high=None if last else steady[best + 1].in_flight,
        reached=not last or len(known) > len(steady),
    )


def _log_power(one: Output) -> float:
    return 2 * math.log(one.per_s) - math.log(one.in_flight)
