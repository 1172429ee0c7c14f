"""Small request tables written by hand: times in ms of the run's clock, as a reader would draw them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from queue_runs import columns_of_times, measured_of_times, queue_of

from benchkit.records.chunks import Chunks
from benchkit.records.schema import CHUNK_COLUMNS, REQUESTS

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
