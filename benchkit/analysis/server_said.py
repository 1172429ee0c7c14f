"""A server's own readings of a run's telemetry: those of a window, totals over time, how far counters rose."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.analysis.window import Window

RUNNING: Final = ("vllm:num_requests_running", "sglang:num_running_reqs")
WAITING: Final = ("vllm:num_requests_waiting", "sglang:num_queue_reqs")
ENDED: Final = ("vllm:request_success_total", "sglang:num_requests_total")
"""Requests that the server has done with."""
GENERATED: Final = ("vllm:generation_tokens_total", "sglang:generation_tokens_total")
HITS: Final = ("vllm:prefix_cache_hits_total",)
QUERIES: Final = ("vllm:prefix_cache_queries_total",)


def said_by_server(telemetry: pd.DataFrame | None, window: Window | None = None) -> pd.DataFrame | None:
    """The server's rows of a telemetry table; None where it said nothing.

    Args:
        telemetry: in the columns of ``schema.TELEMETRY``; None where nothing was sampled.
        window: only what was said in it; None for all.
    """
    if telemetry is None or not len(telemetry):
        return None
    said = telemetry[telemetry["source"] == "server"]
    if window is not None:
        said = said[window.holds(said["time_ns"].to_numpy())]
    return said if len(said) else None


def totals(said: pd.DataFrame, names: tuple[str, ...]) -> pd.Series[Any]:
    """A metric by the time of its readings, all engines and labels together; empty where it is missing."""
    rows = said[said["name"].isin(names)]
    summed: pd.Series[Any] = rows.groupby("time_ns")["value"].sum().sort_index()
    return summed


def rise(said: pd.DataFrame, names: tuple[str, ...]) -> float | None:
    """By how much counters rose from the first reading to the last; None where they are missing.

    A counter that fell belongs to a server that began anew in between: what it had counted is lost, and the rise 0.
    """
    rows = said[said["name"].isin(names)].sort_values("time_ns")
    if not len(rows):
        return None
    ends = rows.groupby(["name", "labels"])["value"].agg(["first", "last"])
    return float((ends["last"] - ends["first"]).clip(lower=0).sum())


def counted(said: pd.DataFrame, names: tuple[str, ...]) -> tuple[float, int, int] | None:
    """What counters added between a server's first page and its last, and the times of these pages in ns.

    A label that is missing on a page counted nothing until then.

    Returns:
        None where they are missing, or fell (the server began anew).
    """
    pages: NDArray[np.int64] = np.unique(said["time_ns"].to_numpy(dtype=np.int64))
    found = totals(said, names)
    if pages.size < 2 or not len(found):
        return None
    over_time = found.reindex(pages, fill_value=0.0).to_numpy(dtype=np.float64)
    if (np.diff(over_time) < 0).any():
        return None
    return float(over_time[-1] - over_time[0]), int(pages[0]), int(pages[-1])
