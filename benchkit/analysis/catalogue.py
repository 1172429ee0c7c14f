"""The table of metrics and rates: unit, weight, which requests or events, formula and source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One distribution of a summary."""

    name: str
    unit: str
    weight: str
    """What one sample is."""
    counted: str
    """Which requests or events give samples."""
    formula: str
    source: str
    """Columns of requests.parquet."""


@dataclass(frozen=True, slots=True)
class Rate:
    """One rate of a summary."""

    name: str
    unit: str
    formula: str
    counted: str
    source: str


_OK = "`ok`, scheduled in the window"
_LASTED = _OK + "; `incomplete` and `interrupted` as at least so long (Kaplan-Meier)"
_BEGUN = "`ok`, `incomplete` and `interrupted`, scheduled in the window"
_STAMPED = "events stamped in the window, of requests that did not fail, whenever these were scheduled"

METRICS: tuple[Metric, ...] = (
    Metric("ttft_ms", "ms", "request", _BEGUN, "t_1 - s", "first_token_ns, sent_ns"),
    Metric("ttft_text_ms", "ms", "request", _BEGUN, "first visible text - s", "first_text_ns, sent_ns"),
    Metric(
        "ttft_answer_ms",
        "ms",
        "request",
        _BEGUN,
        "first text that is not reasoning - s",
        "first_answer_ns, sent_ns",
    ),
    Metric("ttft_from_schedule_ms", "ms", "request", _BEGUN, "t_1 - c", "first_token_ns, scheduled_ns"),
    Metric(
        "connect_ms",
        "ms",
        "request",
        "all that had to connect, scheduled in the window",
        "connected - connecting began (TCP and TLS)",
        "connected_ns, connect_start_ns",
    ),
    Metric(
        "itl_ms",
        "ms/token",
        "token",
        _STAMPED + "; tokens per event known",
        "(t_j - t_{j-1}) / k_j for j ≥ 2, weight k_j",
        "chunk_ns, chunk_tokens",
    ),
    Metric("chunk_gap_ms", "ms", "event", _STAMPED, "t_j - t_{j-1} for j ≥ 2", "chunk_ns"),
    Metric("max_gap_ms", "ms", "request", _OK + "; two events or more", "largest t_j - t_{j-1}", "chunk_ns"),
    Metric(
        "tokens_per_chunk",
        "tokens",
        "event",
        _STAMPED + "; tokens per event known",
        "k_j for j ≥ 1",
        "chunk_tokens",
    ),
    Metric(
        "tpot_ms",
        "ms/token",
        "request",
        _OK + "; two events or more, tokens per event known",
        "(t_m - t_1) / (n - k_1)",
        "chunk_ns, chunk_tokens, output_tokens",
    ),
    Metric("latency_ms", "ms", "request", _LASTED, "e - s", "end_ns, sent_ns"),
    Metric("latency_from_schedule_ms", "ms", "request", _LASTED, "e - c", "end_ns, scheduled_ns"),
    Metric(
        "normalized_latency_ms", "ms/token", "request", _OK, "(e - s) / n", "end_ns, sent_ns, output_tokens"
    ),
    Metric(
        "lateness_ms",
        "ms",
        "request",
        "all that were sent, scheduled in the window",
        "s - c - connecting - waiting under max_in_flight",
        "sent_ns, scheduled_ns, connect_start_ns, connected_ns, waited_ns",
    ),
    Metric(
        "pickup_lag_ms",
        "ms",
        "request",
        "all that were answered, scheduled in the window; null without kernel times",
        "largest loop's time - kernel's time of its reads",
        "pickup_lag_max_ns",
    ),
    Metric(
        "in_flight",
        "requests",
        "time",
        "all requests between s and e",
        "number in flight over the window's time",
        "sent_ns, end_ns",
    ),
)

RATES: tuple[Rate, ...] = (
    Rate(
        "requests_per_s",
        "requests/s",
        "requests / window",
        "`ok`, ended in the window, whenever scheduled",
        "end_ns, outcome",
    ),
    Rate(
        "output_tokens_per_s",
        "tokens/s",
        "output tokens / window",
        "tokens stamped in the window, whoever asked for them, ended well or not",
        "chunk_ns, chunk_tokens",
    ),
    Rate(
        "total_tokens_per_s",
        "tokens/s",
        "(output + prompt tokens) / window",
        "as above; a prompt counts when its first token is stamped",
        "chunk_ns, chunk_tokens, first_token_ns, prompt_tokens",
    ),
    Rate("offered_per_s", "requests/s", "requests / window", "scheduled in the window", "scheduled_ns"),
    Rate("sent_per_s", "requests/s", "requests / window", "sent in the window", "sent_ns"),
    Rate(
        "goodput_per_s",
        "requests/s",
        "requests / window",
        "`ok`, ended in the window, meeting every per-request objective; null without one",
        "end_ns, outcome",
    ),
)
