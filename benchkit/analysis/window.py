"""The stretch of a run that counts: one window, or one a repeat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open interval ``[start_ns, end_ns)`` of the run's clock, in ns since the run's start.

    With several repeats it is pierced: ``holes`` are the stretches between the repeats' windows (drain and
    warm-up), sorted and apart; they neither hold stamps nor count as length.
    """

    start_ns: int
    end_ns: int
    holes: tuple[Window, ...] = ()

    @classmethod
    def union(cls, windows: Iterable[Window]) -> Window:
        """The windows of several repeats as one; ValueError when there is none or when they overlap."""
        ordered = sorted(windows, key=lambda window: window.start_ns)
        if not ordered:
            raise ValueError("a union of no windows")
        holes = tuple(cls(before.end_ns, after.start_ns) for before, after in pairwise(ordered))
        if any(hole.end_ns < hole.start_ns for hole in holes):
            raise ValueError("the windows overlap")
        return cls(ordered[0].start_ns, ordered[-1].end_ns, holes)

    @classmethod
    def of_facts(cls, whole: Window, load_facts: Mapping[str, Any]) -> Window:
        """The whole window, pierced where the manifest's ``load.windows`` tells of several repeats."""
        told = load_facts.get("windows") or ()
        if len(told) < 2:
            return whole
        return cls.union(cls(int(each["start_ns"]), int(each["end_ns"])) for each in told)

    @property
    def parts(self) -> tuple[Window, ...]:
        """Its unpierced pieces, one a repeat."""
        starts = [self.start_ns, *(hole.end_ns for hole in self.holes)]
        ends = [*(hole.start_ns for hole in self.holes), self.end_ns]
        return tuple(Window(start, end) for start, end in zip(starts, ends, strict=True))

    @property
    def length_s(self) -> float:
        """Its length in seconds, without holes."""
        return sum(part.end_ns - part.start_ns for part in self.parts) / 1e9

    def holds(self, stamps_ns: NDArray[Any]) -> NDArray[np.bool_]:
        """Which stamps lie in it; a null (NaN) stamp never does."""
        inside: NDArray[np.bool_] = (stamps_ns >= self.start_ns) & (stamps_ns < self.end_ns)
        for hole in self.holes:
            inside &= (stamps_ns < hole.start_ns) | (stamps_ns >= hole.end_ns)
        return inside
