"""The runs on which intervals are tried: generators in virtual time whose truth a very long series tells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.estimate import Estimate
from benchkit.analysis.intervals import SHARES, Depth, mean_estimate, percentile_estimates
from benchkit.analysis.repeats import between
from benchkit.analysis.run_memory import memory
from benchkit.experiments.search_simulated import SimulatedServer
from benchkit.parameters import resolve
from benchkit.serving.simulated.settings import settings_for

Floats = NDArray[np.float64]

STATISTICS = ("mean", "p50", "p90", "p95", "p99")
TRUTH_SEED, PUBLISHED_SEED = 777, 20_261
_SIGMA = math.sqrt(math.log(2.0))
"""Of a lognormal whose standard deviation equals its mean."""


@dataclass(frozen=True)
class Outcome:
    """What one run said, and what it was made of."""

    estimates: Mapping[str, Estimate]
    values: Floats | None
    """Its values; None where only the estimates are to be had."""


@dataclass(frozen=True)
class Cell:
    """One kind of run at one length."""

    name: str
    count: int
    """Requests a run, about."""
    outcomes: Callable[[int, int], Iterator[Outcome]]
    """(seed, runs) -> runs that are independent of each other."""
    long: Callable[[], Mapping[str, float] | Floats]
    """The truth itself, or a series so long that its statistics are the truth."""
    metric: str = ""
    """Which number of a server's run this is about; empty for a bare series."""


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

    def outcomes(seed: int, runs: int) -> Iterator[Outcome]:
        random = np.random.default_rng([seed, count])
        for _ in range(runs):
            values, memory_from = draw(random, count)
            tau = memory(memory_from)
            depth = Depth(tau, count / tau)
            found = {"mean": mean_estimate(values, [count], depth)}
            yield Outcome(found | percentile_estimates(values, [count], depth), values)

    return Cell(name, count, outcomes, lambda: draw(np.random.default_rng(TRUTH_SEED), 4_000_000)[0])


def repeats_cell(name: str, count: int, draw: Draw, repeats: int) -> Cell:
    """Intervals from the spread between repeats."""

    def outcomes(seed: int, runs: int) -> Iterator[Outcome]:
        random = np.random.default_rng([seed, count, repeats])
        for _ in range(runs):
            own = [draw(random, count)[0] for _ in range(repeats)]
            yield Outcome({key: between(own, None, key) for key in STATISTICS}, np.concatenate(own))

    title = f"{repeats} repeats: {name}"
    return Cell(title, count, outcomes, lambda: draw(np.random.default_rng(TRUTH_SEED), 4_000_000)[0])


def server_cells(name: str, load: float, duration_s: float, *, streams: bool = False) -> list[Cell]:
    """Our simulator, run and analysed as a run of a server is: TTFT, pooled gaps, rates."""
    asked: dict[str, Any] = {
        "input_tokens": 64,
        "input_tokens_spread": 0.5,
        "output_tokens": 4,
        "output_tokens_spread": 0.5,
        "warmup_s": 2.0,
    }
    settings = settings_for("l4-llama-3.2-1b", {"max_num_seqs": 8})
    server = SimulatedServer(settings, resolve(asked), streams=streams, keep_events=True)

    def whole(seed: int) -> Mapping[str, Any]:
        found: Mapping[str, Any] = server(load, duration_s, seed).summary["windows"]["whole"]
        return found

    def outcomes(metric: str) -> Callable[[int, int], Iterator[Outcome]]:
        def of(seed: int, runs: int) -> Iterator[Outcome]:
            for run in range(runs):
                yield Outcome(_stated(whole(seed * 100_000 + run), metric), None)

        return of

    def truth(metric: str) -> Callable[[], Mapping[str, float] | Floats]:
        def of() -> Mapping[str, float] | Floats:
            runs = [whole_long(server, load, seed) for seed in range(6)]
            if metric.endswith("_per_s"):
                return {"mean": float(np.mean([run["rates"][metric]["value"] for run in runs]))}
            return {key: float(np.mean([run["metrics"][metric][key] for run in runs])) for key in STATISTICS}

        return of

    requests = round(duration_s * load) if not streams else round(duration_s * 80)
    return [
        Cell(f"simulator, {name}", requests, outcomes(metric), truth(metric), metric)
        for metric in ("ttft_ms", "itl_ms", "output_tokens_per_s")
    ]


def whole_long(server: SimulatedServer, load: float, seed: int) -> Mapping[str, Any]:
    """A run of a thousand seconds."""
    found: Mapping[str, Any] = server(load, 1_000.0, TRUTH_SEED + seed).summary["windows"]["whole"]
    return found


def _stated(whole: Mapping[str, Any], metric: str) -> dict[str, Estimate]:
    """What a summary says of a number, as estimates."""
    if metric.endswith("_per_s"):
        entry = whole["rates"][metric]
        low, high = entry["ci95"] or (None, None)
        return {"mean": Estimate(entry["value"], low, high)}
    entry = whole["metrics"][metric]
    found = {}
    for key in STATISTICS:
        low, high = (entry["ci95"] or {}).get(key) or (None, None)
        found[key] = Estimate(entry[key], low, high)
    return found


def cells() -> list[Cell]:
    """The declared list."""
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
    found += [repeats_cell("M/G/1 load 0.8", 1_000, queue(0.8), repeats) for repeats in (5, 10)]
    found += server_cells("low", 20.0, 25.0)
    found += server_cells("high", 60.0, 15.0)
    return found + server_cells("closed loop of 6", 6.0, 8.0, streams=True)


SHARE_OF = {"mean": None} | {key: SHARES[key] for key in STATISTICS[1:]}
