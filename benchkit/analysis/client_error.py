"""How wrong the client's stamps are, event by event, against the log of the server that sent them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.analysis.columns import read_columns
from benchkit.analysis.intervals import quantile
from benchkit.analysis.long_run import t_limit, variance_of_mean
from benchkit.records.chunks import Chunks
from benchkit.serving.paced.log import PacedLog

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NS_PER_MS: Final = 1e6
_FEWEST: Final = 20
_P99: Final = 0.99


@dataclass(frozen=True, slots=True)
class Spread:
    """How a client's error is spread, in ms."""

    n: int
    p50: float | None
    """None where more than half of the events were never read."""
    p99: float | None
    low: float | None
    """95 % limits of the p99, from the memory of its own exceedances; None where too few values give none."""
    high: float | None
    max: float | None

    @classmethod
    def of(cls, values_ms: Floats) -> Self | None:
        """The spread of values in the order of time, ``inf`` for what never came; None of too few."""
        if values_ms.size < _FEWEST:
            return None
        ordered = np.sort(values_ms)
        at = quantile(ordered, _P99)
        low, high = _limits(values_ms, ordered, at)
        found = (quantile(ordered, 0.5), at, low, high, float(ordered[-1]))
        return cls(
            int(values_ms.size),
            *(value if value is not None and math.isfinite(value) else None for value in found),
        )


def _limits(values: Floats, ordered: Floats, p99: float) -> tuple[float | None, float | None]:
    """By inverting the score: values err together, so that each counts less than one."""
    below = (values <= p99).astype(np.float64)
    if below.all():
        # A single stall that holds more than 1 % of the values: nothing says how often those come.
        return None, None
    half = t_limit() * math.sqrt(max(0.0, float(variance_of_mean([below]))))
    low = quantile(ordered, _P99 - half)
    return low, quantile(ordered, _P99 + half) if _P99 + half < 1 else None


@dataclass(frozen=True, slots=True)
class Beside:
    """What a client wrote down beside what the server did; events in the order in which they were sent."""

    sent_ns: Ints
    """When the server gave each event to the kernel, CLOCK_MONOTONIC."""
    kernel_ms: Floats
    """The client's stamp by the kernel's clock less that; ``inf`` for an event that it never read."""
    loop_ms: Floats
    """The same by the clock of its event loop: what a client without the kernel's times would say."""
    server_late_ms: Floats
    """How late the server sent each event against its own plan: the server's error, no part of the client's."""
    due_ns: Ints
    """When each request should have left, ascending; CLOCK_MONOTONIC."""
    late_ms: Floats
    """How late each request left by the client's own fault; ``inf`` where it never left."""

    def errors_ms(self, view: str, begin_ns: int, end_ns: int) -> Floats:
        """The errors of one view (``kernel`` or ``loop``) of events sent in a stretch of time."""
        values = self.kernel_ms if view == "kernel" else self.loop_ms
        return values[slice(*np.searchsorted(self.sent_ns, [begin_ns, end_ns]))]

    def lateness_ms(self, begin_ns: int, end_ns: int) -> Floats:
        """The lateness of requests that were due in a stretch of time."""
        return self.late_ms[slice(*np.searchsorted(self.due_ns, [begin_ns, end_ns]))]

    def server_ms(self, begin_ns: int, end_ns: int) -> Floats:
        """The server's own lateness of events sent in a stretch of time."""
        return self.server_late_ms[slice(*np.searchsorted(self.sent_ns, [begin_ns, end_ns]))]


def beside(requests: pd.DataFrame, chunks: Chunks, log: PacedLog, *, start_ns: int, run_id: str) -> Beside:
    """Lays a load's records beside the log of the paced server that answered it.

    Args:
        requests: the request table.
        chunks: the events of the same rows, one a token.
        log: of the server, whose every token is an event of its own.
        start_ns: the load's start, CLOCK_MONOTONIC.
        run_id: what the ids of its requests begin with.
    """
    rows = {
        f"{run_id}-{phase[:3]}-{index}-{turn}": row
        for row, (phase, index, turn) in enumerate(
            zip(requests["phase"], requests["index"], requests["turn"], strict=True)
        )
    }
    # A request that was sent twice is answered twice: the later answer is the one that was read.
    answers = {name: place for place, name in enumerate(log.requests) if name in rows}
    places = np.fromiter(answers.values(), np.int64, len(answers))
    found = np.fromiter((rows[name] for name in answers), np.int64, len(answers))
    sent_counts = np.diff(log.offsets)[places]
    read = np.minimum(chunks.counts[found], sent_counts)
    of_log = _ranges(log.offsets[:-1][places], sent_counts)
    was_read = _ranges(np.zeros_like(places), sent_counts) < np.repeat(read, sent_counts)
    of_chunks = _ranges(chunks.offsets[:-1][found], read)
    sent = log.sent_ns[of_log]
    order = np.argsort(sent, kind="stable")

    def error(stamps: Ints) -> Floats:
        values = np.full(sent.size, np.inf)
        values[was_read] = (stamps[of_chunks] + start_ns - sent[was_read]) / _NS_PER_MS
        return values[order]

    columns = read_columns(requests)
    known = ~np.isnan(columns.scheduled)
    late = columns.sent - columns.scheduled - np.nan_to_num(columns.connecting) - columns.waited
    late = np.where(np.isnan(columns.sent), np.inf, late)
    due = columns.scheduled[known].astype(np.int64) + start_ns
    by_due = np.argsort(due, kind="stable")
    return Beside(
        sent[order],
        error(chunks.ns),
        error(chunks.loop_ns),
        (log.late_ns[of_log] / _NS_PER_MS)[order],
        due[by_due],
        (late[known] / _NS_PER_MS)[by_due],
    )


def _ranges(starts: Ints, counts: Ints) -> Ints:
    """``start, start + 1, …`` of each count, one after the other."""
    ends = np.cumsum(counts)
    found: Ints = np.arange(int(ends[-1]) if ends.size else 0) + np.repeat(starts - ends + counts, counts)
    return found
