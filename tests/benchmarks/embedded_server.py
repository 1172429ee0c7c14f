"""Prints what the embedded server holds: streamed tokens/s on one core, and how late its sends are.

``python tests/benchmarks/embedded_server.py`` runs the bare C client on one core against the server on
another: 400 streams with a token every 20 ms are 20,000 tokens/s. Lateness is the server's own log:
sent - scheduled.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import psutil

from benchkit.serving import simulated
from benchkit.serving.process import ServerProcess

sys.path.insert(0, str(Path(__file__).parent))
from compiled import compiled

RAMP_MS = 2000
"""Streams start spread over it: in lockstep all of them would be due in the same millisecond."""


def server_of(process: ServerProcess) -> psutil.Process:
    """The process that serves: the guard's only child."""
    return psutil.Process(process.pid).children()[0]


def measure(streams: int, seconds: float, tokens: int, cores: tuple[int, int], args: dict) -> dict:
    """One run with the server and the client on those cores; gives its figures."""
    client = compiled("epoll_client")
    asked = {"model": "paced", "mean_answer_tokens": 10**9, "log_sends": True}  # what epoll_client asks for
    with simulated.start(server_args=asked | args) as server:
        process = server_of(server)
        process.cpu_affinity([cores[0]])
        with contextlib.suppress(psutil.AccessDenied):  # other work here is not the server's lateness
            process.nice(-15)
        switches = process.num_ctx_switches().involuntary
        before = process.cpu_times()
        began = time.monotonic()
        command = [str(client), "127.0.0.1", str(server.port), str(streams), str(seconds), str(tokens)]
        ran = subprocess.run(
            [*command, "--core", str(cores[1]), "--ramp-ms", str(RAMP_MS)],
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=True,
        )
        elapsed_s = time.monotonic() - began
        after = process.cpu_times()
        switches = process.num_ctx_switches().involuntary - switches
        with urllib.request.urlopen(f"{server.url}/benchkit/sends", timeout=60) as answer:
            log = json.load(answer)
        memory_mib = process.memory_info().rss / 2**20
    late_ms = np.concatenate(
        [(np.array(one["sent_ns"]) - np.array(one["scheduled_ns"])) / 1e6 for one in log if one["sent_ns"]]
    )
    stamps = np.concatenate([np.array(one["sent_ns"]) for one in log])
    cpu_s = after.user + after.system - before.user - before.system
    return {
        "tokens": len(late_ms),
        "tokens_per_s": round(len(late_ms) / (np.ptp(stamps) / 1e9)),
        "late_p50_ms": round(float(np.percentile(late_ms, 50)), 3),
        "late_p99_ms": round(float(np.percentile(late_ms, 99)), 3),
        "late_max_ms": round(float(late_ms.max()), 3),
        "cpu_us_per_token": round(cpu_s / len(late_ms) * 1e6, 1),
        "cpu_share": round(cpu_s / elapsed_s, 2),
        "involuntary_switches": switches,
        "requests": len(log),
        "healthy_s": round(server.healthy_s, 3),
        "rss_mib": round(memory_mib),
        "client": ran.stdout.strip(),
    }


def main() -> None:
    """Measures and prints one line of JSON a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[100, 400, 1000])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--tokens", type=int, default=200)
    cores = sorted(os.sched_getaffinity(0))
    parser.add_argument("--server-core", type=int, default=cores[-1])
    parser.add_argument("--client-core", type=int, default=cores[0])
    parser.add_argument("--set", nargs=2, action="append", default=[], metavar=("NAME", "JSON"))
    options = parser.parse_args()
    for streams in options.streams:
        # 20,000 tokens/s at 400 streams and beyond; fewer streams keep the gap of 20 ms.
        chosen = {name: json.loads(value) for name, value in options.set}
        args = {"gap_ms": max(20.0, streams / 20.0)} | chosen
        cores = (options.server_core, options.client_core)
        figures = measure(streams, options.seconds, options.tokens, cores, args)
        print(json.dumps({"streams": streams, **args, **figures}), flush=True)


if __name__ == "__main__":
    main()
