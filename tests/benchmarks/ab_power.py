"""How often five pairs find a server that is 5 % slower, and how often they find a difference where there is none.

    python tests/benchmarks/ab_power.py [--comparisons 200] [--write docs/comparing.md]

The simulated engine in virtual time: 64 seats, prompts of 64 to 192 tokens, answers of 16 to 48, steps that scatter by
3 %. Two loads: Poisson arrivals at half of what saturates it, and a closed loop of 32. A machine is no two times the
same: every run's step time is multiplied by lognormal noise with a CV of 1 %. Each comparison has five pairs of the
same times and lengths with runs of their own: A and B for a true +5 % of the step time, A and another A for no
difference; no two comparisons share a run. The mean ITL is compared as `benchkit ab` compares it, at a single look.

Exits with 1 when a goal is missed: of 200 comparisons at least 90 % find the +5 %, and at most 18 alarm where nothing
differs.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from published import write_between

from benchkit.analysis.difference import CLIENT_FLOOR, difference
from benchkit.experiments.search_simulated import SimulatedServer, _Watched
from benchkit.parameters import resolve
from benchkit.serving.simulated.settings import settings_for
from benchkit.simulator.simulate import simulate

PAIRS = 5
SLOWER = 1.05
MACHINE_CV = 0.01
SEATS = 64
SATURATED_AT = 73.6
"""Requests per second that the engine carries at most, by `saturation`."""
WARMUP_S, WINDOW_S = 2.0, 12.0
LOADS = (("half load, Poisson", "poisson", SATURATED_AT / 2), ("closed loop of 32", "concurrent", 32.0))
LEAST_FOUND, MOST_ALARMS, OF = 0.90, 18, 200
SEED = 20_261_124
MARKER = "ab-power"
COMMAND = "python tests/benchmarks/ab_power.py --write docs/comparing.md"
WORK = {
    "input_tokens": 128,
    "input_tokens_spread": 0.5,
    "output_tokens": 32,
    "output_tokens_spread": 0.5,
    "warmup_s": WARMUP_S,
    "load": "poisson",
}
STEPS = {"step_base_us": 8_000.0, "step_prefill_us_per_token": 60.0, "step_decode_us_per_request": 60.0}


class Trial(NamedTuple):
    """One comparison with a slower server, and one with the same."""

    load: int
    number: int


class Outcome(NamedTuple):
    found: bool
    """Whether the +5 % was found, with its sign."""
    alarm: bool
    ratio: float
    """As measured, of the slower server."""
    sd: float
    """Standard deviation of a pair's log ratio, where nothing differs."""


def server(speed, arrivals):
    """The simulated server with every step multiplied."""
    steps = {name: speed * value for name, value in STEPS.items()}
    settings = settings_for("simple", {"max_num_seqs": SEATS, "jitter": 0.03, **steps})
    return SimulatedServer(settings, resolve(WORK), arrivals=arrivals, streams=arrivals == "concurrent")


def mean_itl(speed, arrivals, load, plan_seed, chance_seed):
    """Mean ITL in ms of one run: all tokens after the first of requests that were sent in the window."""
    one = server(speed, arrivals)
    engine = _Watched(dataclasses.replace(one.settings, seed=chance_seed).build_engine(), keep_events=False)
    end_ns = round((WARMUP_S + WINDOW_S) * 1e9)
    work = one._work(load, end_ns, plan_seed, engine)
    result = simulate(engine, work, concurrency=round(load) if one.streams else 0)
    inside = (result.arrived_ns >= WARMUP_S * 1e9) & (result.arrived_ns < end_ns)
    spans = (result.end_ns - result.first_token_ns)[inside]
    return float(spans.sum() / (result.output_tokens[inside] - 1).sum()) / 1e6


def compare(trial):
    """Runs one trial."""
    _, arrivals, load = LOADS[trial.load]
    rng = np.random.default_rng([SEED, *trial])
    sigma = np.sqrt(np.log1p(MACHINE_CV**2))
    sides = {"a": [], "again": [], "slower": []}
    for _ in range(PAIRS):
        plan_seed = int(rng.integers(2**62))
        for side, values in sides.items():
            speed = float(np.exp(sigma * rng.standard_normal())) * (SLOWER if side == "slower" else 1.0)
            values.append(mean_itl(speed, arrivals, load, plan_seed, int(rng.integers(2**62))))
    slower, same = (
        difference(sides["a"], sides[side], paired=True, floor=CLIENT_FLOOR) for side in ("slower", "again")
    )
    return Outcome(slower.differs() and bool(slower.is_worse), same.differs(), slower.ratio, same.sd_log)


def saturation():
    """Requests per second that the engine carries when it is offered far more."""
    one = server(1.0, "concurrent")
    point = one(512, 20.0, 1)
    return point.requests_per_s


def run(comparisons, processes):
    """All outcomes by load."""
    trials = [Trial(load, number) for number in range(comparisons) for load in range(len(LOADS))]
    with multiprocessing.Pool(processes) as pool:
        outcomes = pool.map(compare, trials, chunksize=4)
    return [
        [outcome for trial, outcome in zip(trials, outcomes, strict=True) if trial.load == load]
        for load in range(len(LOADS))
    ]


def missed(outcomes):
    """The goals that were not met, in words."""
    problems = []
    for (name, _, _), each in zip(LOADS, outcomes, strict=True):
        found, alarms = np.mean([one.found for one in each]), sum(one.alarm for one in each)
        if found < LEAST_FOUND:
            problems.append(f"{name}: {found:.1%} found")
        if alarms > MOST_ALARMS * len(each) / OF:
            problems.append(f"{name}: {alarms} alarms of {len(each)}")
    return problems


def as_markdown(outcomes):
    """The table."""
    lines = [
        f"`{COMMAND}` ({len(outcomes[0])} comparisons of {PAIRS} pairs at each load, in virtual time; machine CV 1 %)",
        "",
        "| load | a true +5 % is found | ITL ratio, mean | sd of a pair's log ratio | alarms where nothing differs |",
        "|---|---|---|---|---|",
    ]
    for (name, _, _), each in zip(LOADS, outcomes, strict=True):
        found, alarms = sum(one.found for one in each), sum(one.alarm for one in each)
        ratio, sd = np.mean([one.ratio for one in each]), np.sqrt(np.mean([one.sd**2 for one in each]))
        lines.append(
            f"| {name} | {found} of {len(each)} ({100 * found / len(each):.0f} %) | {ratio:.3f} | {100 * sd:.1f} % | "
            f"{alarms} of {len(each)} |"
        )
    return "\n".join(lines)


def main():
    """Counts, prints and, where asked, writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=OF)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    asked = parser.parse_args()
    began = time.monotonic()
    outcomes = run(asked.comparisons, asked.processes)
    table = as_markdown(outcomes)
    print(table)
    if asked.write:
        write_between(asked.write, MARKER, table)
    problems = missed(outcomes)
    print("\n".join(problems) or "every goal is met", f"({time.monotonic() - began:.0f} s)", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
