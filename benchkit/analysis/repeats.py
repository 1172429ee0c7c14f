"""What several runs say together: the spread between them is the error, whatever happened inside each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.estimate import Estimate
from benchkit.analysis.intervals import (
    MARGIN,
    UPPER,
    longer,
    quantile,
    raised,
)
from benchkit.analysis.long_run import t_limit

Floats = NDArray[np.float64]

FEWEST = 3
"""Runs, or server starts, that an interval between them needs."""
_HALF = 0.5
_WIDEST = 50.0


@dataclass(frozen=True, slots=True)
class Variance:
    """Where the variance of a run's mean comes from."""

    within: float
    """What the memory inside a run explains: chance that a longer run would lessen."""
    between: float
    """What it does not: the machine, the hour, the server's start. Never below 0."""


def between(
    values: Sequence[Floats],
    starts: Sequence[float | None] | None,
    statistic: str,
    level: float = 0.95,
    worth: float | None = None,
) -> Estimate:
    """A statistic of several runs of the same load, with the interval that their spread gives.

    A mean's interval is Student's t on the runs' own means. A percentile is that of all values together (an average of
    the runs' percentiles would be biased), with the run as cluster: the error is that of the runs' shares of values at
    or below it, and the limits are those of its score. Where the runs come from several starts of the server, the start
    takes the run's place: runs of one start share what that start brought.

    Args:
        values: of each run; NaN is left out.
        starts: for each run what identifies the start of its server; None where that is not known, or not told.
        statistic: ``mean`` or a percentile's key such as ``p99`` or ``p99_9``.
        level: of confidence; more than 0.95 at one of several looks, see ``looks.spent``.
        worth: how many independent values all runs are worth together (n / memory); None where that is not known.
    """
    runs = [each[~np.isnan(each)] for each in values]
    clusters = clusters_of([each.size > 0 for each in runs], starts)
    if not clusters.groups:
        return Estimate(None, note="no run gave a value")
    whole = [np.concatenate([runs[at] for at in group]) for group in clusters.groups]
    pooled = np.concatenate(whole)
    if statistic == "mean":
        own = np.array([each.mean() for each in whole])
        positive = bool(pooled.min() >= 0)
        return of_means(float(pooled.mean()), own, clusters.noun, level, positive=positive, worth=worth)
    share, ordered = float(statistic[1:].replace("_", ".")) / 100, np.sort(pooled)
    value = quantile(ordered, share)
    influence = np.array([float((each <= value).sum() - share * each.size) for each in whole]) / pooled.size
    return of_clusters(
        lambda at: quantile(ordered, at), pooled.size, share, influence, clusters.noun, level, worth
    )


def variance_parts(run_means: Sequence[float], within: Sequence[float]) -> Variance | None:
    """Both parts of the variance of a run's mean; None with fewer than two runs.

    Args:
        run_means: the mean of each run.
        within: the variance of each run's mean by its own memory.
    """
    if len(run_means) < 2:
        return None
    inside = float(np.mean(within))
    return Variance(inside, max(0.0, float(np.var(run_means, ddof=1)) - inside))


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which runs belong together."""

    groups: tuple[tuple[int, ...], ...]
    """Positions of runs."""
    noun: str
    """What a group is: ``runs`` or ``server starts``."""


def clusters_of(there: Sequence[bool], starts: Sequence[float | None] | None) -> Clusters:
    """Each run its own cluster, or those of one server start where there are several starts.

    Args:
        there: which runs gave values.
        starts: as of ``between``.
    """
    runs = [at for at, has in enumerate(there) if has]
    known = None if starts is None else [starts[at] for at in runs]
    if known is None or None in known or len(set(known)) < 2:
        return Clusters(tuple((at,) for at in runs), "runs")
    found: dict[float | None, list[int]] = {}
    for at, start in zip(runs, known, strict=True):
        found.setdefault(start, []).append(at)
    return Clusters(tuple(map(tuple, found.values())), "server starts")


def of_means(
    value: float,
    own: Floats,
    noun: str,
    level: float = 0.95,
    *,
    positive: bool,
    worth: float | None = None,
) -> Estimate:
    """A mean from those of its clusters, by Student's t.

    Where runs are short against their memory their means are skewed: limits lie on the inverse, as those of a single
    run, and the error is raised by what so few independent values hide.

    Args:
        value: of all together.
        own: of each cluster.
        noun: what a cluster is.
        level: of confidence.
        positive: whether no value can be below 0.
        worth: as of ``between``.
    """
    if own.size < FEWEST:
        return Estimate(value, note=_too_few(own.size, noun), effective=own.size)
    error = float(own.std(ddof=1)) / math.sqrt(own.size) * _raised(worth)
    half = t_limit(level, own.size - 1) * error
    middle = float(own.mean())
    if positive and middle > 0:
        part = half / middle
        return Estimate(value, middle / (1 + part), middle * _stretch(longer(part)), effective=own.size)
    return Estimate(value, middle - half, middle + half, effective=own.size)


def of_clusters(
    at: Callable[[float], float],
    count: int,
    share: float,
    influence: Floats,
    noun: str,
    level: float = 0.95,
    worth: float | None = None,
) -> Estimate:
    """A percentile of pooled values, by the score of its clusters.

    Args:
        at: gives the pooled quantile at a share.
        count: pooled values, at most as many as there are requests.
        share: of the percentile.
        influence: of each cluster: its values at or below the percentile less what they should be, over all values.
        noun: what a cluster is.
        level: of confidence.
        worth: as of ``between``.
    """
    value, clusters = at(share), influence.size
    if clusters < FEWEST:
        return Estimate(value, note=_too_few(clusters, noun), effective=clusters)
    error = math.sqrt(clusters / (clusters - 1) * float(((influence - influence.mean()) ** 2).sum()))
    error *= _raised(worth)
    # Clusters that agree by chance do not know more than as many independent values as there are.
    limit = t_limit(level, clusters - 1)
    half = limit * max(error, math.sqrt(share * (1 - share) / count))
    low = at(share - half) if half < share else None
    # Where runs are hardly worth the percentile, those whose clusters happen to agree would be believed, by luck.
    if share + half >= 1 or (worth is not None and worth < needed(share, clusters, level)):
        why = f"not enough data: {clusters} {noun} with {count:,} values leave p{100 * share:g} open above"
        return Estimate(value, low, note=why, effective=clusters)
    return Estimate(value, low, at(share + half), effective=clusters)


def needed(share: float, clusters: int, level: float = 0.95) -> float:
    """How many independent values all clusters together must be worth for a percentile of the tail; else 0."""
    if share < UPPER:
        return 0.0
    return MARGIN * t_limit(level, clusters - 1) ** 2 * share / (1 - share)


def _raised(worth: float | None) -> float:
    return 1.0 if worth is None else raised(worth)


def _stretch(part: float) -> float:
    """The upper limit over the mean, of an interval whose upper half is this part of it.

    On the inverse it is ``1 / (1 - part)``; with few runs the half may be as large as the mean: from a half on it goes
    on as the logarithm does, which has no end.
    """
    if part <= _HALF:
        return 1 / (1 - part)
    return math.exp(min((part - _HALF) / (1 - _HALF), _WIDEST)) / (1 - _HALF)


def _too_few(count: int, noun: str) -> str:
    return f"not enough data: {count} {noun}, needs {FEWEST}"
