"""A logit line through shares of misses that come in bursts: its fit, one inflation factor, Fieller's interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

COSINES = 8
"""Of each sample's misses, from the slowest on: what they hold beyond chance is the bursts' doing."""
_SHORTEST = 8 * COSINES
_CONFIDENCE = 0.95
_RIDGE = 1e-9
"""Keeps a line through shares of exactly 0 or 1 from having no curvature at all."""


@dataclass(frozen=True, slots=True)
class LogitLine:
    """``logit(share of misses) = intercept + slope * x``, as far as the samples tell."""

    intercept: float
    slope: float
    covariance: Floats
    """Of intercept and slope, inflated."""
    inflation: float
    """Variance of counts of misses in units of that of independent requests; at least 1."""
    freedom: float
    """Degrees of freedom that the inflation rests on."""

    def crossing(self, share: float) -> float | None:
        """Where the line reaches a share; None for a line that does not rise."""
        return (logit(share) - self.intercept) / self.slope if self.slope > 0 else None

    def fieller(self, share: float) -> tuple[float, float] | None:
        """The 95 % interval of that place; None where the samples do not tell that the line rises.

        All x at which the line does not differ from the share by more than t standard errors (Fieller 1954).
        """
        t_square = float(stats.t.ppf((1 + _CONFIDENCE) / 2, max(1.0, self.freedom))) ** 2
        offset = self.intercept - logit(share)
        (v_aa, v_ab), (_, v_bb) = self.covariance.tolist()
        square = self.slope**2 - t_square * v_bb
        half = self.slope * offset - t_square * v_ab
        inner = half**2 - square * (offset**2 - t_square * v_aa)
        if self.slope <= 0 or square <= 0 or inner < 0:
            return None
        root = math.sqrt(inner)
        return (-half - root) / square, (-half + root) / square


def logit(share: float) -> float:
    """The logarithm of the odds."""
    return math.log(share / (1 - share))


def fit_line(x: Floats, misses: Sequence[Flags]) -> LogitLine:
    """The line through samples of misses at two or more places.

    Binomial maximum likelihood with Firth's correction (1993), which keeps the line finite where no request missed,
    with all counts divided by one inflation factor. That factor is pooled over the samples: a factor of each sample's
    own would call one without any miss certain.

    Args:
        x: of each sample.
        misses: of each sample, in order of time.
    """
    counts = np.array([flags.size for flags in misses], dtype=np.float64)
    hits = np.array([flags.sum() for flags in misses], dtype=np.float64)
    design = np.column_stack([np.ones_like(x), x])
    waves = [_waves(flags) for flags in misses]
    inflation, line = 1.0, None
    for _ in range(8):
        weights, information, leverages, shares = _firth(design, hits / inflation, counts / inflation)
        before = inflation
        inflation, freedom = _inflation(counts, hits, shares, leverages, waves)
        line = LogitLine(float(weights[0]), float(weights[1]), _inverse(information), before, freedom)
        if abs(math.log(inflation / before)) < 0.01:
            break
    assert line is not None
    return line


def _firth(design: Floats, hits: Floats, counts: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights, information, leverages and fitted shares of a grouped logistic regression with Firth's correction."""
    share = min(0.999, max(0.001, float((hits.sum() + 0.5) / (counts.sum() + 1))))
    weights = np.array([logit(share), 0.0])
    for _ in range(100):
        shares = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        spread = np.maximum(counts * shares * (1 - shares), 1e-12)
        information = design.T @ (spread[:, None] * design) + _RIDGE * np.eye(2)
        leverages = spread * np.einsum("ij,jk,ik->i", design, _inverse(information), design)
        step = np.linalg.solve(information, design.T @ (hits - counts * shares + leverages * (0.5 - shares)))
        step *= min(1.0, 2.0 / max(1e-12, float(np.abs(design @ step).max())))
        weights = weights + step
        if float(np.abs(step).max()) < 1e-9:
            break
    return weights, information, leverages, shares


def _inverse(matrix: Floats) -> Floats:
    inverse: Floats = np.linalg.inv(matrix).astype(np.float64)
    return inverse


def _waves(flags: Flags) -> Floats:
    """Squared cosine coefficients of a sample of misses; each has on average the variance of one independent miss."""
    if flags.size < _SHORTEST:
        return np.empty(0)
    phase = np.pi * (np.arange(flags.size) + 0.5) / flags.size
    cosines = np.cos(np.outer(np.arange(1, COSINES + 1), phase))
    coefficients: Floats = math.sqrt(2 / flags.size) * (cosines @ flags.astype(np.float64))
    return coefficients**2


def _inflation(
    counts: Floats, hits: Floats, shares: Floats, leverages: Floats, waves: Sequence[Floats]
) -> tuple[float, float]:
    """The pooled factor and its degrees of freedom.

    Each sample gives the slow cosines of its misses, and how far their number lies from the line; the latter brings in
    what differs from run to run, and what is not a line. Longer samples count by their length.
    """
    seen = expected = squares = 0.0
    for count, hit, share, leverage, wave in zip(counts, hits, shares, leverages, waves, strict=True):
        free = wave.size + max(0.0, 1.0 - float(leverage))
        weight = float(count) * float(share * (1 - share))
        seen += float(count) * (float(wave.sum()) + float(hit - count * share) ** 2 / float(count))
        expected += weight * free
        squares += weight**2 * free
    if expected <= 0 or squares <= 0:
        return 1.0, 1.0
    return max(1.0, seen / expected), expected**2 / squares
