"""The runs on which intervals are tried: generators in virtual time whose truth a very long series tells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.estimate import Estimate
from benchkit.analysis.intervals import SHARES, Depth, mean_estimate, percentile_estimates
from benchkit.analysis.repeats import between
from benchkit.analysis.run_memory import memory

Floats = NDArray[np.float64]

STATISTICS = ("mean", "p50", "p90", "p95", "p99")
NAIVE = "naive"
"""The mean with limits that take requests as independent: what the others are there for."""
TRUTH_SEED, PUBLISHED_SEED = 777, 9_000_000
_SIGMA = math.sqrt(math.log(2.0))
"""Of a lognormal whose standard deviation equals its mean."""


@dataclass(frozen=True)
class Truth:
    """What a very long run says."""

    numbers: Mapping[str, Mapping[str, float]]
    """Number -> statistic -> value."""
    memory: float
    """Requests between two that know nothing of each other."""


@dataclass(frozen=True)
class Cell:
    """One kind of run at one length, and the numbers that are looked at in it."""

    name: str
    count: int
    """Requests a run, about."""
    outcomes: Callable[[int, int], Iterator[Mapping[str, Mapping[str, Estimate]]]]
    """(seed, runs) -> runs that are independent of each other: number -> statistic -> what the run says of it."""
    truth: Callable[[], Truth]
    repeats: int = 1
    """Runs whose spread the intervals come from; 1 = from the memory inside a single run."""
    batch: int = 100
    """Runs that are made together."""


Draw = Callable[[np.random.Generator, int], tuple[Floats, tuple[Floats, ...]]]
"""(random numbers, count) -> values in order, and the series that a run's memory is estimated from."""


def independent(sample: Callable[[np.random.Generator, int], Floats]) -> Draw:
    """Values that know nothing of each other."""

    def draw(random: np.random.Generator, count: int) -> tuple[Floats, tuple[Floats, ...]]:
        values = sample(random, count)
        return values, (values,)

    return draw


def lognormal(random: np.random.Generator, count: int) -> Floats:
    """Skewed as times are: sigma 1."""
    return random.lognormal(0.0, 1.0, count)


def bimodal(random: np.random.Generator, count: int) -> Floats:
    """Seven of eight near 1, one near 5: hits and misses of a cache."""
    slow = random.random(count) < 0.125
    return np.where(slow, 5.0, 1.0) * random.lognormal(0.0, 0.1, count)


def heavy(random: np.random.Generator, count: int) -> Floats:
    """Pareto with tail index 3: it has a variance, and no third moment."""
    return 1.0 + random.pareto(3.0, count)


def queue(load: float) -> Draw:
    """A stationary M/G/1 queue, service lognormal with CV 1: the time from arrival to end of each request."""

    def draw(random: np.random.Generator, count: int) -> tuple[Floats, tuple[Floats, ...]]:
        # So long a warm-up that a queue of this load has forgotten that it began empty.
        warm = int(min(60 / (1 - load) ** 2, 30_000))
        service = random.lognormal(-(_SIGMA**2) / 2, _SIGMA, warm + count) * load
        apart = random.exponential(1.0, warm + count)
        walk = np.cumsum(np.concatenate(([0.0], service[:-1] - apart[1:])))
        sojourn = walk - np.minimum(np.minimum.accumulate(walk), 0.0) + service
        arrived = np.cumsum(apart)
        there = np.arange(warm + count) - np.searchsorted(arrived + sojourn, arrived)
        return sojourn[warm:], (sojourn[warm:], there[warm:].astype(np.float64))

    return draw


def series_cell(name: str, count: int, draw: Draw) -> Cell:
    """Intervals from the memory of one run."""

    def outcomes(seed: int, runs: int) -> Iterator[Mapping[str, Mapping[str, Estimate]]]:
        random = np.random.default_rng([seed, count])
        for _ in range(runs):
            values, memory_from = draw(random, count)
            tau = memory(memory_from)
            depth = Depth(tau, count / tau)
            found = {"mean": mean_estimate(values, [count], depth), NAIVE: naive(values)}
            yield {"": found | percentile_estimates(values, [count], depth)}

    return Cell(name, count, outcomes, lambda: _truth_of_series(draw))


def repeats_cell(name: str, count: int, draw: Draw, repeats: int) -> Cell:
    """Intervals from the spread between repeats."""

    def outcomes(seed: int, runs: int) -> Iterator[Mapping[str, Mapping[str, Estimate]]]:
        random = np.random.default_rng([seed, count, repeats])
        for _ in range(runs):
            drawn = [draw(random, count) for _ in range(repeats)]
            own = [values for values, _ in drawn]
            together = [np.concatenate(each) for each in zip(*(series for _, series in drawn), strict=True)]
            worth = repeats * count / memory(together)
            yield {"": {key: between(own, None, key, worth=worth) for key in STATISTICS}}

    title = f"{repeats} repeats of {name}"
    return Cell(title, count, outcomes, lambda: _truth_of_series(draw), repeats=repeats)


def statistics_of(values: Floats) -> dict[str, float]:
    """The mean and the percentiles of many values."""
    shares = {key: float(np.quantile(values, SHARES[key])) for key in STATISTICS[1:]}
    return {"mean": float(values.mean())} | shares


def naive(values: Floats) -> Estimate:
    """The mean, 1.96 standard errors of independent values to each side."""
    mean, half = float(values.mean()), 1.96 * float(values.std(ddof=1)) / math.sqrt(values.size)
    return Estimate(mean, mean - half, mean + half)


def _truth_of_series(draw: Draw) -> Truth:
    values, memory_from = draw(np.random.default_rng(TRUTH_SEED), 4_000_000)
    return Truth({"": statistics_of(values)}, memory(memory_from))


def series_cells() -> list[Cell]:
    """Bare series and queues."""
    sizes = (200, 1_000, 5_000, 20_000)
    bare = {"iid lognormal": lognormal, "iid bimodal": bimodal, "iid Pareto 3": heavy}
    found = [
        series_cell(name, count, independent(sample)) for name, sample in bare.items() for count in sizes
    ]
    found += [
        series_cell(f"M/G/1 load {load}", count, queue(load))
        for load in (0.5, 0.8, 0.9)
        for count in sizes[1:]
    ]
    return found + [
        repeats_cell(f"M/G/1 load {load}", 1_000, queue(load), repeats)
        for load in (0.5, 0.8)
        for repeats in (5, 10)
    ]


SHARE_OF: Mapping[str, float | None] = {"mean": None} | {key: SHARES[key] for key in STATISTICS[1:]}
