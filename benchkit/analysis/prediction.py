"""What a simulated engine says of the requests of a measured run, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchkit.simulator.requests import Engine
from benchkit.simulator.simulate import SimulatedRequest, simulate

_CLOSED = {"synchronous": 1, "throughput": 512}


def streams_of(parameters: Mapping[str, Any]) -> int:
    """Streams of a run's closed loop; 0 for an open loop."""
    load = parameters["load"]
    if load == "concurrent":
        return int(parameters["concurrency"])
    return int(parameters["max_in_flight"] or _CLOSED[load]) if load == "throughput" else _CLOSED.get(load, 0)


def predict(
    requests: pd.DataFrame, engine: Engine, parameters: Mapping[str, Any], *, block_size: int = 16
) -> pd.DataFrame:
    """Simulates a run's requests: sent when they were (closed loop: the first of each stream), as long as they were.

    Args:
        requests: of a run, whole.
        engine: a fresh one.
        parameters: the run's; its ``prefix_tokens`` are taken to be the same in all prompts.
        block_size: tokens a block of the engine's cache.

    Returns:
        One row a request that was sent: ``phase``, ``outcome``, ``tokens``; ``sent_ms`` since the first was sent,
        ``ttft_ms``, ``latency_ms`` as measured, ``sent_said_ms``, ``ttft_said_ms``, ``latency_said_ms`` as predicted.
    """
    sent = requests[requests.sent_ns.notna()].sort_values("sent_ns").reset_index(drop=True)
    outputs = sent.output_tokens.fillna(sent.wanted_output_tokens).astype(int).to_numpy()
    prompts = sent.prompt_tokens.fillna(int(parameters["input_tokens"])).astype(int).to_numpy()
    due = (sent.sent_ns - sent.sent_ns.iloc[0]).astype(int).to_numpy()
    shared = int(parameters["prefix_tokens"]) // block_size
    work = []
    for row, (at, prompt, output) in enumerate(zip(due, prompts, outputs, strict=True)):
        blocks = (prompt + output) // block_size
        own = 1_000_000 * (row + 1)
        hashes = [*range(min(shared, blocks)), *range(own + shared, own + blocks)]
        work.append(SimulatedRequest(int(at), int(prompt), max(1, int(output)), hashes))
    said = simulate(engine, work, concurrency=streams_of(parameters))
    return pd.DataFrame(
        {
            "phase": sent.phase,
            "outcome": sent.outcome,
            "tokens": outputs,
            "sent_ms": due / 1e6,
            "sent_said_ms": said.arrived_ns / 1e6,
            "ttft_ms": (sent.first_token_ns - sent.sent_ns).astype(float) / 1e6,
            "latency_ms": (sent.last_token_ns - sent.sent_ns).astype(float) / 1e6,
            "ttft_said_ms": said.ttft_ns / 1e6,
            "latency_said_ms": said.latency_ns / 1e6,
        }
    )


def errors(table: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Measured and predicted means of TTFT, gap and latency, and the 99th percentile of latency, ms.

    Args:
        table: of ``predict``; requests of the window that were answered count.
    """
    good = table[(table.phase == "window") & (table.outcome == "ok") & (table.tokens > 1)]
    between = good.tokens - 1
    gap, gap_said = (
        float(np.mean((good[f"latency{which}"] - good[f"ttft{which}"]) / between))
        for which in ("_ms", "_said_ms")
    )
    return {
        "ttft_ms": (float(good.ttft_ms.mean()), float(good.ttft_said_ms.mean())),
        "gap_ms": (gap, gap_said),
        "latency_ms": (float(good.latency_ms.mean()), float(good.latency_said_ms.mean())),
        "latency_p99_ms": (float(good.latency_ms.quantile(0.99)), float(good.latency_said_ms.quantile(0.99))),
    }
