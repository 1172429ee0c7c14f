"""How far the mean of a correlated series may lie from the truth: its long-run variance by equal-weighted cosines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

COSINES: Final = 8
"""Frequencies that are averaged. More would be narrower by luck where memory is long, fewer wider everywhere."""


def variance_of_mean(pieces: Sequence[Floats]) -> Floats:
    """The variance of the mean of a series with memory, from its slowest cosines.

    The long-run variance is the mean of the squared coefficients of the first ``COSINES`` cosines of type II, which a
    memory that is short against the series leaves independent and of equal variance: Student's t with as many degrees
    of freedom goes with it (Lazarus, Lewis, Stock and Watson, "HAR Inference", JBES 2018). Where the series is in
    several pieces (repeats), each piece has its share of the cosines; the mean is that of all elements.

    Args:
        pieces: arrays of shape (..., n_i): the last axis is time, those before are series handled alike.

    Returns:
        Of shape (...): the variance of the mean over all pieces; NaN where a piece is too short.
    """
    count = sum(piece.shape[-1] for piece in pieces)
    mean = sum(piece.sum(axis=-1) for piece in pieces) / count
    own = _shares(tuple(piece.shape[-1] for piece in pieces))
    found = np.zeros(np.shape(mean))
    for piece, cosines in zip(pieces, own, strict=True):
        if not cosines:
            continue
        size = piece.shape[-1]
        base = _basis(size, cosines)
        # A piece's own mean is no noise that its cosines see; what differs between pieces is seen by neither.
        weights = (piece - np.asarray(mean)[..., None]) @ base
        found = found + (weights**2).sum(axis=-1)
    variance: Floats = np.asarray(found / max(sum(own), 1) / count if sum(own) else np.nan * found)
    return variance


def t_limit(level: float = 0.95, freedom: int = COSINES) -> float:
    """The two-sided quantile of Student's t."""
    return _t(level, freedom)


@lru_cache(maxsize=64)
def _t(level: float, freedom: int) -> float:
    return float(stats.t.ppf(0.5 + level / 2, freedom))


def _shares(sizes: tuple[int, ...]) -> list[int]:
    """How many cosines each piece gives: by its length, ``COSINES`` in all, or one each where there are more pieces."""
    total = sum(sizes)
    wanted = [size / total * COSINES if total else 0.0 for size in sizes]
    shares = [int(each) for each in wanted]
    for index in sorted(range(len(sizes)), key=lambda at: shares[at] - wanted[at])[: COSINES - sum(shares)]:
        shares[index] += 1
    return [min(share, max(size - 1, 0)) for share, size in zip(shares, sizes, strict=True)]


@lru_cache(maxsize=8)
def _basis(size: int, cosines: int) -> Floats:
    """The cosines of type II as columns, each of squared length equal to 1."""
    at = (np.arange(size) + 0.5)[:, None] * np.arange(1, cosines + 1)[None, :]
    return math.sqrt(2.0 / size) * np.cos(math.pi * at / size)
