"""How true is the embedded engine? A twin of a real vLLM is made from some loads and predicts others.

    BENCHKIT_VLLM_PYTHON=... python tests/benchmarks/twin.py [--out FOLDER] [--preset FILE] [--seconds 30]

The model has random weights and takes some 40 ms a step on two cores. The loads that are predicted are not among those
that the twin is made from: other lengths, other rates, closed and open, with and without shared prefixes. Each is
predicted before anything of it is known but when its requests were sent and how long they and their answers were.
With ``--preset`` the twin of an earlier run is used. Meanwhile the server's queue is read ten times a second.
"""

import argparse
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil

import benchkit
from benchkit import serving
from benchkit.serving import vllm
from benchkit.serving.simulated.settings import settings_for
from benchkit.simulator.requests import Emission, EngineRequest
from benchkit.simulator.simulate import SimulatedRequest, simulate
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


class Queue(threading.Thread):
    """Reads running, waiting and the prefix cache's counters ten times a second."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.rows: list[tuple[float, ...]] = []
        self._url = url
        self._over = threading.Event()

    def run(self) -> None:
        """Until ``stop``."""
        with httpx.Client() as client:
            while not self._over.wait(0.1):
                page = list(parse(client.get(self._url + "/metrics").text))
                names = ("num_requests_running", "num_requests_waiting", "prefix_cache_queries",
                         "prefix_cache_hits", "num_preemptions")  # fmt: skip
                self.rows.append((time.monotonic_ns(), *(value_of(page, name) for name in names)))

    def stop(self) -> np.ndarray[Any, Any]:
        """Ends it; gives the rows."""
        self._over.set()
        self.join()
        return np.array(self.rows)


def value_of(page: Any, name: str) -> float:
    """The sum of a metric's samples, whichever of its two spellings is there."""
    return sum(sample.value for sample in page if sample.name in {f"vllm:{name}", f"vllm:{name}_total"})


def hashes_of(row: Any, prefix_tokens: int, answer_tokens: int) -> list[int]:
    """Blocks of the prefix are the same for all requests, the others its own."""
    blocks = (int(row.prompt_tokens) + answer_tokens) // 16
    shared = prefix_tokens // 16
    return [*range(shared), *(1_000_000 * (int(row.Index) + 1) + at for at in range(shared, blocks))][:blocks]


def predict(run: benchkit.Run, preset: Path, load: dict[str, Any]) -> tuple[pd.DataFrame, Any, Any]:
    """What the twin says of a measured run's requests, row by row beside what was measured, ms."""
    requests = run.requests[run.requests.sent_ns.notna()].sort_values("sent_ns").reset_index(drop=True)
    outputs = requests.output_tokens.fillna(requests.wanted_output_tokens).astype(int)
    begin = int(requests.sent_ns.iloc[0])
    work = [
        SimulatedRequest(
            int(row.sent_ns) - begin,
            int(row.prompt_tokens) if not pd.isna(row.prompt_tokens) else int(load["input_tokens"]),
            int(outputs[row.Index]),
            hashes_of(row, load.get("prefix_tokens", 0), int(outputs[row.Index])),
        )
        for row in requests.fillna({"prompt_tokens": load["input_tokens"]}).itertuples()
    ]
    engine = settings_for(str(preset), {}).build_engine()
    history: list[tuple[int, int, int]] = []
    watched = Watched(engine, history)
    result = simulate(watched, work, concurrency=load.get("concurrency", 0), keep_gaps=True)
    table = pd.DataFrame({
        "phase": requests.phase, "outcome": requests.outcome,
        "ttft": (requests.first_token_ns - requests.sent_ns) / 1e6,
        "latency": (requests.last_token_ns - requests.sent_ns) / 1e6,
        "tokens": outputs, "ttft_said": result.ttft_ns / 1e6, "latency_said": result.latency_ns / 1e6,
    })  # fmt: skip
    return table, engine, (np.array(history), begin)


class Watched:
    """An engine whose queue is noted at each step."""

    def __init__(self, engine: Any, history: list[tuple[int, int, int]]) -> None:
        self._engine, self._history = engine, history

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def submit(self, request: EngineRequest, now_ns: int) -> None:
        """See ``Engine``."""
        self._engine.submit(request, now_ns)

    def advance(self, now_ns: int) -> list[Emission]:
        """See ``Engine``."""
        out: list[Emission] = self._engine.advance(now_ns)
        self._history.append((now_ns, self._engine.running, self._engine.waiting))
        return out


def line(name: str, table: pd.DataFrame) -> dict[str, Any]:
    """One load's means and p99, measured and said."""
    good = table[(table.phase == "window") & (table.outcome == "ok") & (table.tokens > 1)]
    gap = ((good.latency - good.ttft) / (good.tokens - 1)).mean()
    gap_said = ((good.latency_said - good.ttft_said) / (good.tokens - 1)).mean()
    pairs = {
        "ttft": (good.ttft.mean(), good.ttft_said.mean()),
        "gap": (gap, gap_said),
        "latency": (good.latency.mean(), good.latency_said.mean()),
        "latency p99": (good.latency.quantile(0.99), good.latency_said.quantile(0.99)),
    }
    return {"load": name, "n": len(good), **{
        f"{metric} {what}": round(value, 1)
        for metric, (measured, said) in pairs.items()
        for what, value in (("ms", measured), ("said", said), ("error %", 100 * (said / measured - 1)))
    }}  # fmt: skip


def queue_likeness(rows: Any, history: tuple[Any, int], run_start_ns: int) -> dict[str, float]:
    """How alike the counts of running and waiting requests are, in samples of a tenth of a second."""
    said, begin = history
    at = rows[:, 0] - run_start_ns - begin
    inside = (at > 0) & (at < said[-1, 0])
    where = np.searchsorted(said[:, 0], at[inside], side="right") - 1
    out = {}
    for column, name in ((1, "running"), (2, "waiting")):
        measured, predicted = rows[inside, column], said[where, column]
        out[f"{name} mean"] = round(float(measured.mean()), 2)
        out[f"{name} said"] = round(float(predicted.mean()), 2)
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
    options = parser.parse_args()
    server = serving.start(
        backend="vllm", served_model=str(slower_model()), server_args={**vllm.TINY_MODEL_ARGS, **SERVER}
    )
    try:
        for process in psutil.Process(server.pid).children(recursive=True):
            process.nice(5)
        preset = options.preset
        if preset is None:
            from benchkit.experiments.calibrate import calibrate

            preset = options.out / "twin.yaml"
            options.out.mkdir(parents=True, exist_ok=True)
            calibrate(url=server.url, preset_out=preset, out=str(options.out / "calibration"))
            print(preset.read_text(encoding="utf-8"))
        rows = []
        for seed, (name, load) in enumerate(LOADS.items(), start=100):
            if options.only not in name:
                continue
            queue = Queue(server.url)
            queue.start()
            run = benchkit.run(url=server.url, out=str(options.out / "runs"), name=f"twin-{seed}", seed=seed,
                               duration_s=options.seconds, **COMMON, **load)  # fmt: skip
            seen = queue.stop()
            table, engine, history = predict(run, preset, load)
            row = line(name, table)
            start_ns = run.manifest["load"]["workers"][0]["start_ns"]
            row |= queue_likeness(seen, history, start_ns)
            queries, hits = seen[-1, 3] - seen[0, 3], seen[-1, 4] - seen[0, 4]
            stats = engine.stats
            if load.get("prefix_tokens"):
                row |= {"hits %": round(100 * hits / queries, 1),
                        "hits said %": round(100 * stats.prefix_hits / stats.prefix_queries, 1)}  # fmt: skip
            row |= {"preemptions": int(seen[-1, 5] - seen[0, 5]), "preemptions said": stats.preemptions,
                    "verdict": run.verdict}  # fmt: skip
            rows.append(row)
            print(json.dumps(row), flush=True)
        (options.out / "table.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
        errors = pd.DataFrame(rows).filter(like="error %").abs().mean().round(1)
        print("mean of the errors' sizes, %:", errors.to_dict())
    finally:
        server.stop()


if __name__ == "__main__":
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    sys.exit(main())
