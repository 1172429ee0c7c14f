"""Whether a run's numbers can be believed: evidence against the table of thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchkit.analysis.columns import RequestColumns, read_columns
from benchkit.analysis.lockstep import FALSE_ALARMS, bunching
from benchkit.analysis.thresholds import BY_NAME, THRESHOLDS, Threshold
from benchkit.analysis.window import Window
from benchkit.records.chunks import Chunks
from benchkit.records.kinds import TokenSource

__all__ = ["THRESHOLDS", "Threshold", "evidence", "judge"]

_NS_PER_MS = 1e6
_CLIENT_FAULTS = ("worker_died", "client_error", "transcription_failed")
_OPEN_LOOPS = ("constant", "poisson", "gamma")
_LATE_NS = 1_000_000
"""A read that waited for longer was picked up late; a loop that is awake takes about 0.1 ms."""
_STANDSTILL_MS = 20.0
"""A loop that stood still for longer has blurred what it then read."""


def judge(
    requests: pd.DataFrame,
    chunks: Chunks,
    window: Window,
    load_facts: Mapping[str, Any],
    parameters: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> dict[str, Any]:
    """The verdict on a run, as summary.json holds it.

    Args:
        requests: the request table, both phases.
        chunks: the events of the same rows.
        window: the measured stretch.
        load_facts: the manifest's ``load``; what is missing is not judged.
        parameters: the run's resolved parameters.
        summary: the summary so far: ``requests`` and ``windows.whole``.

    Returns:
        ``verdict`` (valid, suspect, invalid), ``reasons`` (name, level, value, unit, threshold, what, reason,
        remedy; the invalidating ones first) and ``checked``: the names of what could be judged.
    """
    values = evidence(requests, chunks, window, load_facts, parameters, summary)
    reasons = []
    for name, value in values.items():
        threshold = BY_NAME[name]
        level = threshold.level(value)
        if level is not None:
            reasons.append(
                {
                    "name": name,
                    "level": level,
                    "value": value,
                    "unit": threshold.unit,
                    "threshold": threshold.limit(level),
                    "what": threshold.means,
                    "reason": threshold.reason,
                    "remedy": threshold.remedy,
                }
            )
    order = [threshold.name for threshold in THRESHOLDS]
    reasons.sort(key=lambda reason: (reason["level"] != "invalid", order.index(str(reason["name"]))))
    verdict = reasons[0]["level"] if reasons else "valid"
    return {"verdict": verdict, "reasons": reasons, "checked": [name for name in order if name in values]}


def evidence(
    requests: pd.DataFrame,
    chunks: Chunks,
    window: Window,
    load_facts: Mapping[str, Any],
    parameters: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> dict[str, float]:
    """The value of every check that can be made, by name; arguments as of ``judge``."""
    columns = read_columns(requests)
    window = Window.of_facts(window, load_facts)
    found = [
        *_of_outcomes(summary["requests"]),
        *_of_extent(window, load_facts, summary),
        *_of_loop(columns, window, parameters),
        *_of_sends(summary),
        *_of_client(chunks, window, load_facts, parameters, summary),
        *_of_tokens(requests, columns, chunks),
    ]
    return {name: float(value) for name, value in found if value is not None}


_Found = Iterator[tuple[str, float | None]]


def _of_outcomes(counts: Mapping[str, Any]) -> _Found:
    yield "no_ok_request", counts["ok"]
    decided = counts["ok"] + counts["failed"] + counts["shed"]
    if decided:
        yield "failures", counts["failed"] / decided
        yield "shed", counts["shed"] / decided
    if decided + counts["incomplete"]:
        yield "incomplete", counts["incomplete"] / (decided + counts["incomplete"])


def _of_extent(window: Window, load_facts: Mapping[str, Any], summary: Mapping[str, Any]) -> _Found:
    stopped_by = load_facts.get("stopped_by")
    broken = stopped_by in _CLIENT_FAULTS
    yield "client_broke", int(broken)
    yield "stopped_early", int(stopped_by is not None and not broken)
    yield "records_lost", load_facts.get("lost_bytes")
    p95 = summary["windows"]["whole"]["metrics"]["latency_ms"]["p95"]
    if p95:
        yield "short_window", min(part.length_s for part in window.parts) * 1e3 / p95


def _of_loop(columns: RequestColumns, window: Window, parameters: Mapping[str, Any]) -> _Found:
    load = parameters.get("load")
    if load == "concurrent":
        streams = int(parameters.get("concurrency") or 0)
        parts = [bunching(columns.sent[part.holds(columns.sent)], streams) for part in window.parts]
        found = [part for part in parts if part is not None]
        # One of several looks is bunched by chance more often than one alone (Bonferroni).
        certain = [each.concentration for each in found if each.chance * len(found) < FALSE_ALARMS]
        yield "lockstep", max(certain, default=0.0) if found else None
    sent = columns.in_phase & ~np.isnan(columns.sent)
    if load in _OPEN_LOOPS and sent.any():
        yield "throttled", float((columns.waited[sent] > 0).mean())


def _of_sends(summary: Mapping[str, Any]) -> _Found:
    lateness = summary["windows"]["whole"]["metrics"]["lateness_ms"]
    yield "lateness_p99", lateness["p99"]
    yield "lateness_max", lateness["max"]


def _of_client(
    chunks: Chunks,
    window: Window,
    load_facts: Mapping[str, Any],
    parameters: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> _Found:
    workers = [worker for worker in load_facts.get("workers") or () if worker]
    httpx_used = parameters.get("transport") == "httpx"
    yield "httpx_transport", int(httpx_used)
    without = [worker for worker in workers if worker.get("kernel_times") is False]
    # The stock transport never has them: one reason says it.
    yield "no_kernel_times", None if httpx_used or not workers else len(without)
    if len(without) < max(len(workers), 1):
        seen = summary["windows"]["whole"]["metrics"]["pickup_lag_ms"]["max"]
        yield "pickup_lag_p99", _largest(workers, "pickup_lag_p99_ns", _NS_PER_MS)
        lag_max = _largest(workers, "pickup_lag_max_ns", _NS_PER_MS)
        yield "pickup_lag_max", max((value for value in (lag_max, seen) if value is not None), default=None)
    loop_gap = _largest(workers, "loop_gap_max_ns", _NS_PER_MS)
    yield "loop_gap_max", loop_gap
    yield "worker_cpu", _largest(workers, "cpu_share")
    yield "clock_steps", _largest(workers, "clock_offset_steps_ns", _NS_PER_MS)
    if workers:
        yield "limits_hit", sum(len(worker.get("limits_hit") or ()) for worker in workers)
    stamps = _stamps(chunks, window)
    yield "shared_stamps", stamps.shared
    yield "blurred_stamps", stamps.blurred if stamps.blurred is not None else _by_loop_gap(stamps, loop_gap)


class _Stamps(NamedTuple):
    """Shares of the window's events; None where there is none, or where lags are not known."""

    shared: float | None
    blurred: float | None


def _stamps(chunks: Chunks, window: Window) -> _Stamps:
    """How many events are censored, and how many of them because the client read late.

    Events that share a read which was picked up at once came together, within one turn of the loop:
    the server or a proxy sent them so. Those that were picked up late may have come at any time since.
    """
    inside = window.holds(chunks.ns)
    events = int(np.count_nonzero(inside))
    if not events:
        return _Stamps(None, None)
    censored = np.flatnonzero(chunks.shared & inside)
    lags = chunks.loop_ns[censored] - chunks.ns[censored]
    late = int(np.count_nonzero(lags > _LATE_NS))
    timed = not censored.size or bool(np.any(lags))
    return _Stamps(censored.size / events, late / events if timed else None)


def _by_loop_gap(stamps: _Stamps, loop_gap_ms: float | None) -> float | None:
    """Without kernel times: all shared stamps are blurred if the loop once stood still."""
    if stamps.shared is None or loop_gap_ms is None:
        return None
    return stamps.shared if loop_gap_ms >= _STANDSTILL_MS else 0.0


def _of_tokens(requests: pd.DataFrame, columns: RequestColumns, chunks: Chunks) -> _Found:
    ok = columns.ok & columns.in_phase
    if not ok.any():
        return
    yield "tokens_unknown", float((~chunks.known[ok]).mean())
    if "token_source" in requests:
        sources = requests["token_source"].to_numpy(dtype=object)
        yield "tokens_assumed", float((sources[ok] == str(TokenSource.EVENTS)).mean())


def _largest(workers: Sequence[Mapping[str, Any]], key: str, divisor: float = 1.0) -> float | None:
    """The largest of what the workers say; a list counts by its largest magnitude."""
    found = []
    for worker in workers:
        value = worker.get(key)
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = max((abs(each) for each in value), default=None)
        if value is not None:
            found.append(abs(float(value)) / divisor)
    return max(found, default=None)
