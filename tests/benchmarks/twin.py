"""How true is the embedded engine? A twin of a real vLLM is made from some loads and predicts others.

    BENCHKIT_VLLM_PYTHON=... python tests/benchmarks/twin.py [--out FOLDER] [--preset FILE] [--seconds 30]

The model has random weights and takes some 40 ms a step on two cores. The loads that are predicted are not among those
that the twin is made from: other lengths, other rates, closed and open, with and without shared prefixes. Each is
predicted before anything of it is known but when its requests were sent and how long they and their answers were.
With ``--preset`` the twin of an earlier run is used.
The pace of a shared machine drifts by a tenth and more from one minute to the next, the server with it. So a short
yardstick (one request at a time) runs before and after each load: ``pace`` is how long its steps took beside those of
the calibration. Errors are given as they are, and for a twin of which every time is multiplied by it (``paced``).
The queues are compared ten times a second, as tokens show them from outside: requests between their first token and
their last, and those before it. A page of ``/metrics`` does not tell: under load it comes seconds late, if at all.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil

import benchkit
from benchkit import serving
from benchkit.analysis.prediction import errors, predict
from benchkit.experiments.calibrate import calibrate
from benchkit.serving import vllm
from benchkit.serving.simulated.settings import settings_for
from benchkit.telemetry.prometheus import parse

MODEL = {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 12,
         "num_key_value_heads": 4}  # fmt: skip
SERVER = {"max_num_seqs": 32, "max_num_batched_tokens": 512, "max_model_len": 2048, "dtype": "float32"}
LOADS: dict[str, dict[str, Any]] = {
    "closed 3, 200+80": {"load": "concurrent", "concurrency": 3, "input_tokens": 200, "output_tokens": 80},
    "closed 12, 96+48": {"load": "concurrent", "concurrency": 12, "input_tokens": 96, "output_tokens": 48},
    "closed 40 (32 seats), 64+64": {"load": "concurrent", "concurrency": 40, "input_tokens": 64,
                                    "output_tokens": 64},
    "poisson 0.8/s, 256+64": {"load": "poisson", "rate": 0.8, "input_tokens": 256, "output_tokens": 64},
    "poisson 1.6/s, 150+40, spread": {"load": "poisson", "rate": 1.6, "input_tokens": 150, "output_tokens": 40,
                                      "input_tokens_spread": 0.5, "output_tokens_spread": 0.5},
    "closed 6, 384 shared of 448, 48": {"load": "concurrent", "concurrency": 6, "input_tokens": 448,
                                        "prefix_tokens": 384, "output_tokens": 48},
    "poisson 1.2/s, 640 shared of 700, 40": {"load": "poisson", "rate": 1.2, "input_tokens": 700,
                                             "prefix_tokens": 640, "output_tokens": 40},
}  # fmt: skip
YARDSTICK = {"load": "synchronous", "input_tokens": 16, "output_tokens": 48, "requests": 3, "duration_s": 60}
COMMON = {"endpoint": "completions", "prompt_form": "token_ids", "warmup_s": 5, "drain_s": 60}


def slower_model() -> Path:
    """The tiny model with more and wider layers."""
    tiny = vllm.make_tiny_model(vllm.interpreter())
    folder = tiny.with_name(tiny.name + "-slower")
    if not folder.exists():
        shutil.copytree(tiny, folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config |= MODEL | {"head_dim": MODEL["hidden_size"] // MODEL["num_attention_heads"]}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def counters(url: str) -> dict[str, float]:
    """What the server has counted so far; asked while it is idle."""
    page = list(parse(httpx.get(url + "/metrics", timeout=60).text))
    return {
        name: value_of(page, name)
        for name in ("prefix_cache_queries", "prefix_cache_hits", "num_preemptions")
    }


def value_of(page: Any, name: str) -> float:
    """The sum of a metric's samples, whichever of its two spellings is there."""
    return sum(sample.value for sample in page if sample.name in {f"vllm:{name}", f"vllm:{name}_total"})


def line(name: str, table: pd.DataFrame, paced: pd.DataFrame) -> dict[str, Any]:
    """One load's means and p99, measured and said; ``paced`` by a twin on a machine of that pace."""
    row: dict[str, Any] = {"load": name, "n": int((table.phase == "window").sum())}
    then = errors(paced)
    for metric, (measured, said) in errors(table).items():
        row |= {metric: round(measured, 1), f"{metric} said": round(said, 1)}
        row[f"{metric} error %"] = round(100 * (said / measured - 1), 1)
        row[f"{metric} paced error %"] = round(100 * (then[metric][1] / measured - 1), 1)
    return row


def step_ms(run: Any) -> float:
    """Median gap of the requests of a run that were alone."""
    chunks = run.stored.chunks
    gaps = np.diff(chunks.ns)[np.diff(chunks.request) == 0]
    return float(np.median(gaps)) / 1e6


def yardstick(url: str, out: Path, seed: int) -> float:
    """How long a step of one request takes now, ms."""
    return step_ms(benchkit.run(url=url, out=str(out), name="yardstick", seed=seed,
                                **COMMON | {"warmup_s": 0.5}, **YARDSTICK))  # fmt: skip


def at_pace(settings: Any, pace: float) -> Any:
    """The twin on a machine on which everything takes so many times as long."""
    names = [
        field.name
        for field in dataclasses.fields(settings)
        if field.name.startswith(("step_", "api_us", "stream_us")) and field.name.endswith(("_us", "_per_token",
            "_per_request", "_per_pair", "_per_prompt_token"))
    ]  # fmt: skip
    return dataclasses.replace(settings, **{name: pace * getattr(settings, name) for name in names})


def begun_by(times: pd.Series, at: Any) -> Any:
    """How many of some times lie at or before each moment."""
    return np.searchsorted(np.sort(times), at, side="right")


def queue_likeness(table: pd.DataFrame) -> dict[str, Any]:
    """How alike the counts of requests are, every 100 ms: those that decode, and those before their first token."""
    known = table[table.ttft_ms.notna() & table.latency_ms.notna()]
    said, seen = (
        (
            known[f"sent{which}"],
            known[f"sent{which}"] + known[f"ttft{which}"],
            known[f"sent{which}"] + known[f"latency{which}"],
        )
        for which in ("_said_ms", "_ms")
    )
    at = np.arange(0.0, min(said[2].max(), seen[2].max()), 100.0)
    out: dict[str, Any] = {}
    for name, first, last in (("decoding", 1, 2), ("before first token", 0, 1)):
        measured, predicted = (
            np.searchsorted(np.sort(side[first]), at, side="right")
            - np.searchsorted(np.sort(side[last]), at, side="right")
            for side in (seen, said)
        )
        out |= {name: round(float(measured.mean()), 2), f"{name} said": round(float(predicted.mean()), 2),
                f"{name} off": round(float(np.abs(measured - predicted).mean()), 2)}  # fmt: skip
        if measured.std() and predicted.std():
            out[f"{name} r"] = round(float(np.corrcoef(measured, predicted)[0, 1]), 3)
    return out


def main() -> None:
    """Prints the table, and leaves the runs, the preset and the table in a folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/twin"))
    parser.add_argument("--preset", type=Path)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--only", default="")
    parser.add_argument("--url", default="", help="of a server that was started so before")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = options.url
        if not url:
            arguments = {**vllm.TINY_MODEL_ARGS, **SERVER}
            server = stack.enter_context(
                serving.start(backend="vllm", served_model=str(slower_model()), server_args=arguments)
            )
            url = server.url
            for process in psutil.Process(server.pid).children(recursive=True):
                process.nice(5)
        preset = options.preset
        if preset is None:
            preset = options.out / "twin.yaml"
            known = {name: SERVER[name] for name in ("max_num_seqs", "max_num_batched_tokens")}
            print(
                calibrate({"url": url, "out": str(options.out / "calibration")}, preset, server=known),
                flush=True,
            )
        alone = [run for run in map(benchkit.load_run, sorted((options.out / "calibration").glob("*-calibrate-*")))
                 if run.manifest["parameters"]["load"] == "synchronous"]  # fmt: skip
        normal = (
            float(np.mean([step_ms(run) for run in alone]))
            if alone
            else yardstick(url, options.out / "runs", 1)
        )
        rows = []
        for seed, (name, load) in enumerate(LOADS.items(), start=int(time.time())):
            if options.only not in name:
                continue
            before = yardstick(url, options.out / "runs", 10 * seed)
            counted = counters(url)
            run = benchkit.run(url=url, out=str(options.out / "runs"), name=f"twin-{seed}", seed=seed,
                               duration_s=options.seconds, **COMMON, **load)  # fmt: skip
            counted = {name: value - counted[name] for name, value in counters(url).items()}
            settings = settings_for(str(preset), {})
            engine = settings.build_engine()
            table = predict(run.requests, engine, run.manifest["parameters"], block_size=settings.block_size)
            pace = (before + yardstick(url, options.out / "runs", 10 * seed + 5)) / 2 / normal
            slowed = predict(run.requests, at_pace(settings, pace).build_engine(), run.manifest["parameters"],
                             block_size=settings.block_size)  # fmt: skip
            row = line(name, table, slowed) | {"pace": round(pace, 3)}
            row |= queue_likeness(table)
            stats = engine.stats
            if load.get("prefix_tokens"):
                hits = counted["prefix_cache_hits"] / counted["prefix_cache_queries"]
                row |= {"hits %": round(100 * hits, 1),
                        "hits said %": round(100 * stats.prefix_hits / stats.prefix_queries, 1)}  # fmt: skip
            row |= {"preemptions": int(counted["num_preemptions"]), "preemptions said": stats.preemptions,
                    "verdict": run.verdict}  # fmt: skip
            rows.append(row)
            print(json.dumps(row), flush=True)
        (options.out / "table.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
        errors = pd.DataFrame(rows).filter(like="error %").abs().mean().round(1)
        print("mean of the errors' sizes, %:", errors.to_dict())


if __name__ == "__main__":
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    sys.exit(main())
