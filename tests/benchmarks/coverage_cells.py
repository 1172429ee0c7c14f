"""The runs on which intervals are tried: generators in virtual time whose truth a very long series tells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.binned import TimeBins, binned_events
from benchkit.analysis.estimate import Estimate
from benchkit.analysis.intervals import SHARES, Depth, mean_estimate, percentile_estimates
from benchkit.analysis.points import LoadPoint
from benchkit.analysis.recorded import measured_of
from benchkit.analysis.repeats import between
from benchkit.analysis.run_memory import memory
from benchkit.experiments.search_simulated import SimulatedServer
from benchkit.parameters import resolve
from benchkit.serving.simulated.settings import settings_for

Floats = NDArray[np.float64]

STATISTICS = ("mean", "p50", "p90", "p95", "p99")
TRUTH_SEED, PUBLISHED_SEED = 777, 20_261
RATE = "output_tokens_per_s"
_SIGMA = math.sqrt(math.log(2.0))
"""Of a lognormal whose standard deviation equals its mean."""


@dataclass(frozen=True)
class Outcome:
    """What one run said of one number, and what it was made of."""

    estimates: Mapping[str, Estimate]
    share_below: Callable[[float], float]
    """The share of its values that are not above a bound."""
    variance: float | None
    """Of its values; None of a rate."""


@dataclass(frozen=True)
class Cell:
    """One kind of run at one length, and the numbers that are looked at in it."""

    name: str
    count: int
    """Requests a run, about."""
    outcomes: Callable[[int, int], Iterator[Mapping[str, Outcome]]]
    """(seed, runs) -> runs that are independent of each other, number by number."""
    truth: Callable[[], Mapping[str, Mapping[str, float]]]
    """Number -> statistic -> what a very long run says."""
    between_runs: bool = False
    """Whether the intervals come from the spread of repeats, whose few degrees of freedom make them wide."""


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

    def outcomes(seed: int, runs: int) -> Iterator[Mapping[str, Outcome]]:
        random = np.random.default_rng([seed, count])
        for _ in range(runs):
            values, memory_from = draw(random, count)
            tau = memory(memory_from)
            depth = Depth(tau, count / tau)
            found = {"mean": mean_estimate(values, [count], depth)}
            yield {"": _outcome(found | percentile_estimates(values, [count], depth), values)}

    return Cell(name, count, outcomes, lambda: _truth_of_series(draw))


def repeats_cell(name: str, count: int, draw: Draw, repeats: int) -> Cell:
    """Intervals from the spread between repeats."""

    def outcomes(seed: int, runs: int) -> Iterator[Mapping[str, Outcome]]:
        random = np.random.default_rng([seed, count, repeats])
        for _ in range(runs):
            drawn = [draw(random, count) for _ in range(repeats)]
            own = [values for values, _ in drawn]
            worth = sum(count / memory(memory_from) for _, memory_from in drawn)
            found = {key: between(own, None, key, worth=worth) for key in STATISTICS}
            yield {"": _outcome(found, np.concatenate(own))}

    title = f"{repeats} repeats of {name}"
    return Cell(title, count, outcomes, lambda: _truth_of_series(draw), between_runs=True)


def _outcome(estimates: Mapping[str, Estimate], values: Floats) -> Outcome:
    return Outcome(estimates, lambda bound: float((values <= bound).mean()), float(values.var()))


def _truth_of_series(draw: Draw) -> Mapping[str, Mapping[str, float]]:
    values = draw(np.random.default_rng(TRUTH_SEED), 4_000_000)[0]
    shares = {key: float(np.quantile(values, SHARES[key])) for key in STATISTICS[1:]}
    return {"": {"mean": float(values.mean())} | shares}


def server_cell(name: str, load: float, duration_s: float, *, streams: bool = False) -> Cell:
    """Our simulator, run and analysed as a run of a server is: TTFT, pooled gaps, a rate."""
    asked: dict[str, Any] = {
        "input_tokens": 64,
        "input_tokens_spread": 0.5,
        "output_tokens": 4,
        "output_tokens_spread": 0.5,
        "warmup_s": 2.0,
    }
    settings = settings_for("l4-llama-3.2-1b", {"max_num_seqs": 8})
    server = SimulatedServer(settings, resolve(asked), streams=streams, keep_events=True)

    def outcomes(seed: int, runs: int) -> Iterator[Mapping[str, Outcome]]:
        for run in range(runs):
            yield _of_server(server(load, duration_s, seed * 100_000 + run))

    def truth() -> Mapping[str, Mapping[str, float]]:
        runs = [server(load, 1_000.0, TRUTH_SEED + seed).summary["windows"]["whole"] for seed in range(3)]
        found = {
            name: {key: float(np.mean([run["metrics"][name][key] for run in runs])) for key in STATISTICS}
            for name in ("ttft_ms", "itl_ms")
        }
        return found | {RATE: {"mean": float(np.mean([run["rates"][RATE]["value"] for run in runs]))}}

    return Cell(f"simulator, {name}", round(duration_s * (80 if streams else load)), outcomes, truth)


def _of_server(point: LoadPoint) -> Mapping[str, Outcome]:
    whole = point.summary["windows"]["whole"]
    measured = measured_of(point.records)
    values = measured.values["ttft_ms"][measured.columns.in_phase]
    gaps = binned_events(measured, TimeBins.of(measured.window))["itl_ms"]
    heft = float(gaps.heft.sum())

    def stated(entry: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Estimate]:
        limits = {key: (entry["ci95"] or {}).get(key) or (None, None) for key in keys}
        return {key: Estimate(entry[key], *limits[key]) for key in keys}

    metrics, rate = whole["metrics"], whole["rates"][RATE]
    return {
        "ttft_ms": _outcome(stated(metrics["ttft_ms"], STATISTICS), values),
        "itl_ms": Outcome(
            stated(metrics["itl_ms"], STATISTICS),
            lambda bound: 1 - float(gaps.above(bound).sum()) / heft,
            metrics["itl_ms"]["std"] ** 2,
        ),
        RATE: Outcome(
            {"mean": Estimate(rate["value"], *(rate["ci95"] or (None, None)))}, lambda _: 0.0, None
        ),
    }


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
    return [
        *found,
        server_cell("low load", 20.0, 25.0),
        server_cell("high load", 60.0, 15.0),
        server_cell("closed loop of 6", 6.0, 8.0, streams=True),
    ]


SHARE_OF: Mapping[str, float | None] = {"mean": None} | {key: SHARES[key] for key in STATISTICS[1:]}
