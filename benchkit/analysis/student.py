"""Student's and Welch's t over the last axis of arrays: one comparison, or thousands of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Spread(NamedTuple):
    """What a t interval is made of; each an array of the leading axes."""

    estimate: Floats
    error: Floats
    """Standard error of ``estimate``."""
    freedom: Floats
    sd: Floats
    """Standard deviation of one value."""


def paired(differences: Floats, floor: float = 0.0) -> Spread:
    """The mean of differences.

    Args:
        differences: pairs along the last axis.
        floor: least standard deviation of one of the two that make a difference.
    """
    count = differences.shape[-1]
    sd = np.maximum(differences.std(axis=-1, ddof=1), np.sqrt(2) * floor)
    freedom = np.full_like(sd, count - 1)
    return Spread(differences.mean(axis=-1), sd / np.sqrt(count), freedom, sd)


def welch(base: Floats, new: Floats, floor: float = 0.0) -> Spread:
    """The difference of two means whose variances need not be equal (Welch 1938).

    Satterthwaite's degrees of freedom (1946), mended where few runs make them err (counted in docs/comparing.md):

    * Sides of equal size: with his own correction for the bias of estimated variances, at most those of equal
      variances. Without it three a side alarm in 3.9 % of cases at 5 %, and see less.
    * Sides of unequal size: at most those of variances drawn a little (by two degrees of freedom) towards the pooled
      one. Without that, three runs against ten alarm in 6.5 %, most of all where the three lie close by chance.

    Args:
        base: values along the last axis.
        new: likewise.
        floor: least standard deviation of a value.
    """
    sizes = base.shape[-1], new.shape[-1]
    variances = [np.maximum(side.var(axis=-1, ddof=1), floor**2) for side in (base, new)]
    shares = [variance / size for variance, size in zip(variances, sizes, strict=True)]
    degrees = sizes[0] + sizes[1] - 2
    pooled = sum(variance * (size - 1) for variance, size in zip(variances, sizes, strict=True)) / degrees
    if sizes[0] == sizes[1]:
        freedom = np.minimum(_satterthwaite(shares, sizes, bias=2), degrees)
    else:
        drawn = [
            (variance * (size - 1) + _DRAWN * pooled) / (size - 1 + _DRAWN) / size
            for variance, size in zip(variances, sizes, strict=True)
        ]
        freedom = np.fmin(_satterthwaite(shares, sizes), _satterthwaite(drawn, sizes))
    return Spread(
        new.mean(axis=-1) - base.mean(axis=-1),
        np.sqrt(shares[0] + shares[1]),
        np.where(pooled > 0, freedom, degrees),
        np.sqrt(pooled),
    )


_DRAWN = 2


def _satterthwaite(shares: Sequence[Floats], sizes: Sequence[int], bias: int = 0) -> Floats:
    """Degrees of freedom of a sum of estimated variances.

    Args:
        shares: each side's part of the variance of the difference.
        sizes: values of each side.
        bias: 2 with the correction for the bias of the squares of estimated variances, else 0.
    """
    below = sum(share**2 / (size - 1 + bias) for share, size in zip(shares, sizes, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = (shares[0] + shares[1]) ** 2 / below - bias
    return found
