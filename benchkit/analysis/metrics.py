"""The summary of a run, as summary.json holds it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.analysis import rates as rating
from benchkit.analysis.catalogue import METRICS, RATES
from benchkit.analysis.columns import RequestColumns
from benchkit.analysis.definitions import DEFINITIONS, Definition, per_request
from benchkit.analysis.high_load import repeats_needed
from benchkit.analysis.measured import WITH_FAILURES, Measured, measure, narrowed
from benchkit.analysis.quantiles import PERCENTILES
from benchkit.analysis.slo import evaluate, good_requests
from benchkit.analysis.steady_state import steady_window
from benchkit.analysis.validity import Case, judge
from benchkit.analysis.window import Window
from benchkit.analysis.window_intervals import WindowIntervals, window_intervals
from benchkit.objectives import Objective
from benchkit.records.chunks import Chunks
from benchkit.records.kinds import Outcome

__all__ = [
    "DEFINITIONS",
    "SUMMARY_SCHEMA",
    "Definition",
    "Window",
    "build_summary",
    "per_request",
    "summarise",
]

SUMMARY_SCHEMA = 1

Flags = NDArray[np.bool_]


def summarise(
    requests: pd.DataFrame,
    chunks: Chunks,
    window: Window,
    *,
    repeat: int | None = None,
    objectives: Sequence[Objective] = (),
) -> dict[str, Any]:
    """Every metric and rate of one window, JSON-able.

    Args:
        requests: the request table, both phases.
        chunks: the events of the same rows.
        window: requests count by their phase, events and tokens by their stamp.
        repeat: only requests of this repeat; None for all.
        objectives: what goodput asks of a request.

    Returns:
        ``start_s``, ``end_s``, ``length_s`` (with several repeats less than their difference), ``metrics``,
        ``rates`` and ``totals`` (the numerators of the rates).
    """
    if repeat is not None and "repeat" in requests:
        rows = requests["repeat"].to_numpy() == repeat
        requests, chunks = requests[rows], _rows_of(chunks, rows)
    return _with_intervals(measure(requests, chunks, window), objectives)


def build_summary(
    requests: pd.DataFrame,
    chunks: Chunks,
    *,
    window: Window,
    objectives: Sequence[Objective],
    load_facts: Mapping[str, Any],
    parameters: Mapping[str, Any],
    telemetry: pd.DataFrame | None = None,
    preflight: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole summary.json of a run: outcomes, metrics and rates, objectives, verdict.

    Args:
        requests: the request table, both phases.
        chunks: the events of the same rows.
        window: the measured stretch; of several repeats, from the first's start to the last's end, with the
            pieces in ``load_facts["windows"]``.
        objectives: parsed ``slo`` parameters.
        load_facts: the manifest's ``load``: what the load processes say of themselves; any part may be
            missing.
        parameters: the run's resolved parameters.
        telemetry: what was sampled beside the run, in the columns of ``schema.TELEMETRY``; evidence for the verdict.
        preflight: the manifest's ``preflight``; evidence likewise.
    """
    window = Window.of_facts(window, load_facts)
    measured = measure(requests, chunks, window)
    starts, level = load_facts.get("server_starts"), float(load_facts.get("level", 0.95))
    good = good_requests(objectives, measured)
    sure = window_intervals(measured, rating.counted_in_bins(measured, good), starts, level)
    whole = _window_summary(measured, good, sure)
    whole["intervals"]["repeats_needed"] = (
        repeats_needed(telemetry, window) if sure.by == "run" else ""
    ) or None
    steady = steady_window(measured)
    at_rest = None if steady.window is None else narrowed(measured, steady.window)
    rated = {name: rate["value"] for name, rate in whole["rates"].items()}
    summary: dict[str, Any] = {
        "schema": SUMMARY_SCHEMA,
        "requests": count_outcomes(requests, measured.columns),
        "windows": {
            "whole": whole,
            "steady": None if at_rest is None else _with_intervals(at_rest, objectives, starts, level),
            "steady_missing": steady.reason or None,
        },
        "slo": [evaluate(objective, measured, rated, sure).as_dict() for objective in objectives],
    }
    case = Case(requests, measured, load_facts, parameters, summary, at_rest, telemetry, preflight or {})
    summary["validity"] = judge(case)
    return summary


def count_outcomes(requests: pd.DataFrame, columns: RequestColumns) -> dict[str, Any]:
    """How many requests of the window ended in which way; ``by_kind`` names what failed or was shed."""
    counts: dict[str, Any] = {
        str(outcome): int((columns.is_outcome(outcome) & columns.in_phase).sum()) for outcome in Outcome
    }
    kinds = requests["error_kind"][columns.in_phase].dropna() if "error_kind" in requests else ()
    counts["by_kind"] = dict(sorted(Counter(str(kind) for kind in kinds).items()))
    return counts


def _with_intervals(
    measured: Measured,
    objectives: Sequence[Objective],
    starts: Sequence[float | None] | None = None,
    level: float = 0.95,
) -> dict[str, Any]:
    good = good_requests(objectives, measured)
    counts = rating.counted_in_bins(measured, good)
    return _window_summary(measured, good, window_intervals(measured, counts, starts, level))


def _window_summary(measured: Measured, good: Flags | None, sure: WindowIntervals) -> dict[str, Any]:
    window = measured.window
    totals = rating.count(measured, good)
    rated = rating.rates(totals, window)
    return {
        "start_s": window.start_ns / 1e9,
        "end_s": window.end_ns / 1e9,
        "length_s": window.length_s,
        "metrics": {
            metric.name: {"unit": metric.unit}
            | _describe(metric.name, measured)
            | sure.of_metric(metric.name)
            for metric in METRICS
        },
        "rates": {
            rate.name: {"unit": rate.unit, "value": rated[rate.name]} | sure.of_rate(rate.name)
            for rate in RATES
        },
        "totals": {
            "requests": totals.requests,
            "output_tokens": totals.output_tokens,
            "prompt_tokens": totals.prompt_tokens,
        },
        "intervals": sure.as_dict(),
    }


def _describe(name: str, measured: Measured) -> dict[str, Any]:
    if name == "in_flight":
        return dict(measured.occupancy)
    sample = measured.samples[name]
    described = sample.describe()
    if name in WITH_FAILURES:
        worse = measured.without_value[name]
        described["with_failures"] = {"count": sample.total + worse} | {
            key: _or_fails(sample.percentile(percent, worse=worse)) if sample.total + worse else None
            for key, percent in PERCENTILES
        }
    return described


def _or_fails(value: float) -> float | str:
    """JSON has no infinity: a percentile that lands among the failures "fails"."""
    return value if math.isfinite(value) else "fails"


def _rows_of(chunks: Chunks, rows: np.ndarray[Any, np.dtype[np.bool_]]) -> Chunks:
    counts = np.diff(chunks.offsets)
    events = np.repeat(rows, counts)
    offsets = np.concatenate(([0], np.cumsum(counts[rows])))
    return Chunks(
        offsets=offsets,
        ns=chunks.ns[events],
        loop_ns=chunks.loop_ns[events],
        tokens=chunks.tokens[events],
        known=chunks.known[rows],
        shared=chunks.shared[events],
    )
