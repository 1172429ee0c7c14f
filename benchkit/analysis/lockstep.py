"""Whether the streams of a closed loop start together, wave after wave."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FALSE_ALARMS = 0.01
"""At most this share of closed loops with independent streams is called lockstep."""

_FEWEST_STREAMS = 4


class Bunching(NamedTuple):
    """How much the starts of a closed loop's streams are bunched."""

    concentration: float
    """From 0 (spread evenly over a wave) to 1 (all at once); 0.64 when they fill half of a wave."""
    chance: float
    """The probability that independent streams are at least so bunched."""


def bunching(starts_ns: NDArray[np.floating[Any]], streams: int) -> Bunching | None:
    """How bunched the streams start, wave after wave.

    The sends are cut into blocks of as many as there are streams. A block's period runs to the next block's
    first send: the time in which each stream starts once, about one latency. Each block has a circular
    concentration R of its sends' phases in that period, and the median R goes into Rayleigh's test with one
    phase a stream (p-value: Zar, Biostatistical Analysis, eq. 27.4). When streams repeat their phases, every
    block says the same and the test is exact; when they do not, the median scatters less than one block does
    and the test is conservative.

    Args:
        starts_ns: send times in the window, any order.
        streams: the concurrency.

    Returns:
        None when it cannot be told: fewer than four streams, or fewer than two whole waves.
    """
    starts = np.sort(starts_ns[~np.isnan(starts_ns)])
    blocks = (starts.size - 1) // streams if streams >= _FEWEST_STREAMS else 0
    if blocks < 2:
        return None
    edges = starts[: blocks * streams + 1 : streams]
    periods = np.diff(edges)
    if (periods <= 0).any():
        return None
    inside = starts[: blocks * streams].reshape(blocks, streams)
    phases = 2.0 * math.pi * (inside - edges[:-1, None]) / periods[:, None]
    concentrations = np.abs(np.exp(1j * phases).mean(axis=1))
    concentration = float(np.median(concentrations))
    return Bunching(concentration, _rayleigh(concentration, streams))


def _rayleigh(concentration: float, count: int) -> float:
    """The chance that ``count`` independent uniform phases are at least so concentrated."""
    resultant = count * concentration
    exponent = math.sqrt(1 + 4 * count + 4 * (count**2 - resultant**2)) - (1 + 2 * count)
    return min(1.0, math.exp(exponent))
