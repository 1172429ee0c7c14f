"""A run's records turned into samples, once, for the summary, the objectives and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.analysis.columns import RequestColumns, read_columns
from benchkit.analysis.definitions import request_values
from benchkit.analysis.events import event_samples, gaps_ns, longest_gaps_ns
from benchkit.analysis.occupancy import in_flight
from benchkit.analysis.quantiles import Sample
from benchkit.analysis.window import Window
from benchkit.records.chunks import Chunks
from benchkit.records.kinds import Outcome

Floats = NDArray[np.float64]

WITH_FAILURES = ("ttft_ms", "ttft_from_schedule_ms", "latency_ms", "latency_from_schedule_ms")
"""Metrics that are also given with failures counted as worse than any value."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Samples of every metric in one window."""

    columns: RequestColumns
    chunks: Chunks
    window: Window
    inside: NDArray[np.bool_]
    """Which events are stamped in the window."""
    values: dict[str, Floats]
    """Per-request metrics of all rows, of both phases; NaN where a request gives none."""
    samples: dict[str, Sample]
    """Every metric but ``in_flight``."""
    occupancy: dict[str, Any]
    """Statistics of ``in_flight``."""
    gaps: NDArray[np.integer[Any]]
    """ns since the event before of the same request, one an event."""

    @property
    def without_value(self) -> dict[str, int]:
        """For each of ``WITH_FAILURES``, the requests of the window that never gave a value.

        Failed and shed requests, and incomplete ones without this value: they ran longer than any that ended.
        Interrupted requests are left out: it was us who stopped them.
        """
        return {name: int(self.never_gave(name).sum()) for name in WITH_FAILURES}

    def never_gave(self, metric: str) -> NDArray[np.bool_]:
        """Which requests of the window count as worse than any value of a metric: see ``without_value``."""
        columns = self.columns
        bad = columns.is_outcome(Outcome.FAILED, Outcome.SHED, Outcome.INCOMPLETE) & columns.in_phase
        return bad & np.isnan(self.values[metric])


def measure(requests: pd.DataFrame, chunks: Chunks, window: Window) -> Measured:
    """Samples of every metric.

    Args:
        requests: the request table, both phases.
        chunks: the events of the same rows.
        window: requests count by their phase, events by their stamp.
    """
    columns = read_columns(requests)
    gaps = gaps_ns(chunks)
    values = request_values(columns, chunks, longest_gaps_ns(chunks, gaps))
    return _in_window(columns, chunks, gaps, values, window)


def narrowed(measured: Measured, window: Window) -> Measured:
    """The same records over a part of their window: its requests are those that were due in it."""
    columns = measured.columns
    due = np.where(np.isnan(columns.scheduled), columns.sent, columns.scheduled)
    kept = replace(columns, in_phase=columns.in_phase & window.holds(due))
    return _in_window(kept, measured.chunks, measured.gaps, measured.values, window)


def _in_window(
    columns: RequestColumns, chunks: Chunks, gaps: NDArray[Any], values: dict[str, Floats], window: Window
) -> Measured:
    inside = window.holds(chunks.ns)
    events = event_samples(chunks, gaps, columns.ok | columns.censored, inside)
    samples = {name: Sample(array[columns.in_phase]) for name, array in values.items()}
    samples |= {
        "itl_ms": events.itl,
        "chunk_gap_ms": events.chunk_gap,
        "tokens_per_chunk": events.tokens_per_chunk,
    }
    return Measured(columns, chunks, window, inside, values, samples, in_flight(columns, window), gaps)
