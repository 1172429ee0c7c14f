"""Records of requests by their times alone, and a queue to take them from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.columns import RequestColumns
from benchkit.analysis.measured import Measured
from benchkit.analysis.window import Window
from benchkit.records.chunks import Chunks

Floats = NDArray[np.float64]


def columns_of_times(
    sent_s: Floats, end_s: Floats, outcome: NDArray[np.int8] | None = None
) -> RequestColumns:
    """The columns of ok requests that were sent on time; NaN is null."""
    null, zero = np.full(sent_s.size, np.nan), np.zeros(sent_s.size)
    sent, end = sent_s * 1e9, end_s * 1e9
    return RequestColumns(
        scheduled=sent,
        connect_start=null,
        connected=null,
        sent=sent,
        first_token=null,
        first_text=null,
        first_answer=null,
        last_token=null,
        end=end,
        waited=zero,
        prompt_tokens=zero,
        output_tokens=null,
        lag_max=null,
        outcome=np.zeros(sent_s.size, np.int8) if outcome is None else outcome,
        in_phase=np.ones(sent_s.size, np.bool_),
    )


def measured_of_times(runs: Sequence[tuple[Floats, Floats, Floats]]) -> Measured:
    """Repeats of a run, a thousand seconds apart.

    Args:
        runs: of each repeat send times in s from 0 on, times to the first token and latencies, both in s.
    """
    begun, parts = 0.0, []
    sent, first, latency = [], [], []
    for at, ttft, took in runs:
        sent.append(begun + at)
        first.append(ttft)
        latency.append(took)
        parts.append(Window(round(begun * 1e9), round((begun + at[-1]) * 1e9) + 1))
        begun += at[-1] + 1_000
    sent_s, took_s = np.concatenate(sent), np.concatenate(latency)
    none = np.array([], np.int64)
    chunks = Chunks(
        np.zeros(sent_s.size + 1, np.int64),
        none,
        none,
        none.astype(np.int32),
        np.zeros(sent_s.size, np.bool_),
        none.astype(np.bool_),
    )
    values = {
        "ttft_ms": np.concatenate(first) * 1e3,
        "tpot_ms": np.full(sent_s.size, np.nan),
        "latency_ms": took_s * 1e3,
    }
    columns = columns_of_times(sent_s, sent_s + took_s)
    return Measured(columns, chunks, Window.union(parts), none.astype(np.bool_), values, {}, {}, none)


def queue_of(
    rng: np.random.Generator, count: int, load: float, slower: float | Floats = 1.0
) -> tuple[Floats, Floats, Floats]:
    """A queue with one seat (M/G/1), once it has come to rest: send times, waits, latencies, in s.

    Args:
        rng: source of chance.
        count: requests.
        load: share of the time in which the seat is taken.
        slower: factor of the services, one for all or one each.
    """
    settling = 200
    factor = np.concatenate((np.ones(settling), np.broadcast_to(slower, count)))
    service = rng.lognormal(-math.log(2) / 2, math.sqrt(math.log(2)), settling + count) * factor
    arrivals = np.cumsum(rng.exponential(1 / load, settling + count))
    steps = np.cumsum(service[:-1] - np.diff(arrivals))
    waits = np.concatenate(([0.0], steps - np.minimum(np.minimum.accumulate(steps), 0.0)))
    at = arrivals[settling:] - arrivals[settling]
    return at, waits[settling:], (waits + service)[settling:]
