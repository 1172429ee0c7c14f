"""How true and how light is the client? benchkit against a bare C client, both on one pinned core, interleaved.

    python tests/benchmarks/client_truth.py [--streams 100,400,1000] [--rounds 3] [--seconds 10]
    python tests/benchmarks/client_truth.py --poisson 1000 [--seconds 10]

The paced server (paced_server.c) runs on the other core: first token after 50 ms, then one every 20 ms, 200 tokens;
its own log says when it sent what. All of benchkit's processes share core 0: the command, the worker, the feed, the
transcriber, the samplers. Core 0 is kept awake meanwhile (see `awake`).
The machines that this runs on are shared: believe ratios of interleaved runs, and medians.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from compiled import compiled
from paced import PacedLog, paced_server

import benchkit

_SPIN = """
import os
open("/proc/self/autogroup", "w").write("19")
os.sched_setaffinity(0, {0})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while os.getppid() == int(os.environ["SPIN_FOR"]):
    sum(range(10_000))
"""


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Keeps core 0 from falling asleep by a process that gives way to everything else.

    On a virtual machine each sleep of a core is an exit to its host, charged to whoever wakes up next: then the
    client that sleeps most looks the dearest.
    """
    environment = {**os.environ, "SPIN_FOR": str(os.getpid())}
    spinner = subprocess.Popen([sys.executable, "-c", _SPIN], start_new_session=True, env=environment)
    try:
        yield
    finally:
        spinner.kill()
        spinner.wait()


def steal_share() -> tuple[int, int]:
    """Steal and total jiffies of this machine so far."""
    fields = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return fields[7], sum(fields[:8])


def run_benchkit(url: str, out: Path, **values: Any) -> benchkit.Run:
    """`benchkit run` with all its processes on core 0."""
    pairs = [part for name, value in values.items() for part in ("-p", name, str(value))]
    command = [
        "taskset",
        "-c",
        "0",
        sys.executable,
        "-m",
        "benchkit",
        "run",
        "-q",
        "-p",
        "url",
        url,
        "--out",
        str(out),
        "-p",
        "endpoint",
        "completions",
        "-p",
        "input_tokens",
        "16",
        *pairs,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 3}:
        raise RuntimeError(done.stderr)
    (folder,) = out.iterdir()
    return benchkit.load_run(folder)


def compare(run: benchkit.Run, log: PacedLog) -> dict[str, float]:
    """What benchkit measured beside what the server's log says of the same requests, in ms."""
    window = run.requests[(run.requests.phase == "window") & (run.requests.outcome == "ok")]
    prefix = f"{run.path.name}-win-"
    ids = {name: row for row, name in enumerate(log.ids) if name.startswith(prefix)}
    rows = [ids[f"{prefix}{index}-0"] for index in window["index"]]
    ttft_true, gaps_true = [], []
    for row in rows:
        sent = log.before_ns[log.tokens_of(row)]
        ttft_true.append((sent[0] - log.requests["arrived_ns"][row]) / 1e6)
        gaps_true.append(np.diff(sent) / 1e6)
    chunks = run.chunks
    chunks = chunks[chunks.request.isin(window.index)]
    gaps = chunks.groupby("request").ns.diff().dropna().to_numpy() / 1e6
    ttft = ((window.first_token_ns - window.sent_ns) / 1e6).to_numpy(dtype=float)
    p99 = lambda values: float(np.percentile(values, 99))  # noqa: E731
    return {
        "ttft_p99": p99(ttft),
        "ttft_p99_true": p99(ttft_true),
        "gap_p99": p99(gaps),
        "gap_p99_true": p99(np.concatenate(gaps_true)),
    }


def closed_loop(streams: int, seconds: float) -> dict[str, float]:
    """One round: the C client, then benchkit, each against a fresh server."""
    with paced_server(core=1, tokens=200) as server:
        command = [
            str(compiled("epoll_client")),
            "127.0.0.1",
            str(server.port),
            str(streams),
            str(seconds),
            "200",
            "--core",
            "0",
            "--ramp-ms",
            "2000",
        ]
        bare = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    before = steal_share()
    with paced_server(core=1, tokens=200) as server, tempfile.TemporaryDirectory() as out:
        run = run_benchkit(
            server.url,
            Path(out),
            load="concurrent",
            concurrency=streams,
            warmup_s=4,
            duration_s=seconds,
            output_tokens=200,
        )
        after = steal_share()
        found = compare(run, server.log())
        worker = run.manifest["load"]["workers"][0]
        chunks = run.chunks
        window = run.summary["windows"]["whole"]
        inside = int(((chunks.ns >= window["start_s"] * 1e9) & (chunks.ns < window["end_s"] * 1e9)).sum())
        found |= {
            "worker_us": worker["cpu_ns"] / 1e3 / inside,
            "transcriber_us": worker["transcriber_cpu_ns"] / 1e3 / len(chunks),
            "c_us": bare["cpu_us_per_chunk"],
            "lag_max": worker["pickup_lag_max_ns"] / 1e6,
            "loop_gap": worker["loop_gap_max_ns"] / 1e6,
            "steal": (after[0] - before[0]) / max(1, after[1] - before[1]),
        }
    return found


def poisson(rate: float, seconds: float) -> dict[str, float]:
    """Arrivals at the server against the exponential, and the client's own lateness."""
    with paced_server(core=1, tokens=16) as server, tempfile.TemporaryDirectory() as out:
        run = run_benchkit(
            server.url, Path(out), load="poisson", rate=rate, warmup_s=2, duration_s=seconds, output_tokens=16
        )
        log = server.log()
        prefix = f"{run.path.name}-win-".encode()
        arrived = np.sort(
            log.requests["arrived_ns"][[name.startswith(prefix) for name in log.requests["id"]]]
        )
        gaps = np.sort(np.diff(arrived) / 1e9)
        empirical = np.arange(1, len(gaps) + 1) / len(gaps)
        model = 1 - np.exp(-gaps * rate)
        distance = float(
            np.max(np.maximum(np.abs(empirical - model), np.abs(empirical - 1 / len(gaps) - model)))
        )
        due = np.sort(run.requests[run.requests.phase == "window"].scheduled_ns.to_numpy(dtype=np.int64))
        planned = np.sort(np.diff(due) / 1e9)
        model = 1 - np.exp(-planned * rate)
        of_plan = float(np.max(np.abs(np.arange(1, len(planned) + 1) / len(planned) - model)))
        lateness = run.summary["windows"]["whole"]["metrics"]["lateness_ms"]
        return {
            "arrivals": len(arrived),
            "ks": distance,
            "ks_of_plan": of_plan,
            "lateness_p50": lateness["p50"],
            "lateness_p99": lateness["p99"],
            "lateness_max": lateness["max"],
            "worker_cpu": run.manifest["load"]["workers"][0]["cpu_share"],
        }


def main() -> None:
    """Prints one line a round and the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", default="100,400,1000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--poisson", type=float, default=0)
    options = parser.parse_args()
    os.environ.setdefault("PYTHONHASHSEED", "0")
    if options.poisson:
        for _ in range(options.rounds):
            print(
                "  ".join(
                    f"{name} {value:.3f}" for name, value in poisson(options.poisson, options.seconds).items()
                ),
                flush=True,
            )
        return
    rounds: dict[int, list[dict[str, float]]] = {}
    for number in range(options.rounds):
        for streams in map(int, options.streams.split(",")):
            with awake():
                found = closed_loop(streams, options.seconds)
            found |= {
                "ttft_error": abs(found["ttft_p99"] - found["ttft_p99_true"]),
                "gap_error": abs(found["gap_p99"] - found["gap_p99_true"]),
                "cpu_ratio": found["worker_us"] / found["c_us"],
                "transcriber_ratio": found["transcriber_us"] / found["c_us"],
            }
            rounds.setdefault(streams, []).append(found)
            print(
                f"round {number + 1}, {streams} streams: "
                + "  ".join(f"{name} {value:.3f}" for name, value in found.items()),
                flush=True,
            )
    print(f"\nmedians of {options.rounds} rounds")
    for streams, each in rounds.items():
        medians = {name: statistics.median(found[name] for found in each) for name in each[0]}
        print(f"{streams:5d} streams: " + "  ".join(f"{name} {value:.3f}" for name, value in medians.items()))


if __name__ == "__main__":
    main()
