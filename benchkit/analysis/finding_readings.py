"""What a server said of itself during a run: its queue, its seats, its cache, where its times went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from benchkit.analysis.server_readings import USAGE
from benchkit.analysis.server_said import HITS, QUERIES, RUNNING, WAITING, rise, said_by_server, totals
from benchkit.analysis.window import Window

_PREEMPTIONS: Final = ("vllm:num_preemptions_total", "vllm:num_preemptions")
_FEWEST: Final = 3
"""Fewer readings tell a moment, not a run."""
_FULL: Final = 0.98
"""A cache this full has no block left for a long prompt at its next step."""
_LEVEL: Final = 0.9
"""Share of the most requests ever computed at once that counts as all seats taken: one has just ended."""
_MOSTLY: Final = 0.75


@dataclass(frozen=True, slots=True)
class ServerState:
    """Of the measured window; None where the server did not say."""

    readings: int
    waiting_most: float | None
    """Most requests that waited at once."""
    waiting_share: float | None
    """Share of the readings in which some waited."""
    running_most: float | None
    """Most requests that were computed at once."""
    seats: int | None
    """As many were always computed while others waited: the batch has no more seats."""
    cache_peak: float | None
    """Largest share of the KV cache in use."""
    preemptions: float | None
    """Requests that lost their place in the cache."""
    queue_ms: float | None
    """Mean wait of a request before the engine took it up."""
    prefill_ms: float | None
    """Mean time from there to the first token."""
    hit_share: float | None
    """Prompt tokens found in the prefix cache, of those looked up."""
    looks_up: bool
    """Whether it counts look-ups in its prefix cache at all, be it none."""

    @property
    def queued(self) -> bool:
        """Whether requests waited in it as a rule, not for a moment."""
        return (self.waiting_share or 0.0) >= 0.1 and (self.waiting_most or 0.0) >= 1

    @property
    def out_of_memory(self) -> bool:
        """Whether its cache was full while requests waited, or took blocks from running ones."""
        full = (self.cache_peak or 0.0) >= _FULL and (self.waiting_share or 0.0) > 0
        return full or (self.preemptions or 0.0) > 0


def server_state(telemetry: pd.DataFrame | None, window: Window) -> ServerState | None:
    """What the server said in a window; None where it said next to nothing.

    Args:
        telemetry: in the columns of ``schema.TELEMETRY``.
        window: readings outside do not count.
    """
    said = said_by_server(telemetry, window)
    if said is None:
        return None
    readings = int(said["time_ns"].nunique())
    if readings < _FEWEST:
        return None
    running, waiting = totals(said, RUNNING), totals(said, WAITING)
    usage = said[said["name"].isin(USAGE)]["value"]
    queries = rise(said, QUERIES)
    return ServerState(
        readings=readings,
        waiting_most=float(waiting.max()) if len(waiting) else None,
        waiting_share=float((waiting > 0).mean()) if len(waiting) else None,
        running_most=float(running.max()) if len(running) else None,
        seats=_seats(running, waiting),
        cache_peak=float(usage.max()) if len(usage) and usage.max() > 0 else None,
        preemptions=rise(said, _PREEMPTIONS),
        queue_ms=_mean_ms(said, "queue"),
        prefill_ms=_mean_ms(said, "prefill"),
        hit_share=(rise(said, HITS) or 0.0) / queries if queries else None,
        looks_up=queries is not None,
    )


def _seats(running: pd.Series[float], waiting: pd.Series[float]) -> int | None:
    """How many were computed while others waited, where that was the same number nearly always."""
    if not len(running) or not len(waiting):
        return None
    both = pd.concat([running, waiting], axis=1, join="inner", keys=["running", "waiting"])
    held = both[both["waiting"] > 0]["running"]
    most = float(both["running"].max())
    if len(held) < _FEWEST or most < 1 or float((held >= _LEVEL * most).mean()) < _MOSTLY:
        return None
    return round(most)


def _mean_ms(said: pd.DataFrame, what: str) -> float | None:
    """Mean of one of the server's own histograms over what it added between the first and the last page."""
    total = rise(said, (f"vllm:request_{what}_time_seconds_sum",))
    count = rise(said, (f"vllm:request_{what}_time_seconds_count",))
    return 1e3 * total / count if total is not None and count else None
