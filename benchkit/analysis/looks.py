"""Looks at a growing number of runs, fixed beforehand, and the error that each of them may make.

Whoever looks after each run and stops at the first difference alarms three times as often as the level says. Looks at
fixed numbers, all at one smaller level, make the error of one test together (Pocock 1977).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Floats = NDArray[np.float64]

AT = (5, 10, 20, 40, 80, 160, 320, 640)
"""Numbers of runs or pairs at which is looked: each look has twice the runs of the one before."""
_GRID = 601


def looks_of(most: int) -> tuple[int, ...]:
    """The looks of a comparison of at most so many runs or pairs; the last is at all of them.

    Args:
        most: runs or pairs.
    """
    return (*(count for count in AT if count < most), most)


def spent(looks: Sequence[int], alpha: float = 0.05) -> float:
    """The two-sided level of each look with which all of them together err in a share of alpha.

    Args:
        looks: numbers of runs, ascending.
        alpha: of all looks together.
    """
    return _spent(tuple(looks), alpha)


@lru_cache(maxsize=64)
def _spent(looks: tuple[int, ...], alpha: float) -> float:
    if len(looks) < 2:
        return alpha

    def excess(level: float) -> float:
        return _crossing(looks, float(stats.norm.isf(level / 2))) - alpha

    return float(optimize.brentq(excess, alpha / len(looks), alpha, xtol=1e-6))


def _crossing(looks: tuple[int, ...], limit: float) -> float:
    """The chance that a mean without any effect leaves ±limit standard errors at a look (Armitage et al. 1969).

    The sum of the runs is followed from look to look on a grid, as far as it has stayed inside.
    """
    edges = [limit * np.sqrt(count) for count in looks]
    grid = np.linspace(-edges[0], edges[0], _GRID)
    density = stats.norm.pdf(grid, scale=np.sqrt(looks[0]))
    stayed = float(np.trapezoid(density, grid))
    for before, count, edge in zip(looks, looks[1:], edges[1:], strict=False):
        further = np.linspace(-edge, edge, _GRID)
        steps = stats.norm.pdf(further[:, None] - grid[None, :], scale=np.sqrt(count - before))
        density = np.trapezoid(steps * density[None, :], grid, axis=1)
        grid = further
        stayed = float(np.trapezoid(density, grid))
    return 1 - stayed
