"""The series on which intervals are tried: generators whose truth is known, in virtual time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """One run: values in the order of requests, and what its memory is estimated from."""

    values: Floats
    memory_from: tuple[Floats, ...]


@dataclass(frozen=True)
class Cell:
    """One kind of run at one length."""

    name: str
    count: int
    draw: Callable[[np.random.Generator, int, int], list[Series]]
    """(random numbers, how many runs, values a run) -> runs, independent of each other."""
    long: int = 4_000_000
    """Values of the long series that the truth is taken from."""


def iid(sample: Callable[[np.random.Generator, Any], Floats]) -> Callable[..., list[Series]]:
    """Runs of independent values."""

    def draw(random: np.random.Generator, runs: int, count: int) -> list[Series]:
        values = sample(random, (runs, count))
        return [Series(each, (each,)) for each in values]

    return draw


def lognormal(random: np.random.Generator, shape: Any) -> Floats:
    """Skewed as times are: sigma 1."""
    return random.lognormal(0.0, 1.0, shape)


def bimodal(random: np.random.Generator, shape: Any) -> Floats:
    """Nine of ten near 1, one near 5: hits and misses of a cache."""
    slow = random.random(shape) < 0.1
    return np.where(slow, 5.0, 1.0) * random.lognormal(0.0, 0.1, shape)


def heavy(random: np.random.Generator, shape: Any) -> Floats:
    """Pareto with tail index 3: the variance is finite, the third moment is not."""
    return 1.0 + random.pareto(3.0, shape)


def queue(load: float) -> Callable[..., list[Series]]:
    """Stationary M/G/1 queues, service lognormal with CV 1: the time from arrival to end of each request."""

    def draw(random: np.random.Generator, runs: int, count: int) -> list[Series]:
        # So long a warm-up that a queue of this load has forgotten that it began empty.
        warm = int(min(60 / (1 - load) ** 2, 30_000))
        found = []
        for _ in range(runs):
            total = warm + count
            sigma = np.sqrt(np.log(2.0))
            service = random.lognormal(-sigma**2 / 2, sigma, total) * load
            between = random.exponential(1.0, total)
            steps = np.concatenate(([0.0], service[:-1] - between[1:]))
            walk = np.cumsum(steps)
            waits = walk - np.minimum(np.minimum.accumulate(walk), 0.0)
            sojourn = waits + service
            arrived = np.cumsum(between)
            ended = arrived + sojourn
            there = np.arange(total) - np.searchsorted(ended, arrived)
            found.append(
                Series(sojourn[warm:], (sojourn[warm:], there[warm:].astype(np.float64)))
            )
        return found

    return draw


def cells() -> list[Cell]:
    """The declared list."""
    sizes = (200, 1_000, 5_000, 20_000)
    found = [
        Cell(name, count, iid(sample))
        for name, sample in (("iid lognormal", lognormal), ("iid bimodal", bimodal), ("iid Pareto 3", heavy))
        for count in sizes
    ]
    return found + [
        Cell(f"M/G/1 load {load}", count, queue(load)) for load in (0.5, 0.8, 0.9) for count in sizes[1:]
    ]


@functools.cache
def by_name() -> dict[str, Cell]:
    """The cells by name and length."""
    return {f"{cell.name}, n = {cell.count:,}": cell for cell in cells()}
