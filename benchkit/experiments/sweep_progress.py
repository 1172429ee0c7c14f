"""How far a sweep is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """The point under way and what is left, told when a point begins.

    Attributes:
        point: the point's place in the order that they are measured in, from 1.
        points: how many there are in all; 0 where the sweep decides as it goes.
        label: the point's load, as ``"4.1 requests/s"``, with its cell where the server's settings vary.
        elapsed_s: seconds since the sweep began.
        left_s: estimate of the seconds until its end; None while nothing is known.
    """

    point: int
    points: int
    label: str
    elapsed_s: float
    left_s: float | None = None
