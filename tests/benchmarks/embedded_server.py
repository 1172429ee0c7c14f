"""Prints what the embedded server holds: streamed tokens/s on one core, and how late its sends are.

``python tests/benchmarks/embedded_server.py`` lets the bare C client on one core load the embedded server on
another: 400 streams with a token every 20 ms are 20,000 tokens/s. Lateness is ``sent - scheduled`` by the
server's own log. The paced C server takes turns with it: what both show is this machine's, not the server's.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Self

import numpy as np
import psutil

from benchkit.serving import simulated
from benchkit.telemetry.host import HostReader

sys.path.insert(0, str(Path(__file__).parent))
from compiled import compiled
from paced import paced_server

RAMP_MS = 2000
"""Streams start spread over it: in lockstep all of them would be due in the same millisecond."""
ASKED = {"model": "paced", "mean_answer_tokens": 10**9, "log_sends": True}
"""What makes the embedded server do as epoll_client expects."""


class Watch:
    """Pins a process to a core; gives what it used in the block, and what the machine was not given."""

    def __init__(self, pid: int, core: int) -> None:
        self._process = psutil.Process(pid)
        self._process.cpu_affinity([core])
        with contextlib.suppress(
            psutil.AccessDenied, OSError
        ):  # other work here is not the server's lateness
            self._process.nice(-15)
            Path(f"/proc/{pid}/autogroup").write_text(
                "-15"
            )  # where sessions are scheduled against each other

        self._host = HostReader()

    def __enter__(self) -> Self:
        list(self._host())
        self._before = self._process.cpu_times()
        return self

    def __exit__(self, *_: object) -> None:
        after = self._process.cpu_times()
        self.cpu_s = after.user + after.system - self._before.user - self._before.system
        self.steal_percent = next(one.value for one in self._host() if one.name == "steal_percent")
        self.rss_mib = self._process.memory_info().rss / 2**20


def load(port: int, streams: int, tokens: int, seconds: float, core: int) -> dict:
    """Runs the C client; gives what it printed."""
    command = [str(compiled("epoll_client")), "127.0.0.1", str(port), str(streams), str(seconds), str(tokens)]
    command += ["--core", str(core), "--ramp-ms", str(RAMP_MS)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    return json.loads(ran.stdout)


def figures(late_ns: np.ndarray, sent_ns: np.ndarray, watch: Watch, client: dict) -> dict:
    """What one run comes to; tokens/s after the ramp."""
    steady = sent_ns > sent_ns.min() + RAMP_MS * 1_000_000 + 100_000_000
    late_ms = late_ns[steady] / 1e6
    return {
        "tokens_per_s": round(steady.sum() / (np.ptp(sent_ns[steady]) / 1e9)),
        "late_ms": {
            "p50": round(float(np.percentile(late_ms, 50)), 3),
            "p99": round(float(np.percentile(late_ms, 99)), 3),
            "max": round(float(late_ms.max()), 3),
        },
        "cpu_us_per_token": round(watch.cpu_s / len(late_ns) * 1e6, 1),
        "steal_percent": round(watch.steal_percent, 1),
        "rss_mib": round(watch.rss_mib),
        "client": {name: client[name] for name in ("ttft_p99_ms", "gap_p99_ms", "cpu_us_per_chunk")},
    }


def embedded(streams: int, tokens: int, seconds: float, cores: tuple[int, int], gap_ms: float) -> dict:
    """The embedded server's figures."""
    with simulated.start(server_args={**ASKED, "gap_ms": gap_ms}) as server:
        with Watch(psutil.Process(server.pid).children()[0].pid, cores[0]) as watch:
            client = load(server.port, streams, tokens, seconds, cores[1])
        with urllib.request.urlopen(f"{server.url}/benchkit/sends", timeout=60) as answer:
            log = [one for one in json.load(answer) if one["sent_ns"]]
    sent_ns = np.concatenate([np.array(one["sent_ns"]) for one in log])
    late_ns = sent_ns - np.concatenate([np.array(one["scheduled_ns"]) for one in log])
    return {"healthy_s": round(server.healthy_s, 3), **figures(late_ns, sent_ns, watch, client)}


def in_c(streams: int, tokens: int, seconds: float, cores: tuple[int, int], gap_ms: float) -> dict:
    """The paced C server's figures."""
    with paced_server(core=cores[0], gap_ms=gap_ms, tokens=tokens) as server:
        with Watch(server.pid, cores[0]) as watch:
            client = load(server.port, streams, tokens, seconds, cores[1])
        log = server.log()
    return figures(log.lateness_ns(), log.before_ns, watch, client)


def main() -> None:
    """Measures and prints one line of JSON a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[100, 400, 1000])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1)
    available = sorted(os.sched_getaffinity(0))
    parser.add_argument("--server-core", type=int, default=available[-1])
    parser.add_argument("--client-core", type=int, default=available[0])
    options = parser.parse_args()
    cores = (options.server_core, options.client_core)
    for streams in options.streams * options.rounds:
        gap_ms = max(20.0, streams / 20.0)  # 20,000 tokens/s from 400 streams on
        for name, run in (("embedded", embedded), ("C", in_c)):
            result = run(streams, options.tokens, options.seconds, cores, gap_ms)
            print(json.dumps({"server": name, "streams": streams, "gap_ms": gap_ms, **result}), flush=True)


if __name__ == "__main__":
    main()
