"""Whether the repeats of a run agree: the spread of their means beyond what chance inside each of them explains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from benchkit.analysis.difference import holm
from benchkit.analysis.intervals import ENOUGH, split
from benchkit.analysis.long_run import COSINES, variance_of_mean
from benchkit.analysis.measured import Measured
from benchkit.analysis.run_memory import memory_of_scores, normal_scores, remembering
from benchkit.analysis.send_order import Series

METRICS: Final = ("ttft_ms", "tpot_ms", "latency_ms")
LEVEL: Final = 0.01
"""How often repeats that differ by chance alone are said to disagree, over all metrics together."""
_RAISED_BY: Final = 25.0
"""Variance inside a repeat is raised by this much over the memories that it spans: a few look calmer than they are."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How far the repeats' means of a metric lie apart."""

    metric: str
    spread: float
    """Standard deviation between repeats, without what chance inside them gives, as a share of the mean."""
    p: float
    """Adjusted over the metrics."""

    @property
    def is_sure(self) -> bool:
        """Whether chance would hardly give such a spread."""
        return self.p < LEVEL

    @property
    def words(self) -> str:
        """Metric and spread, for a reader."""
        return f"{self.metric} ±{100 * self.spread:.0f} %"


def disagreements(measured: Measured) -> list[Disagreement] | None:
    """The spread of each metric, by an F test of the variance of run means against that inside the runs.

    Args:
        measured: the records of all repeats.

    Returns:
        None for a single repeat, or where one is too short against its memory to know its own variance.
    """
    runs = len(measured.window.parts)
    if runs < 2:
        return None
    series = Series.of(measured)
    remembered = _memory(measured)
    found = []
    for metric in METRICS:
        values, sizes = series.known(measured.values[metric])
        if min(sizes) < ENOUGH * remembered:
            continue
        pieces = split(values, sizes)
        means = np.array([piece.mean() for piece in pieces])
        raised = [1 + _RAISED_BY * remembered / size for size in sizes]
        inside = float(
            np.mean([float(variance_of_mean([piece])) * by for piece, by in zip(pieces, raised, strict=True)])
        )
        between, mean = float(means.var(ddof=1)), float(values.mean())
        if inside > 0 and mean > 0:
            p = float(stats.f.sf(between / inside, runs - 1, COSINES * runs))
            found.append((metric, math.sqrt(max(0.0, between - inside)) / mean, p))
    if not found:
        return None
    adjusted = holm([p for _, _, p in found])
    return [Disagreement(metric, spread, p) for (metric, spread, _), p in zip(found, adjusted, strict=True)]


def _memory(measured: Measured) -> float:
    """The memory about each repeat's own mean: repeats that differ seem to remember for ever."""
    found = 1.0
    for times, values in remembering(measured):
        scores = normal_scores(values)
        pieces = [scores[part.holds(times)] for part in measured.window.parts]
        left = [piece - piece.mean() for piece in pieces if piece.size]
        found = max(found, memory_of_scores(np.concatenate(left)) if left else 1.0)
    return found
