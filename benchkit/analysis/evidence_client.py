"""Evidence of the client's own conduct: late sends, late reads, pauses, its processor, its clock, its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchkit.analysis.evidence import Case, Evidence, Found
from benchkit.analysis.window import Window
from benchkit.records.chunks import Chunks

_NS_PER_MS = 1e6
_LATE_NS = 1_000_000
"""A read that waited for longer was picked up late; a loop that is awake takes about 0.1 ms."""
_STANDSTILL_MS = 20.0
"""A loop that stood still for longer has blurred what it then read."""
_FEWEST_READINGS = 3


def of_client(case: Case) -> Found:
    """What the load processes and the machine under them say."""
    lateness = case.whole["metrics"]["lateness_ms"]
    yield Evidence("lateness_p99", lateness["p99"])
    yield Evidence("lateness_max", lateness["max"])
    workers = [worker for worker in case.load_facts.get("workers") or () if worker]
    yield from _of_stamps(case, workers)
    yield from _of_processes(case, workers)


def _of_stamps(case: Case, workers: Sequence[Mapping[str, Any]]) -> Found:
    httpx_used = case.parameters.get("transport") == "httpx"
    yield Evidence("httpx_transport", int(httpx_used))
    without = [worker for worker in workers if worker.get("kernel_times") is False]
    # The stock transport never has them: one reason says it.
    yield Evidence("no_kernel_times", None if httpx_used or not workers else len(without))
    if len(without) < max(len(workers), 1):
        seen = case.whole["metrics"]["pickup_lag_ms"]["max"]
        yield Evidence("pickup_lag_p99", _largest(workers, "pickup_lag_p99_ns", _NS_PER_MS))
        lag_max = _largest(workers, "pickup_lag_max_ns", _NS_PER_MS)
        yield Evidence(
            "pickup_lag_max", max((value for value in (lag_max, seen) if value is not None), default=None)
        )
    loop_gap = _largest(workers, "loop_gap_max_ns", _NS_PER_MS)
    yield Evidence("loop_gap_max", loop_gap)
    stamps = _stamps(case.chunks, case.window)
    yield Evidence("shared_stamps", stamps.shared)
    yield Evidence(
        "blurred_stamps", stamps.blurred if stamps.blurred is not None else _by_loop_gap(stamps, loop_gap)
    )


def _of_processes(case: Case, workers: Sequence[Mapping[str, Any]]) -> Found:
    yield Evidence("worker_cpu", _largest(workers, "cpu_share"))
    yield Evidence("context_switches", _per_watched(workers, "involuntary_switches", 1e-9))
    yield Evidence("run_queue", _per_watched(workers, "run_queue_ns"))
    yield Evidence("gc_ran", _largest(workers, "gc_collections"))
    yield Evidence("steal", _steal(case))
    yield Evidence("clock_steps", _largest(workers, "clock_offset_steps_ns", _NS_PER_MS))
    if workers:
        met = [str(limit) for worker in workers for limit in worker.get("limits_hit") or ()]
        yield Evidence("limits_hit", len(met), ", ".join(dict.fromkeys(met)))


def _per_watched(workers: Sequence[Mapping[str, Any]], key: str, unit_ns: float = 1.0) -> float | None:
    """The largest of what load processes count, over the time for which each was watched."""
    told = ((worker.get(key), worker.get("watched_ns")) for worker in workers)
    return max(
        (
            float(count) / (float(watched) * unit_ns)
            for count, watched in told
            if count is not None and watched
        ),
        default=None,
    )


def _steal(case: Case) -> float | None:
    """The mean share of the machine's processor time that its host gave to others."""
    if case.telemetry is None or not len(case.telemetry):
        return None
    rows = case.telemetry[case.telemetry["name"] == "steal_percent"]
    inside = rows["value"].to_numpy(dtype=np.float64)[case.window.holds(rows["time_ns"].to_numpy())]
    return float(inside.mean()) / 100 if inside.size >= _FEWEST_READINGS else None


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
