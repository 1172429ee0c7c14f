"""The requests of a window in the order in which they were sent: the order in which they share a queue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.measured import Measured

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """The requests of a window in the order in which they were sent, and where one repeat ends."""

    measured: Measured
    order: NDArray[np.intp]
    part: NDArray[np.intp]
    """Of each of them, the repeat that it belongs to."""

    @classmethod
    def of(cls, measured: Measured) -> Series:
        """Those of a measured window."""
        columns = measured.columns
        counted = np.flatnonzero(columns.in_phase & ~np.isnan(columns.sent))
        order = counted[np.argsort(columns.sent[counted], kind="stable")]
        begins = [part.start_ns for part in measured.window.parts]
        when = np.where(np.isnan(columns.scheduled), columns.sent, columns.scheduled)[order]
        return cls(measured, order, np.clip(np.searchsorted(begins, when, side="right") - 1, 0, None))

    @property
    def requests(self) -> int:
        """How many there are."""
        return int(self.order.size)

    def all(self) -> dict[str, tuple[Floats, list[int]]]:
        """Of each metric of requests the values that there are, and how many each repeat has."""
        return {name: self.known(values) for name, values in self.measured.values.items()}

    def known(self, per_request: Floats) -> tuple[Floats, list[int]]:
        """Of one number a request, NaN where there is none: those that there are, and how many each repeat has."""
        values = per_request[self.order]
        there = ~np.isnan(values)
        sizes = np.bincount(self.part[there], minlength=len(self.measured.window.parts))
        return values[there], [int(size) for size in sizes]
