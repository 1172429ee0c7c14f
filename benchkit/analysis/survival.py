"""Latencies of which some are only known to be longer than they were seen: the estimate of Kaplan and Meier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.estimate import Estimate
from benchkit.analysis.intervals import SHARES, Depth, about, bursts, of_share, split
from benchkit.analysis.long_run import variance_of_mean
from benchkit.analysis.repeats import Clusters, of_clusters, of_means

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Seen:
    """Durations in the order of their requests; all of those that were seen to end, and for how long the others were.

    Leaving the others out would leave out the longest: a run whose drain is short would look fast.
    """

    values: Floats
    ended: Flags

    @property
    def complete(self) -> bool:
        """Whether all were seen to end."""
        return bool(self.ended.all())


class Survival:
    """How many requests last longer than a time, and what each request has to say in that.

    Source: Kaplan and Meier, "Nonparametric estimation from incomplete observations", JASA 1958.

    Args:
        seen: one duration or more.
    """

    def __init__(self, seen: Seen) -> None:
        count = seen.values.size
        # What ended comes before what was lost at the same time: it was at risk until then.
        self._order: NDArray[np.intp] = np.lexsort((~seen.ended, seen.values))
        self._times, ended = seen.values[self._order], seen.ended[self._order]
        at_risk = np.arange(count, 0, -1, dtype=np.float64)
        self._surviving = np.cumprod(np.where(ended, 1 - 1 / at_risk, 1.0))
        # The parts of a request's influence: its own end, and having been at risk when others ended.
        self._own = np.where(ended, count / at_risk, 0.0)
        self._hazards = np.where(ended, count / (at_risk * np.maximum(at_risk - 1, 1)), 0.0)

    @property
    def reached(self) -> float:
        """The share that was seen to end within the longest time seen: no quantile above it is known."""
        return float(1 - self._surviving[-1])

    def quantile(self, share: float) -> float:
        """The shortest time within which so many end; ``inf`` where none was seen to last that long and end."""
        reached = 1 - self._surviving
        place = int(np.searchsorted(reached, share - 1e-12))
        return float(self._times[place]) if place < reached.size else math.inf

    def mean(self) -> float:
        """The mean up to the longest time seen: a lower limit of the mean where that one was not seen to end."""
        return float(self._left(np.concatenate(([0.0], self._times)))[0])

    def influence_on_share(self, bound: float) -> Floats:
        """What each request adds to the share that ends within a time, in their order; the mean is 0.

        Without lost ones it is 1 or 0 (whether it did) less the share. Its mean square over the count is Greenwood's
        variance.
        """
        last = int(np.searchsorted(self._times, bound, side="right"))
        left = float(self._surviving[last - 1]) if last else 1.0
        hazards = np.cumsum(self._hazards[:last])
        found = np.full(self._times.size, -(float(hazards[-1]) if last else 0.0))
        found[:last] = self._own[:last] + self._hazards[:last] - hazards
        return self._in_order(left * found)

    def influence_on_mean(self) -> Floats:
        """What each request adds to ``mean``, in their order."""
        left = self._left(self._times)
        return self._in_order(np.cumsum(self._hazards * left) - (self._own + self._hazards) * left)

    def _left(self, begins: Floats) -> Floats:
        """The area under the curve from each time to the last; ``begins`` are the times, or 0 and the times."""
        before = np.concatenate(([1.0], self._surviving))[-begins.size :]
        areas = np.diff(begins) * before[:-1]
        return np.concatenate((np.cumsum(areas[::-1])[::-1], [0.0]))

    def _in_order(self, by_time: Floats) -> Floats:
        found = np.empty_like(by_time)
        found[self._order] = by_time
        return found


def censored_estimates(seen: Seen, sizes: Sequence[int], depth: Depth) -> dict[str, Estimate]:
    """The mean and the percentiles of durations, some of which were not seen to end, from the memory of one run.

    Args:
        seen: in the order of their requests, one or more.
        sizes: how many each unbroken piece has.
        depth: of the run.
    """
    survival, count = Survival(seen), seen.values.size

    def error(influence: Floats) -> float:
        return math.sqrt(float(variance_of_mean(split(influence, sizes))))

    why = depth.refusal()
    mean = survival.mean()
    if why or not _known(seen):
        found = {"mean": _lower_mean(mean, why, depth.independent)}
    else:
        found = {"mean": about(mean, error(survival.influence_on_mean()), depth, positive=True)}
    for name, share in SHARES.items():
        value = survival.quantile(share)
        if math.isinf(value):
            found[name] = _beyond(survival, share, depth.independent)
            continue
        exceed = bursts(np.flatnonzero(seen.values > value), depth.memory)
        spread = error(survival.influence_on_share(value))
        found[name] = of_share(survival.quantile, count, share, spread, exceed, depth)
    return found


def censored_between(
    runs: Sequence[Seen], clusters: Clusters, level: float, worth: float | None = None
) -> dict[str, Estimate]:
    """The same from the spread between repeats.

    Args:
        runs: of each repeat.
        clusters: which of them belong together.
        level: of confidence.
        worth: see ``repeats.between``.
    """
    pooled = _pooled(runs)
    survival, count = Survival(pooled), pooled.values.size
    groups = [[runs[at] for at in group if runs[at].values.size] for group in clusters.groups]
    groups = [group for group in groups if group]
    sizes = [sum(run.values.size for run in group) for group in groups]
    if _known(pooled):
        own = np.array([Survival(_pooled(group)).mean() for group in groups])
        found = {"mean": of_means(survival.mean(), own, clusters.noun, level, positive=True, worth=worth)}
    else:
        found = {"mean": _lower_mean(survival.mean(), "", len(groups))}
    order = np.concatenate([np.flatnonzero(_places(runs, group)) for group in clusters.groups])
    for name, share in SHARES.items():
        value = survival.quantile(share)
        if math.isinf(value):
            found[name] = _beyond(survival, share, len(groups))
            continue
        parts = split(survival.influence_on_share(value)[order], sizes)
        influence = -np.array([part.sum() for part in parts]) / count
        found[name] = of_clusters(survival.quantile, count, share, influence, clusters.noun, level, worth)
    return found


def _pooled(runs: Sequence[Seen]) -> Seen:
    return Seen(np.concatenate([run.values for run in runs]), np.concatenate([run.ended for run in runs]))


def _places(runs: Sequence[Seen], group: Sequence[int]) -> Flags:
    """Which of all requests belong to a group of runs."""
    return np.concatenate([np.full(run.values.size, at in group) for at, run in enumerate(runs)])


def _known(seen: Seen) -> bool:
    """Whether the mean is known: the longest of all was seen to end."""
    return bool(seen.ended[seen.values == seen.values.max()].any())


def _lower_mean(mean: float, why: str, effective: float) -> Estimate:
    told = why or f"the longest requests were not seen to end; the mean is at least {mean:.4g}"
    return Estimate(mean, note=told, effective=effective)


def _beyond(survival: Survival, share: float, effective: float) -> Estimate:
    """A percentile that lies among those that were not seen to end."""
    least = survival.quantile(survival.reached)
    note = f"it lies among the requests that were not seen to end; p{100 * share:g} is at least {least:.4g}"
    return Estimate(None, least, note=note, effective=effective)
