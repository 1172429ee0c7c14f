"""What objectives may name: metrics, rates, statistics, and the units of each."""

from __future__ import annotations

import re
from collections.abc import Mapping

_TIMES = (
    "ttft_ms",
    "ttft_text_ms",
    "ttft_answer_ms",
    "ttft_from_schedule_ms",
    "connect_ms",
    "itl_ms",
    "chunk_gap_ms",
    "max_gap_ms",
    "tpot_ms",
    "latency_ms",
    "latency_from_schedule_ms",
    "normalized_latency_ms",
    "lateness_ms",
    "pickup_lag_ms",
)
METRICS: Mapping[str, str] = {
    **dict.fromkeys(_TIMES, "ms"),
    "tokens_per_chunk": "tokens",
    "in_flight": "requests",
}
"""Metrics that an objective may name, with their units."""

PER_REQUEST = frozenset(_TIMES) - {"itl_ms", "chunk_gap_ms"}
"""Metrics of which a request has one value: what attainment may be made of."""

GROWING = frozenset(
    {
        "ttft_ms",
        "ttft_text_ms",
        "ttft_answer_ms",
        "ttft_from_schedule_ms",
        "latency_ms",
        "latency_from_schedule_ms",
    }
)
"""Metrics whose bound may grow with the prompt: their time holds the reading of it."""

RATES: Mapping[str, str] = {
    "error_rate": "share",
    "shed_rate": "share",
    "requests_per_s": "requests/s",
    "output_tokens_per_s": "tokens/s",
    "total_tokens_per_s": "tokens/s",
    "offered_per_s": "requests/s",
    "sent_per_s": "requests/s",
    "goodput_per_s": "requests/s",
}
"""Rates that an objective may name: shares of all requests, and the windows' rates."""

UNITS: Mapping[str, Mapping[str, float]] = {
    "ms": {"us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3, "sec": 1e3, "min": 60e3},
    "share": {"%": 0.01, "": 1.0},
    "tokens": {"": 1.0, "token": 1.0, "tokens": 1.0},
    "requests": {"": 1.0, "request": 1.0, "requests": 1.0},
    "tokens/s": {"": 1.0, "/s": 1.0, "tokens/s": 1.0, "token/s": 1.0, "tok/s": 1.0},
    "requests/s": {"": 1.0, "/s": 1.0, "requests/s": 1.0, "request/s": 1.0, "req/s": 1.0},
}
"""What may stand after a number of each unit, and how much of the unit it is."""

STATISTICS: Mapping[str, str] = {
    "mean": "mean",
    "average": "mean",
    "median": "p50",
    "std": "std",
    "min": "min",
    "max": "max",
}
"""Words for statistics other than percentiles, and the summary's names of them."""


def statistic_name(word: str) -> str | None:
    """The summary's name of a statistic: p99.9 -> p99_9; None if it is none."""
    percentile = re.fullmatch(r"p(\d{1,2}(?:[._]\d+)?)", word)
    if percentile is None:
        return STATISTICS.get(word)
    value = float(percentile[1].replace("_", "."))
    return f"p{value:g}".replace(".", "_") if 0.0 < value < 100.0 else None


def metric_name(word: str) -> str | None:
    """The summary's name of a metric, with or without its unit; None if it is none."""
    return next((name for name in (word, f"{word}_ms") if name in METRICS), None)
