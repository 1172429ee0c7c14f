"""The stretch of a run that counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open interval ``[start_ns, end_ns)`` of the run's clock, in ns since the run's start."""

    start_ns: int
    end_ns: int

    @property
    def length_s(self) -> float:
        """Its length in seconds."""
        return (self.end_ns - self.start_ns) / 1e9

    def holds(self, stamps_ns: NDArray[Any]) -> NDArray[np.bool_]:
        """Which stamps lie in it; a null (NaN) stamp never does."""
        inside: NDArray[np.bool_] = (stamps_ns >= self.start_ns) & (stamps_ns < self.end_ns)
        return inside
