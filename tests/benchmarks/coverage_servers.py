"""Runs of our simulator for the coverage table: a low load, a high one and a closed loop, thousands of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from coverage_cells import NAIVE, STATISTICS, TRUTH_SEED, Cell, Truth, naive, statistics_of
from many_engines import UNKNOWN, Engines, Steps
from numpy.typing import NDArray

from benchkit.analysis.binned import Binned, TimeBins
from benchkit.analysis.estimate import Estimate
from benchkit.analysis.intervals import SHARES, Depth, mean_estimate, percentile_estimates, rate_estimate
from benchkit.analysis.quantiles import Sample
from benchkit.analysis.run_memory import memory
from benchkit.analysis.window import Window
from benchkit.simulator.step_time import LinearStepTime

Floats = NDArray[np.float64]

RATE = "output_tokens_per_s"
SEATS, PROMPT, OUTPUT, JITTER = 16, (16, 48), (8, 24), 0.03
"""Requests in a batch, the bounds of prompts and answers in tokens, and the jitter of the simulator's presets.

Such an engine ends about 97 requests a second at most.
"""
_SERIES = ("ttft_ms", "tpot_ms")
_TRUTH_RUNS, _TRUTH_REQUESTS = 100, 40_000


@dataclass(frozen=True)
class Load:
    """What is asked of the engine."""

    name: str
    rate: float
    """Requests a second, in a closed loop what comes out."""
    warm: int
    """Requests before the window, after which the engine has forgotten that it began empty."""
    sizes: tuple[int, ...]
    """Requests of a run."""
    streams: int = 0
    """Of a closed loop; 0 = arrivals at random."""


LOADS = (
    Load("simulator at half load", 48.0, 2_000, (1_000, 5_000, 20_000)),
    Load("simulator at 90 % load", 87.0, 8_000, (5_000, 20_000)),
    Load("simulator, 8 streams", 52.0, 1_000, (200, 1_000, 5_000), streams=8),
)


@dataclass(frozen=True)
class Run:
    """One run: its requests in the order in which they were sent, and its steps."""

    window: Window
    values: Mapping[str, Floats]
    """TTFT and TPOT of the window's requests."""
    in_flight: Floats
    """At the moments when these are sent."""
    stamps_ns: NDArray[np.int64]
    """When the window's steps ended, as the next three."""
    gaps_ns: NDArray[np.int64]
    decoded: NDArray[np.int64]
    tokens: Floats

    @property
    def memory(self) -> float:
        """As a run's analysis estimates it."""
        return memory((*self.values.values(), self.in_flight))

    def estimates(self) -> Mapping[str, Mapping[str, Estimate]]:
        """What a run's analysis says, by the functions that it uses."""
        count = self.in_flight.size
        tau = self.memory
        depth, bins = Depth(tau, count / tau), TimeBins.of(self.window)
        found = {
            name: {"mean": mean_estimate(values, [count], depth), NAIVE: naive(values)}
            | percentile_estimates(values, [count], depth)
            for name, values in self.values.items()
        }
        found["itl_ms"] = self._gaps(bins).estimates(depth, count)
        counts = np.bincount(bins.place(self.stamps_ns), self.tokens, bins.count)
        return found | {RATE: {"mean": rate_estimate(counts, bins.sizes, self.window.length_s, depth)}}

    def _gaps(self, bins: TimeBins) -> Binned:
        """Each step's gap, as often as requests waited through it."""
        place, weights = bins.place(self.stamps_ns), self.decoded
        sums = np.bincount(place, weights * self.gaps_ns, bins.count) / 1e6

        def above(bound: float) -> Floats:
            beyond = self.gaps_ns > bound * 1e6 * (1 + 1e-12)
            return np.bincount(place[beyond], weights[beyond], bins.count).astype(np.float64)

        sample = Sample(np.repeat(self.gaps_ns.astype(np.int32), weights), divisor=1e6)
        return Binned(sample, bins, np.bincount(place, weights, bins.count), sums, above)


def runs_of(load: Load, count: int, seed: tuple[int, ...], runs: int) -> Iterator[Run]:
    """Independent runs of about so many requests.

    Arrivals go on after the window until its last request has ended, so that no end of the load shows in it.
    """
    random = np.random.default_rng(seed)
    length_ns, warm_ns = round(count / load.rate * 1e9), round(load.warm / load.rate * 1e9)
    most = int((load.warm + count + 500) * 1.1) + 500
    prompts = random.integers(PROMPT[0], PROMPT[1] + 1, (runs, most))
    outputs = random.integers(OUTPUT[0], OUTPUT[1] + 1, (runs, most))
    arrived = None
    if not load.streams:
        apart = random.exponential(1e9 / load.rate, (runs, most))
        arrived = np.cumsum(apart, axis=1).astype(np.int64)
    window = Window(warm_ns, warm_ns + length_ns)
    # Longer than any request waits, by far.
    engines = Engines(SEATS, prompts, outputs, arrived, load.streams, jitter=JITTER, random=random)
    steps = engines.run(window.end_ns + 3_000_000_000, LinearStepTime())
    for at in range(runs):
        yield _run(steps, outputs[at], at, window)


def _run(steps: Steps, outputs: NDArray[np.int64], at: int, window: Window) -> Run:
    sent, first, end = steps.arrived_ns[at], steps.first_token_ns[at], steps.end_ns[at]
    chosen = window.holds(sent)
    if (end[chosen] == UNKNOWN).any() or sent[-1] < window.end_ns:
        raise RuntimeError("the engine was stopped before the window's requests had ended")
    there = np.arange(1, sent.size + 1) - np.searchsorted(np.sort(end), sent)
    ends = steps.step_ns[:, at]
    inside = window.holds(ends) & (np.diff(ends, prepend=0) > 0)
    decoded = steps.decoded[:, at]
    return Run(
        window,
        {
            "ttft_ms": (first - sent)[chosen] / 1e6,
            "tpot_ms": (end - first)[chosen] / 1e6 / (outputs[chosen] - 1),
        },
        there[chosen].astype(np.float64),
        ends[inside],
        np.diff(ends, prepend=0)[inside],
        decoded[inside].astype(np.int64),
        (decoded + steps.begun[:, at])[inside].astype(np.float64),
    )


def _outcomes(load: Load, count: int, seed: int, runs: int) -> Iterator[Mapping[str, Mapping[str, Estimate]]]:
    for run in runs_of(load, count, (seed, count, round(load.rate)), runs):
        yield run.estimates()


def _truth(load: Load) -> Truth:
    """Of four million requests."""
    runs = list(runs_of(load, _TRUTH_REQUESTS, (TRUTH_SEED,), _TRUTH_RUNS))
    found = {name: statistics_of(np.concatenate([run.values[name] for run in runs])) for name in _SERIES}
    weights = np.concatenate([run.decoded for run in runs])
    gaps = Sample(np.concatenate([run.gaps_ns for run in runs]), weights, divisor=1e6)
    found["itl_ms"] = {"mean": gaps.mean()} | {
        key: gaps.percentile(100 * SHARES[key]) for key in STATISTICS[1:]
    }
    seconds = sum(run.window.length_s for run in runs)
    found[RATE] = {"mean": sum(float(run.tokens.sum()) for run in runs) / seconds}
    return Truth(found, float(np.mean([run.memory for run in runs])))


def server_cells() -> list[Cell]:
    """The loads at their sizes."""
    return [
        Cell(load.name, count, partial(_outcomes, load, count), partial(_truth, load), batch=250)
        for load in LOADS
        for count in load.sizes
    ]
