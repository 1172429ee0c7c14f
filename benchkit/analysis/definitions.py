"""Per-request quantities by benchkit's formulas, and by those of vLLM, GuideLLM and its early version.

Notation as in docs/metrics.md: s sent, c scheduled, t_1 ... t_m the token-bearing events with k_j tokens
each, n output tokens, e the end. Formulas of the others were read off vLLM 0.32 and GuideLLM 0.8.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.analysis.columns import RequestColumns, read_columns
from benchkit.analysis.events import first_tokens, gaps_ns, longest_gaps_ns
from benchkit.analysis.quantiles import PERCENTILES, Sample
from benchkit.records.chunks import Chunks

Floats = NDArray[np.float64]
Definition = Literal["benchkit", "vllm", "guidellm", "article"]

DEFINITIONS: tuple[Definition, ...] = ("benchkit", "vllm", "guidellm", "article")

_NS_PER_MS = 1e6


def per_request(requests: pd.DataFrame, chunks: Chunks, definition: Definition = "benchkit") -> pd.DataFrame:
    """Each request's quantities, named as in a summary; NaN where a request cannot give one.

    Args:
        requests: the request table, both phases.
        chunks: the events of the same rows.
        definition: whose formulas. ``benchkit`` gives all its per-request metrics; the others give
            ``ttft_ms``, ``itl_ms`` (a request's mean), ``tpot_ms`` and ``latency_ms``, of ok requests only.

    Returns:
        A frame with the index of ``requests``.

    Raises:
        ValueError: the definition is unknown, or the chunks are those of other rows.
    """
    if len(chunks.offsets) != len(requests) + 1:
        message = f"{len(chunks.offsets) - 1} requests have chunks, the table has {len(requests)}"
        raise ValueError(message)
    if definition not in _FORMULAS:
        message = f"no definition is called {definition!r}; there are {', '.join(DEFINITIONS)}"
        raise ValueError(message)
    values = _FORMULAS[definition](read_columns(requests), chunks)
    return pd.DataFrame(values, index=requests.index)


def request_values(columns: RequestColumns, chunks: Chunks, longest_gap_ns: Floats) -> dict[str, Floats]:
    """Benchkit's per-request metrics as arrays; ``longest_gap_ns`` is that of ``events.longest_gaps_ns``."""
    ok, begun = columns.ok, columns.ok | columns.censored
    fresh = ~np.isnan(columns.connected)
    sent, scheduled = columns.sent, columns.scheduled
    lateness = sent - scheduled - np.nan_to_num(columns.connecting) - columns.waited
    latency = columns.end - sent
    return {
        "ttft_ms": _only(begun, columns.first_token - sent),
        "ttft_text_ms": _only(begun, columns.first_text - sent),
        "ttft_answer_ms": _only(begun, columns.first_answer - sent),
        "ttft_from_schedule_ms": _only(begun, columns.first_token - scheduled),
        "connect_ms": _only(fresh, columns.connected - columns.connect_start),
        "max_gap_ms": _only(ok, longest_gap_ns),
        "tpot_ms": _only(ok, _tpot_ns(columns, chunks)),
        "latency_ms": _only(ok, latency),
        "latency_from_schedule_ms": _only(ok, columns.end - scheduled),
        "normalized_latency_ms": _only(
            ok & (columns.output_tokens > 0), _ratio(latency, columns.output_tokens)
        ),
        "lateness_ms": lateness / _NS_PER_MS,
        # All zero means that there was no kernel time to compare with: no measurement.
        "pickup_lag_ms": _only(np.full(ok.shape, bool(np.nansum(columns.lag_max) > 0)), columns.lag_max),
    }


def _benchkit(columns: RequestColumns, chunks: Chunks) -> dict[str, Floats]:
    return request_values(columns, chunks, longest_gaps_ns(chunks, gaps_ns(chunks)))


def _tpot_ns(columns: RequestColumns, chunks: Chunks) -> Floats:
    """(t_m - t_1) / (n - k_1), of requests with more than one event."""
    rest = columns.output_tokens - first_tokens(chunks)
    first, last = _first_and_last(chunks)
    return np.where(np.diff(chunks.offsets) > 1, _ratio(last - first, rest), np.nan)


def _vllm(columns: RequestColumns, chunks: Chunks) -> dict[str, Floats]:
    """vLLM: from before connecting; latency to the last event; (latency - TTFT) / (n - 1)."""
    # Its clock starts before the connection is made and after its own queue.
    fresh = columns.connected <= columns.sent
    start = np.where(fresh, columns.connect_start, columns.sent)
    first, last = _first_and_last(chunks)
    tokens = columns.output_tokens
    return {
        "ttft_ms": _only(columns.ok, first - start),
        "itl_ms": _only(columns.ok, _ratio(last - first, np.diff(chunks.offsets) - 1.0)),
        "tpot_ms": _only(columns.ok, _ratio(last - first, tokens - 1)),
        "latency_ms": _only(columns.ok, last - start),
    }


def _guidellm(columns: RequestColumns, chunks: Chunks) -> dict[str, Floats]:
    """GuideLLM 0.8: TPOT includes the first token's wait; ITL is a request's average."""
    first, last = _first_and_last(chunks)
    tokens = columns.output_tokens
    return {
        "ttft_ms": _only(columns.ok, first - columns.sent),
        "itl_ms": _only(columns.ok, _ratio(last - first, tokens - 1)),
        "tpot_ms": _only(columns.ok, _ratio(last - columns.sent, tokens)),
        "latency_ms": _only(columns.ok, columns.end - columns.sent),
    }


def _article(columns: RequestColumns, chunks: Chunks) -> dict[str, Floats]:
    """Early GuideLLM: generation time = latency - TTFT; TPOT spreads it over n tokens, ITL over n - 1."""
    first, _ = _first_and_last(chunks)
    generation, tokens = columns.end - first, columns.output_tokens
    return {
        "ttft_ms": _only(columns.ok, first - columns.sent),
        "itl_ms": _only(columns.ok, _ratio(generation, tokens - 1)),
        "tpot_ms": _only(columns.ok, _ratio(generation, tokens)),
        "latency_ms": _only(columns.ok, columns.end - columns.sent),
    }


_FORMULAS: dict[str, Callable[[RequestColumns, Chunks], dict[str, Floats]]] = {
    "benchkit": _benchkit,
    "vllm": _vllm,
    "guidellm": _guidellm,
    "article": _article,
}


@dataclass(frozen=True, slots=True)
class WeightedValues:
    """Values in ms and what each counts."""

    values: Floats
    weights: Floats


def pooled(
    requests: pd.DataFrame, chunks: Chunks, metric: str, definition: Definition = "benchkit"
) -> WeightedValues:
    """The values that a tool pools into its statistics of a metric, with its weights.

    vLLM pools every gap of its chunks into ITL; GuideLLM weighs a request's ITL with n - 1 and its TPOT with
    n. All requests of the table are taken: choose the rows first.

    Raises:
        ValueError: as ``per_request``; or the definition has no such metric.
    """
    frame = per_request(requests, chunks, definition)
    columns = read_columns(requests)
    if metric == "itl_ms" and definition == "benchkit":
        counted = np.repeat((columns.ok | columns.censored) & chunks.known, np.diff(chunks.offsets))
        counted[chunks.offsets[:-1][np.diff(chunks.offsets) > 0]] = False
        tokens = chunks.tokens[counted].astype(np.float64)
        gaps = np.asarray(gaps_ns(chunks)[counted] / _NS_PER_MS, dtype=np.float64)
        return WeightedValues(_ratio(gaps, tokens), tokens)
    if metric == "itl_ms" and definition == "vllm":
        counted = np.repeat(columns.ok, np.diff(chunks.offsets))
        counted[chunks.offsets[:-1][np.diff(chunks.offsets) > 0]] = False
        gaps = np.asarray(gaps_ns(chunks)[counted] / _NS_PER_MS, dtype=np.float64)
        return WeightedValues(gaps, np.ones(gaps.size))
    if metric not in frame:
        message = f"{definition} has no {metric!r}; it has {', '.join(frame.columns)}"
        raise ValueError(message)
    values = frame[metric].to_numpy(dtype=np.float64)
    weights = np.ones(values.size)
    if definition == "guidellm" and metric == "tpot_ms":
        weights = columns.output_tokens
    elif definition in ("guidellm", "article") and metric == "itl_ms":
        weights = columns.output_tokens - 1
    there = ~np.isnan(values)
    return WeightedValues(values[there], weights[there])


def tool_statistics(
    requests: pd.DataFrame, chunks: Chunks, metric: str, definition: Definition
) -> dict[str, Any]:
    """Mean, standard deviation and percentiles of a metric as the tool itself would state them.

    The standard deviation is the population's (ddof 0) for every definition but benchkit's. vLLM interpolates
    percentiles linearly, GuideLLM inverts the distribution function without interpolation.
    """
    found = pooled(requests, chunks, metric, definition)
    sample = Sample(found.values, found.weights.astype(np.int64))
    statistics = sample.describe()
    if not sample.total or definition == "benchkit":
        return statistics
    statistics["std"] = sample.std(ddof=0)
    if definition in ("guidellm", "article"):
        for name, percent in PERCENTILES:
            rank = int(np.ceil(percent / 100 * sample.total * (1 - 1e-15))) - 1
            statistics[name] = sample.order_statistic(max(rank, 0))
    return statistics


def _first_and_last(chunks: Chunks) -> tuple[Floats, Floats]:
    counts = np.diff(chunks.offsets)
    first, last = np.full(counts.size, np.nan), np.full(counts.size, np.nan)
    some = counts > 0
    first[some] = chunks.ns[chunks.offsets[:-1][some]]
    last[some] = chunks.ns[chunks.offsets[1:][some] - 1]
    return first, last


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient; NaN where the denominator is not positive."""
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def _only(rows: NDArray[np.bool_], values_ns: Floats) -> Floats:
    return np.where(rows, values_ns / _NS_PER_MS, np.nan)
