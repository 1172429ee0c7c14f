"""Whether what a run measures moves while it is measured: slopes of batch means in the steady part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchkit.analysis.binned import TimeBins
from benchkit.analysis.difference import holm
from benchkit.analysis.intervals import ENOUGH
from benchkit.analysis.measured import Measured
from benchkit.analysis.run_memory import memory_of_scores, normal_scores, remembering
from benchkit.analysis.window import Window
from benchkit.analysis.window_intervals import in_flight_levels

Floats = NDArray[np.float64]

METRICS: Final = ("ttft_ms", "tpot_ms", "latency_ms", "in_flight")
LEVEL: Final = 0.01
"""How often a run without drift is said to drift, over all metrics together."""
_BATCHES: Final = 10


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a metric moved from the beginning of the steady part to its end."""

    metric: str
    change: float
    """As a share of its mean; with several repeats on average within each."""
    p: float
    """Adjusted over all metrics that were looked at."""

    @property
    def is_sure(self) -> bool:
        """Whether chance would hardly give such a slope."""
        return self.p < LEVEL

    @property
    def words(self) -> str:
        """Metric and change, for a reader."""
        return f"{self.metric} {100 * self.change:+.0f} %"


def drifts(steady: Measured) -> list[Drift] | None:
    """The drift of each metric, by a t test on the slope of ten batch means, Holm's correction over the metrics.

    A slope through the single values would alarm in most runs without drift, since neighbours share a queue. Means of
    batches that are long against the memory know nothing of each other.

    Args:
        steady: the records of the steady part.

    Returns:
        None where a batch would not be long against the memory: each repeat must be worth 50 independent requests.
    """
    requests = int(steady.columns.in_phase.sum())
    if requests < ENOUGH * len(steady.window.parts) * _memory(steady):
        return None
    found = []
    for metric in METRICS:
        sloped = _sloped([_batches(*each) for each in _series(steady, metric)])
        if sloped is not None:
            found.append((metric, sloped))
    if not found:
        return None
    adjusted = holm([sloped.p for _, sloped in found])
    return [Drift(metric, sloped.change, p) for (metric, sloped), p in zip(found, adjusted, strict=True)]


def _memory(steady: Measured) -> float:
    """The memory about the straight line of each repeat: a series that drifts seems to remember for ever."""
    found = 1.0
    for times, values in remembering(steady):
        scores = normal_scores(values)
        pieces = [_part(times, scores, part) for part in steady.window.parts]
        found = max(found, memory_of_scores(np.concatenate([_about_line(x, y) for x, y in pieces])))
    return found


def _about_line(x: Floats, y: Floats) -> Floats:
    if y.size < 2 or np.ptp(x) == 0:
        return y - y.mean() if y.size else y
    off = x - x.mean()
    centred = y - y.mean()
    left: Floats = centred - off * float(off @ centred) / float(off @ off)
    return left


def _series(steady: Measured, metric: str) -> list[tuple[Floats, Floats]]:
    """Of each repeat the times from 0 to 1, ascending, and the values."""
    parts = steady.window.parts
    if metric == "in_flight":
        bins = TimeBins.of(steady.window)
        times, values = bins.middles_ns, in_flight_levels(steady, bins)
    else:
        sent, values = steady.columns.sent, steady.values[metric]
        kept = steady.columns.in_phase & ~np.isnan(sent) & ~np.isnan(values)
        order = np.argsort(sent[kept], kind="stable")
        times, values = sent[kept][order], values[kept][order]
    return [_part(times, values, part) for part in parts]


def _part(times: Floats, values: Floats, part: Window) -> tuple[Floats, Floats]:
    inside = part.holds(times)
    return (times[inside] - part.start_ns) / (part.end_ns - part.start_ns), values[inside]


def _batches(times: Floats, values: Floats) -> tuple[Floats, Floats] | None:
    """The means of ten batches of equal count; None where there are too few values."""
    if values.size < 2 * _BATCHES:
        return None
    return _means(times), _means(values)


def _means(values: Floats) -> Floats:
    return np.array([batch.mean() for batch in np.array_split(values, _BATCHES)])


class _Slope(NamedTuple):
    change: float
    p: float


def _sloped(parts: list[tuple[Floats, Floats] | None]) -> _Slope | None:
    """The common slope of batch means, each repeat about its own mean."""
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    x = np.concatenate([times - times.mean() for times, _ in known])
    y = np.concatenate([values - values.mean() for _, values in known])
    mean = float(np.mean([values.mean() for _, values in known]))
    spread = float(x @ x)
    if mean <= 0 or spread <= 0:
        return None
    slope = float(x @ y) / spread
    freedom = x.size - len(known) - 1
    left = y - slope * x
    error = math.sqrt(float(left @ left) / freedom / spread)
    # A metric that hardly varies has a slope of rounding and no error to hold it against.
    if error <= 1e-9 * mean:
        return _Slope(slope / mean, 0.0 if abs(slope) > 1e-6 * mean else 1.0)
    return _Slope(slope / mean, 2 * float(stats.t.sf(abs(slope) / error, freedom)))
