"""How bursty arrivals are: the index of dispersion of their counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FEWEST_WINDOWS = 20
"""Fewer windows leave the variance unknown to a factor of two: its relative error is about sqrt(2 / windows)."""


def dispersion_of(arrivals_s: Sequence[float] | NDArray[np.float64], width_s: float) -> float | None:
    """Variance over mean of the arrivals in windows of this width: 1 for Poisson, above for bursts, 0 for a clock.

    Over longer windows a load that moves with the time of day counts as burstiness, too: take arrivals of hours
    in which it is about level.

    Args:
        arrivals_s: times of arrivals, in any order, s.
        width_s: the time in which more servers could be there (start-up), s.

    Returns:
        None where there are fewer than ``FEWEST_WINDOWS`` whole windows between the first and the last arrival.
    """
    times = np.asarray(arrivals_s, dtype=np.float64)
    if times.size < 2:
        return None
    first = float(times.min())
    windows = int((float(times.max()) - first) // width_s)
    if windows < FEWEST_WINDOWS:
        return None
    at = ((times - first) // width_s).astype(np.int64)
    counts = np.bincount(at[at < windows], minlength=windows)
    return float(counts.var(ddof=1) / counts.mean())
