"""Where a run lies on the map of its machine's client."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchkit.analysis.client_map import BOUNDS_MS, VIEWS, ClientMap, View


@dataclass(frozen=True, slots=True)
class RunLoad:
    """What a run asked of its client."""

    streams: float
    """The most under way at once."""
    events_per_s: float
    """Of the busiest second."""
    requests_per_s: float
    """Sent in the busiest second."""
    workers: int = 1
    transport: str = "stamped"
    kernel_times: bool = True

    @property
    def view(self) -> View:
        """Which times its numbers are made of."""
        return "kernel" if self.kernel_times else "loop"


def run_load(
    manifest: Mapping[str, Any], in_flight_max: float, chunk_ns: Any, sent_ns: Any, windows: Iterable[Any]
) -> RunLoad:
    """What a run asked of its client.

    Args:
        manifest: of the run.
        in_flight_max: the most requests under way at once.
        chunk_ns: stamps of its events.
        sent_ns: when each request left.
        windows: the parts of its window; their seconds are looked at.
    """
    workers = [worker for worker in (manifest.get("load") or {}).get("workers") or () if worker]
    parts = list(windows)
    return RunLoad(
        in_flight_max,
        _busiest(chunk_ns, parts),
        _busiest(sent_ns, parts),
        max(1, len({worker.get("worker") for worker in workers})),
        str((manifest.get("parameters") or {}).get("transport", "stamped")),
        all(worker.get("kernel_times") is not False for worker in workers),
    )


def _busiest(stamps: Any, parts: Sequence[Any]) -> float:
    """The most stamps in a second of the window; of the whole of a part that is shorter than one."""
    values = np.asarray(stamps, dtype=np.float64)
    values = values[~np.isnan(values)]
    most = 0.0
    for part in parts:
        seconds = (values[(values >= part.start_ns) & (values < part.end_ns)] - part.start_ns) / 1e9
        length = (part.end_ns - part.start_ns) / 1e9
        if length < 1:
            most = max(most, seconds.size / max(length, 1e-9))
        elif seconds.size:
            counts = np.bincount(seconds.astype(np.int64))[: int(length)]
            most = max(most, float(counts.max(initial=0)))
    return most


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a run lies on a map; without a share, why it has no place there."""

    load: RunLoad
    bound_ms: float
    share: float | None = None
    """Of what the client holds: that of its events and that of its requests together."""
    at_most: bool = False
    """The test did not reach the limit: the share is that or less."""
    at_least: bool = False
    """Already the test's lowest rate was too much."""
    note: str = ""

    def __str__(self) -> str:
        if self.share is None:
            return f"not placed: {self.note}"
        how = " or less" if self.at_most else " or more" if self.at_least else ""
        load = self.load
        told = (
            f"at {100 * self.share:.2g} %{how} of what this client holds at {self.bound_ms:g} ms, "
            f"{VIEWS[load.view]}: {load.streams:,.0f} streams, {load.events_per_s:,.0f} events/s, "
            f"{load.requests_per_s:,.0f} requests/s"
        )
        return f"{told} ({self.note})" if self.note else told


def place(load: RunLoad, on: ClientMap, bound_ms: float = BOUNDS_MS[0]) -> Placement:
    """Where a run lies on a map.

    Processor time goes to events and to requests, so that their shares add up. A map of another number of workers is
    taken for each worker alone.
    """
    if load.transport != "stamped":
        return Placement(load, bound_ms, note=f"the map is of another transport than {load.transport}")
    ratio = load.workers / on.workers
    note = f"{load.workers} workers, the map is of {on.workers}" if load.workers != on.workers else ""
    events = on.events_limit(load.streams / ratio, bound_ms, load.view)
    if events is None:
        most = f"{on.columns[-1]:,}" if on.columns else "none"
        return Placement(
            load,
            bound_ms,
            note=f"{load.streams:,.0f} streams are more than the map has ({most}); "
            f"`benchkit selftest -p streams '[{math.ceil(load.streams)}]'` tries them",
        )
    requests = on.requests_limit(bound_ms, load.view)
    share = load.events_per_s / ratio / events.rate
    # Streams of the test send requests too: only what goes beyond them weighs on its own.
    beyond = max(0.0, load.requests_per_s - load.events_per_s / on.answer_tokens)
    limits = [events]
    if requests is not None and beyond:
        share += beyond / ratio / requests.rate
        limits.append(requests)
    below = any(each.below for each in limits)
    return Placement(load, bound_ms, share, any(each.open for each in limits) and not below, below, note)
