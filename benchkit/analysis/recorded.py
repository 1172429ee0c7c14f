"""Anything with records, measured over the window that its manifest names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchkit.analysis.measured import Measured, measure
from benchkit.analysis.points import Records
from benchkit.analysis.window import Window

_STAMPS = ("scheduled_ns", "sent_ns", "first_token_ns", "last_token_ns", "end_ns")


def measured_of(records: Records) -> Measured:
    """The samples of a run, or of another tool's file, over its window.

    Args:
        records: the run. Where its manifest has no window (``load.window``), the span of its requests' stamps
            is one.
    """
    requests = records.requests
    return measure(requests, records.chunks, window_of(records.manifest, requests))


def window_of(manifest: Mapping[str, Any], requests: pd.DataFrame) -> Window:
    """The window that a manifest names, pierced between repeats; else the span of the requests' stamps."""
    facts: Mapping[str, Any] = manifest.get("load") or {}
    told = facts.get("window") or {}
    if told.get("start_ns") is not None and told.get("end_ns") is not None:
        return Window.of_facts(Window(int(told["start_ns"]), int(told["end_ns"])), facts)
    stamps = np.concatenate(
        [requests[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in _STAMPS if name in requests]
        or [np.empty(0)]
    )
    stamps = stamps[~np.isnan(stamps)]
    # The window is half open: the last stamp belongs to it.
    return Window(int(stamps.min()), int(stamps.max()) + 1) if stamps.size else Window(0, 0)
