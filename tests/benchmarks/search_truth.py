"""How good and how dear is a search? Against truth from a very long run, and against a sweep of ten points.

    python tests/benchmarks/search_truth.py [--seeds 40] [--first-seed 0] [--out outputs/search_truth] [--only 0,1,2]

A simulated server in virtual time: the preset l4-llama-3.2-1b with 8 seats and 512 tokens a step, Poisson arrivals,
prompts of 128 to 384 tokens, answers of 8 to 24: it saturates near 37 requests a second. Small, so that a million
requests take a minute.

* Truth: the share of misses at three loads 3 % apart, half a million requests each, and a line through their logits.
* A search for each seed, from a start that is far off (10, 20 or 45 requests a second), with a window of 20 s at least.
* The sweep: ten points as `benchkit sweep` takes them (one at a time, full throughput, eight rates evenly between), all
  of one length, evaluated by the same fit. Long runs at its rates are cut into 40 sweeps of several lengths; the
  length that gives a search's accuracy is read off between them, twice: for the median half-width of the interval,
  which a user sees, and for the root of the mean squared error, which needs the truth. Rates more than 35 % from the
  truth do not enter the fit: their time counts, but is not simulated.

Every measurement takes 5 s of warm-up, which count for both. What was made is kept in the folder and used again.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchkit.analysis.boundary import Sample, fit_boundary
from benchkit.analysis.boundary_fit import logit
from benchkit.analysis.boundary_points import samples_of
from benchkit.experiments.search import SearchAsk, search
from benchkit.experiments.search_simulated import SimulatedServer
from benchkit.objectives import Single, parse, singles
from benchkit.parameters import resolve
from benchkit.serving.simulated.settings import settings_for

OBJECTIVES = (
    "p99 ttft < 200ms",
    "p95 latency < 400ms",
    "attainment(ttft < 150ms, latency < 450ms) > 98%",
)
PILOTS = (25.9, 28.8, 24.8)
"""Near the truth, only to place the loads that it is measured at."""
STARTS = (10.0, 20.0, 45.0)
WARMUP_S = 5.0
SPACING, TRUTH_REQUESTS, CHUNK = 0.03, 500_000, 100_000
SWEEPS, LENGTHS_S = 40, (100.0, 200.0, 400.0, 800.0)

WORK = {
    "input_tokens": 256,
    "output_tokens": 16,
    "input_tokens_spread": 0.5,
    "output_tokens_spread": 0.5,
    "warmup_s": WARMUP_S,
    "load": "poisson",
}


def server(*, streams: bool = False) -> SimulatedServer:
    """The simulated server, asked by rate or by streams."""
    settings = settings_for(
        "l4-llama-3.2-1b", {"max_num_seqs": 8, "max_num_batched_tokens": 512, "kv_blocks": 0}
    )
    return SimulatedServer(settings, resolve(WORK), streams=streams)


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What a file holds, made where there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(make()), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def truth_of(objective: Single, pilot: float) -> dict[str, float]:
    """The load at which just the allowed share misses, and its standard error."""
    odds, errors = [], []
    places = (1 - SPACING, 1.0, 1 + SPACING)
    for place in places:
        rate, shares = pilot * place, []
        for chunk in range(TRUTH_REQUESTS // CHUNK):
            (sample,) = samples_of(server()(rate, CHUNK / rate, 900_000 + chunk), [objective])[objective]
            shares.append(sample.share)
        share = float(np.mean(shares))
        odds.append(logit(share) - logit(sample.allowed))
        errors.append(float(np.std(shares, ddof=1)) / math.sqrt(len(shares)) / (share * (1 - share)))
    slope, offset = np.polyfit(np.log(places), odds, 1)
    error = math.sqrt(float(np.mean(np.square(errors))) / len(places)) / slope
    return {"rate": pilot * math.exp(-offset / slope), "error": error, "steepness": float(slope)}


def searches(objective: str, seeds: range) -> list[dict[str, Any]]:
    """One search a seed."""
    rows = []
    for seed in seeds:
        began = time.process_time()
        start = STARTS[seed % len(STARTS)]
        ask = SearchAsk.of(
            objective, start, probe_s=20, overhead_s=WARMUP_S, budget_s=50_000, seed=1_000 * (seed + 1)
        )
        result = search(server(), ask)
        found = result.boundary
        rows.append(
            {
                "seed": seed,
                "start": start,
                "rate": found and found.rate,
                "low": found and found.low,
                "high": found and found.high,
                "elasticity": found and found.elasticity,
                "inflation": found and found.inflation,
                "resolved": result.resolved,
                "measurements": len(result.points),
                "requests": sum(point.count or 0 for point in result.points),
                "server_s": result.spent_s,
                "cpu_s": time.process_time() - began,
                "notes": list(result.notes),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def sweep_rates() -> list[float]:
    """Eight rates evenly between one request at a time and full throughput."""
    slowest = server(streams=True)(1, 200, 1).requests_per_s
    fastest = server(streams=True)(512, 200, 1).requests_per_s
    assert slowest is not None
    assert fastest is not None
    return [float(each) for each in np.linspace(slowest, fastest, 10)[1:-1]] + [fastest]


def long_runs(rates: Sequence[float], objectives: Sequence[Single]) -> dict[float, dict[Single, Sample]]:
    """One long run at each rate, long enough for all sweeps of the longest kind."""
    runs = {}
    for rate in rates:
        point = server()(rate, SWEEPS * LENGTHS_S[-1] / 2, 777)
        runs[rate] = {objective: found[0] for objective, found in samples_of(point, objectives).items()}
    return runs


def sweeps(
    runs: dict[float, dict[Single, Sample]], objective: Single, truth: float
) -> list[dict[str, float]]:
    """The accuracy of sweeps of several lengths, cut from the long runs."""
    rows = []
    for length_s in LENGTHS_S:
        pieces = min(SWEEPS, int(SWEEPS * LENGTHS_S[-1] / 2 / length_s))
        errors, halves = [], []
        for at in range(pieces):
            samples = [
                _piece(run[objective], rate, at, length_s)
                for rate, run in runs.items()
                if 1 / 1.35 < rate / truth < 1.35
            ]
            found = fit_boundary(samples)
            if found is not None:
                errors.append(math.log(found.rate / truth))
                halves.append(found.half_width if found.half_width is not None else math.inf)
        rows.append(
            {
                "length_s": length_s,
                "sweeps": pieces,
                "found": len(errors),
                "rms": float(np.sqrt(np.mean(np.square(errors)))),
                "half_width": float(np.median(halves)),
                "cost_s": 10 * (length_s + WARMUP_S),
            }
        )
    return rows


def _piece(sample: Sample, rate: float, at: int, length_s: float) -> Sample:
    count = int(rate * length_s)
    return Sample(rate, sample.misses[at * count : (at + 1) * count], sample.allowed, sample.memory)


def equal_sweep_s(rows: Sequence[dict[str, float]], kind: str, wanted: float) -> float:
    """What a sweep of that ``rms`` or ``half_width`` costs: a line through the logarithms of it and the length."""
    x = np.log([row[kind] for row in rows])
    y = np.log([row["length_s"] for row in rows])
    slope, offset = np.polyfit(x, y, 1)
    return 10 * (math.exp(slope * math.log(wanted) + offset) + WARMUP_S)


def report(
    objective: str, truth: dict[str, float], rows: Sequence[dict[str, Any]], swept: Sequence[dict[str, float]]
) -> dict[str, Any]:
    """The table's row of one objective."""
    found = [row for row in rows if row["rate"] is not None]
    errors = np.array([row["rate"] / truth["rate"] - 1 for row in found])
    rms = float(np.sqrt(np.mean(np.square(np.log1p(errors)))))
    cost = float(np.mean([row["server_s"] for row in rows]))
    covered = [row for row in found if row["low"] is not None and row["low"] <= truth["rate"] <= row["high"]]
    half = float(
        np.median([(row["high"] - row["low"]) / 2 / row["rate"] for row in found if row["low"] is not None])
    )
    as_wide, as_wrong = equal_sweep_s(swept, "half_width", half), equal_sweep_s(swept, "rms", rms)
    return {
        "objective": objective,
        "truth": round(truth["rate"], 2),
        "± %": round(196 * truth["error"], 2),
        "seeds": len(rows),
        "covered": len(covered),
        "within 5 %": int((np.abs(errors) <= 0.05).sum()),
        "resolved": sum(row["resolved"] for row in rows),
        "median estimate": round(float(np.median([row["rate"] for row in found])), 2),
        "error rms %": round(100 * rms, 2),
        "median half-width %": round(100 * half, 1),
        "requests, median": round(float(np.median([row["requests"] for row in rows]))),
        "server s, median": round(float(np.median([row["server_s"] for row in rows]))),
        "server s, mean": round(cost),
        "sweep of that width, s": round(as_wide),
        "search / sweep as wide": round(cost / as_wide, 3),
        "sweep of that error, s": round(as_wrong),
        "search / sweep as wrong": round(cost / as_wrong, 3),
        "elasticity, median": round(float(np.median([row["elasticity"] for row in found])), 1),
        "cpu s, mean": round(float(np.mean([row["cpu_s"] for row in rows])), 1),
    }


def main() -> int:
    """Prints each search, each sweep, and the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("outputs/search_truth"))
    parser.add_argument("--only", default="0,1,2")
    options = parser.parse_args()
    chosen = [int(each) for each in options.only.split(",")]
    parsed = [singles(parse(text))[0] for text in OBJECTIVES]
    truths = {
        at: kept(options.out / f"truth-{at}.json", lambda at=at: truth_of(parsed[at], PILOTS[at]))
        for at in chosen
    }
    print("truth:", json.dumps(truths), flush=True)

    def swept() -> dict[str, Any]:
        rates = sweep_rates()
        near = [rate for rate in rates if any(1 / 1.35 < rate / truths[at]["rate"] < 1.35 for at in chosen)]
        # The last rate is the throughput point, which shows no steady state.
        runs = long_runs([rate for rate in near if rate != rates[-1]], [parsed[at] for at in chosen])
        found = {str(at): sweeps(runs, parsed[at], truths[at]["rate"]) for at in chosen}
        return {"rates": rates, "sweeps": found}

    grid = kept(options.out / f"sweep-{'-'.join(map(str, chosen))}.json", swept)
    print("sweep:", json.dumps(grid), flush=True)
    table = []
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    for at in chosen:
        rows = kept(
            options.out / f"searches-{at}-{seeds.start}-{seeds.stop}.json",
            lambda at=at: searches(OBJECTIVES[at], seeds),
        )
        table.append(report(OBJECTIVES[at], truths[at], rows, grid["sweeps"][str(at)]))
    for name in table[0]:
        print(f"{name:<26}", *(f"{row[name]!s:>50}" for row in table))
    (options.out / "table.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
    # An exact 95 % interval covers at least 35 of 40 times with a chance of 98.6 %.
    expected = float(stats.binom.sf(math.ceil(0.875 * options.seeds) - 1, options.seeds, 0.95))
    print(f"an exact interval would pass 'covered in 7 of 8' with a chance of {expected:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
