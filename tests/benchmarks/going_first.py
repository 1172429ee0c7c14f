"""What going first at the processor brings, beside a server that computes on every core of the same machine.

    python tests/benchmarks/going_first.py URL [--rounds 4] [--streams 32] [--seconds 6] [--write PAGE]

The same closed loop in turns, with and without the permission to go first (``benchkit.load.priority``); what of it
shows is how long an answer lay in the kernel, which share of tokens lost its own stamp, and what the server gave out.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from published import write_between

import benchkit

MARKERS = "going first"
_TITLES = {
    "pickup_p99": "pick-up lag p99, ms",
    "pickup_max": "largest, ms",
    "shared": "tokens without a stamp of their own",
    "tokens_per_s": "tokens/s",
    "ttft": "TTFT p50, ms",
}


def figures(url: str, asked: argparse.Namespace, seed: int, out: str) -> tuple[dict[str, float], str]:
    """One run: its figures, and its verdict."""
    run = benchkit.run(
        url=url,
        endpoint="completions",
        load="throughput",
        max_in_flight=asked.streams,
        warmup_s=1.0,
        duration_s=asked.seconds,
        input_tokens=64,
        output_tokens=64,
        seed=seed,
        out=out,
    )
    whole = run.summary["windows"]["whole"]
    metrics: Mapping[str, Mapping[str, float]] = whole["metrics"]
    return {
        "pickup_p99": metrics["pickup_lag_ms"]["p99"],
        "pickup_max": metrics["pickup_lag_ms"]["max"],
        "shared": float(run.chunks.shared.mean()),
        "tokens_per_s": whole["rates"]["output_tokens_per_s"]["value"],
        "ttft": metrics["ttft_ms"]["p50"],
    }, run.verdict


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    """Measures and prints, or writes into a page of the docs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    found: dict[str, list[tuple[dict[str, float], str]]] = {"": [], "realtime": []}
    with tempfile.TemporaryDirectory() as out:
        for number in range(asked.rounds):
            for fallback, runs in found.items():
                os.environ["BENCHKIT_FALLBACKS"] = fallback
                runs.append(figures(asked.url, asked, 1_000 + number, out))
    lines = ["| | " + " | ".join(_TITLES.values()) + " | verdicts |", "|---|" + "---|" * (len(_TITLES) + 1)]
    for fallback, runs in found.items():
        shown = ["; ".join(_shown(each[key]) for each, _ in runs) for key in _TITLES]
        name = "in turn" if fallback else "first"
        lines.append(f"| {name} | {' | '.join(shown)} | {', '.join(verdict for _, verdict in runs)} |")
    rates = [statistics.median(each["tokens_per_s"] for each, _ in runs) for runs in found.values()]
    told = (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Linux {platform.release()}; {asked.streams} streams, "
        f"{asked.rounds} rounds in turns, each of {asked.seconds:g} s; tokens/s, first over in turn: "
        f"{rates[0] / rates[1]:.2f} (medians)."
    )
    text = "\n".join([*lines, "", told])
    print(text)
    if asked.write:
        write_between(asked.write, MARKERS, text)


if __name__ == "__main__":
    main()
