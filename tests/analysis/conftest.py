"""Small request tables written by hand, times in ms of the run's clock, and records by their times alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from benchkit.analysis.columns import RequestColumns
from benchkit.analysis.measured import Measured
from benchkit.analysis.window import Window
from benchkit.records.chunks import Chunks
from benchkit.records.schema import CHUNK_COLUMNS, REQUESTS

Floats = NDArray[np.float64]

_NULLABLE = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}


@dataclass(frozen=True)
class Records:
    """A request table as ``records.store`` gives it back, and its chunks."""

    requests: pd.DataFrame
    chunks: Chunks


def _ns(ms: float | None) -> int | None:
    return None if ms is None else round(ms * 1e6)


def request_row(
    sent: float | None = 0.0,
    chunks: list[tuple[float, int]] | None = None,
    *,
    end: float | None = None,
    known: bool = True,
    lag: float | None = 0.1,
    **columns: Any,
) -> dict[str, Any]:
    """A row of ``requests.parquet``.

    Args:
        sent: ms.
        chunks: (ms, tokens) of each token-bearing event.
        end: ms; by default the last chunk's.
        known: whether tokens per chunk are known.
        lag: ms from the kernel's to the loop's time of each chunk; None without kernel times.
        columns: any other column; those named ``*_ms`` fill the column ``*_ns``.
    """
    events = chunks or []
    times = [_ns(at) for at, _ in events]
    first, last = (times[0], times[-1]) if times else (None, None)
    row: dict[str, Any] = {
        "index": 0,
        "repeat": 0,
        "phase": "window",
        "class": "default",
        "worker": 0,
        "attempt": 1,
        "connection": 0,
        "outcome": "ok",
        "scheduled_ns": _ns(sent),
        "sent_ns": _ns(sent),
        "first_token_ns": first,
        "first_text_ns": first,
        "first_answer_ns": first,
        "last_token_ns": last,
        "end_ns": _ns(end) if end is not None else last,
        "waited_ns": 0,
        "prompt_tokens": 10,
        "output_tokens": sum(tokens for _, tokens in events),
        "token_source": "chunk_usage",
        "pickup_lag_max_ns": None if lag is None else _ns(lag),
        "chunk_ns": times,
        "chunk_loop_ns": None if lag is None else [at + _ns(lag) for at in times],
        "chunk_tokens": [tokens for _, tokens in events] if known else None,
        "chunk_shared": [False] * len(events),
    }
    for name, value in columns.items():
        if name.endswith("_ms"):
            row[name.removesuffix("_ms") + "_ns"] = _ns(value)
        else:
            row[name] = value
    return row


def records_of(rows: list[dict[str, Any]]) -> Records:
    """The tables of these rows."""
    columns = {
        field.name: pa.array([row.get(field.name) for row in rows], type=field.type) for field in REQUESTS
    }
    table = pa.table(columns, schema=REQUESTS)
    scalars = [name for name in REQUESTS.names if name not in CHUNK_COLUMNS]
    requests = table.select(scalars).to_pandas(types_mapper=_NULLABLE.get)
    return Records(requests, Chunks.from_table(table))


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


@pytest.fixture(scope="session")
def row():
    """A function that makes a row."""
    return request_row


@pytest.fixture(scope="session")
def records():
    """A function that makes tables of rows."""
    return records_of


@pytest.fixture(scope="session")
def columns_of():
    """A function that makes the columns of ok requests of their send and end times."""
    return columns_of_times


@pytest.fixture(scope="session")
def measured_of():
    """A function that makes repeats of a run of their times."""
    return measured_of_times


@pytest.fixture(scope="session")
def queue():
    """A function that gives the times of a queue with one seat."""
    return queue_of
