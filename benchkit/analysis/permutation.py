"""The permutation test of a difference: what chance alone would do with these very values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MOST_EXACT = 20_000
"""Arrangements that are all looked at; of more, so many are drawn."""
_SEED = 20_260
_TIE = 1e-12


def permutation_p(values: Sequence[Floats]) -> float:
    """Two-sided p of "no difference".

    One array: differences of pairs, whose signs are flipped. Two arrays: sides whose values are dealt anew, judged by
    Welch's t, which stays fair where only the spreads differ (Janssen 1997).

    Args:
        values: one array or two.
    """
    return _flips(values[0]) if len(values) == 1 else _deals(values[0], values[1])


def _flips(differences: Floats) -> float:
    count = differences.size
    if 2**count <= _MOST_EXACT:
        signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        sums = np.abs(signs @ differences)
        return float(np.mean(sums >= abs(differences.sum()) - _TIE))
    signs = np.random.default_rng(_SEED).choice([-1, 1], size=(_MOST_EXACT, count))
    sums = np.abs(signs @ differences)
    return float((1 + np.sum(sums >= abs(differences.sum()) - _TIE)) / (1 + _MOST_EXACT))


def _deals(base: Floats, new: Floats) -> float:
    pooled, size = np.concatenate([base, new]), base.size
    seen = _welch(pooled[None, :], size)[0]
    exact = math.comb(pooled.size, size) <= _MOST_EXACT
    if exact:
        chosen = np.asarray(list(combinations(range(pooled.size), size)))
        mask = np.zeros((len(chosen), pooled.size), dtype=bool)
        np.put_along_axis(mask, chosen, values=True, axis=1)
        order = np.argsort(~mask, axis=1, kind="stable")
    else:
        order = np.argsort(np.random.default_rng(_SEED).random((_MOST_EXACT, pooled.size)), axis=1)
    hits = int(np.sum(_welch(pooled[order], size) >= seen * (1 - _TIE) - _TIE))
    return hits / len(order) if exact else (1 + hits) / (1 + len(order))


def _welch(rows: Floats, size: int) -> Floats:
    """Welch's t without its sign, of each row's first values against the others."""
    base, new = rows[:, :size], rows[:, size:]
    error = np.sqrt(base.var(axis=1, ddof=1) / size + new.var(axis=1, ddof=1) / new.shape[1])
    apart = np.abs(base.mean(axis=1) - new.mean(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(error > 0, apart / error, np.where(apart > _TIE, np.inf, 0.0))
    return found
