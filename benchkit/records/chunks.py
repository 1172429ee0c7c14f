"""Holds the token-bearing events of all requests as flat arrays, read straight from Arrow buffers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from benchkit.errors import SchemaMismatch
from benchkit.records.schema import CHUNK_COLUMNS

__all__ = ["Chunks"]

Ints = np.ndarray[tuple[int], np.dtype[np.int64]]
SmallInts = np.ndarray[tuple[int], np.dtype[np.int32]]
Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class Chunks:
    """The chunks of n requests; those of request i are at ``offsets[i]:offsets[i + 1]`` of the arrays."""

    offsets: Ints
    """Length n + 1."""
    ns: Ints
    """Time of each chunk, ns since the run's start: the kernel's where there is one."""
    loop_ns: Ints
    """Time of each chunk by the event loop; ``ns`` where it was not recorded."""
    tokens: SmallInts
    """Tokens in each chunk, 0 where unknown."""
    known: Flags
    """Length n: whether the request's tokens per chunk are known."""
    shared: Flags
    """Whether the chunk's time is censored, since a later event came in the same read."""

    def __len__(self) -> int:
        """Number of chunks."""
        return len(self.ns)

    @property
    def counts(self) -> Ints:
        """Number of chunks of each request, length n."""
        return np.diff(self.offsets)

    @property
    def request(self) -> Ints:
        """Row of the request that each chunk belongs to, one a chunk."""
        return np.repeat(np.arange(len(self.known), dtype=np.int64), self.counts)

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Give the chunks of a table of requests.

        Raises:
            SchemaMismatch: The lists of a request differ in length.
        """
        return cls.from_tables([table], rows=table.num_rows, capacity=_total(table.column("chunk_ns")))

    @classmethod
    def from_tables(cls, tables: Iterable[pa.Table], *, rows: int, capacity: int) -> Self:
        """Give the chunks of consecutive tables, of which only one is in memory at a time.

        Args:
            tables: Tables with the list columns of ``schema.REQUESTS``.
            rows: Requests in all of them.
            capacity: Chunks in all of them, or more.

        Raises:
            SchemaMismatch: The lists of a request differ in length.
        """
        offsets = np.zeros(rows + 1, np.int64)
        ns, loop_ns = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
        tokens, shared = np.zeros(capacity, np.int32), np.zeros(capacity, np.bool_)
        known = np.zeros(rows, np.bool_)
        row = end = 0
        for table in tables:
            for batch in table.select(list(CHUNK_COLUMNS)).to_batches():
                times, loop_times, sizes, flags = (batch.column(name) for name in CHUNK_COLUMNS)
                counts = _lengths(times)
                here = slice(row, row + len(counts))
                np.cumsum(counts, out=offsets[row + 1 : row + len(counts) + 1])
                offsets[row + 1 : row + len(counts) + 1] += end
                there = slice(end, end + int(counts.sum()))
                ns[there] = _values(times)
                stamped = _fill(loop_ns[there], loop_times, counts)
                if not stamped.all():
                    loop_ns[there] = np.where(np.repeat(stamped, counts), loop_ns[there], ns[there])
                _fill(shared[there], flags, counts)
                known[here] = _fill(tokens[there], sizes, counts)
                row, end = here.stop, there.stop
        return cls(offsets, ns[:end], loop_ns[:end], tokens[:end], known, shared[:end])

    def to_frame(self, requests: pd.DataFrame) -> pd.DataFrame:
        """Give a row a chunk: ``request`` (label in ``requests``), ``j`` (from 0), times, tokens, ``shared``.

        Args:
            requests: The requests, in the order of the chunks.

        Raises:
            ValueError: The number of requests is another.
        """
        if len(requests) != len(self.known):
            raise ValueError(f"{len(requests)} requests cannot label the chunks of {len(self.known)}")
        row = self.request
        return pd.DataFrame(
            {
                "request": requests.index.to_numpy()[row],
                "j": np.arange(len(self), dtype=np.int64) - self.offsets[:-1][row],
                "ns": self.ns,
                "loop_ns": self.loop_ns,
                "tokens": pd.arrays.IntegerArray(self.tokens.copy(), ~self.known[row]),
                "shared": self.shared,
            }
        )


def _lengths(lists: Any) -> Ints:
    lengths: Ints = (
        pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    )
    return lengths


def _total(column: Any) -> int:
    return sum(int(_lengths(chunk).sum()) for chunk in column.chunks)


def _values(lists: Any) -> Any:
    values = lists.flatten()
    if values.null_count:
        raise SchemaMismatch("a list of chunks holds nulls: unknown values make the whole list null")
    return values.to_numpy(zero_copy_only=False)


def _fill(target: Any, lists: Any, counts: Ints) -> Flags:
    """Copy the lists into ``target`` where they are not null, and tell where that was."""
    present: Flags = lists.is_valid().to_numpy(zero_copy_only=False)
    if not np.array_equal(_lengths(lists)[present], counts[present]):
        raise SchemaMismatch("the lists of chunks of a request differ in length; the file is damaged")
    if present.all():
        target[:] = _values(lists)
    else:
        target[np.repeat(present, counts)] = _values(lists)
    return present
