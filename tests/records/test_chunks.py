"""Chunks are what the lists of the table say, whatever is null in it."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.errors import SchemaMismatch
from benchkit.records.chunks import Chunks
from benchkit.records.schema import CHUNK_COLUMNS, REQUESTS


def row(times, *, loop=None, tokens=None, shared=None):
    return dict(zip(CHUNK_COLUMNS, (times, loop, tokens, shared), strict=True))


def table_of(rows):
    fields = [REQUESTS.field(name) for name in CHUNK_COLUMNS]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def test_lists_become_flat_arrays():
    """Offsets mark each request's stretch; unknown tokens are 0 and said to be unknown."""
    chunks = Chunks.from_table(
        table_of(
            [
                row([10, 20, 30], loop=[11, 21, 31], tokens=[1, 2, 1], shared=[False, True, False]),
                row(None),
                row([], loop=[], tokens=[], shared=[]),
                row([50, 60], loop=[51, 61], tokens=None, shared=[True, False]),
            ]
        )
    )
    assert chunks.offsets.tolist() == [0, 3, 3, 3, 5]
    assert chunks.counts.tolist() == [3, 0, 0, 2]
    assert chunks.request.tolist() == [0, 0, 0, 3, 3]
    assert chunks.ns.tolist() == [10, 20, 30, 50, 60]
    assert chunks.loop_ns.tolist() == [11, 21, 31, 51, 61]
    assert chunks.tokens.tolist() == [1, 2, 1, 0, 0]
    assert chunks.known.tolist() == [True, False, True, False]
    assert chunks.shared.tolist() == [False, True, False, True, False]
    assert len(chunks) == 5


def test_missing_loop_times_are_the_stamps():
    """A transport without kernel times has one time a chunk, which serves as both."""
    rows = [row([10, 20], tokens=[1, 1]), row([30], loop=[35], tokens=[1]), row([40], tokens=[1])]
    assert Chunks.from_table(table_of(rows)).loop_ns.tolist() == [10, 20, 35, 40]


def test_an_empty_table_has_no_chunks():
    """No requests: one offset, nothing else."""
    chunks = Chunks.from_table(table_of([]))
    assert chunks.offsets.tolist() == [0]
    assert len(chunks) == 0


@pytest.mark.parametrize(
    "bad", [row([1, 2], tokens=[1]), row([1, 2], loop=[1, 2, 3]), row([1], shared=[]), row(None, tokens=[1])]
)
def test_lists_of_unequal_length_are_refused(bad):
    """A damaged row must not shift the chunks of all requests behind it."""
    with pytest.raises(SchemaMismatch, match="differ in length"):
        Chunks.from_table(table_of([row([1], tokens=[1]), bad]))


def test_nulls_inside_a_list_are_refused():
    """Unknown is a null list; a null inside one would silently become a number."""
    with pytest.raises(SchemaMismatch, match="null"):
        Chunks.from_table(table_of([row([1, 2], tokens=[1, None])]))


times = st.lists(st.integers(0, 2**60), max_size=5)


@st.composite
def chunk_rows(draw):
    stamps = draw(st.none() | times)
    size = len(stamps or [])

    def optional(values):
        return draw(st.none() | st.lists(values, min_size=size, max_size=size))

    return row(
        stamps,
        loop=optional(st.integers(0, 2**60)),
        tokens=optional(st.integers(0, 9)),
        shared=optional(st.booleans()),
    )


@given(rows=st.lists(chunk_rows(), max_size=12), cut=st.integers(0, 12), offset=st.integers(0, 3))
def test_any_slicing_gives_the_same_chunks(rows, cut, offset):
    """Chunks do not depend on how the rows are cut into tables, batches or slices of larger buffers."""
    whole = Chunks.from_table(table_of(rows))
    padding = [row([7, 8, 9], tokens=[1, 1, 1])] * offset
    padded = table_of(padding + rows).slice(offset)
    parts = [padded.slice(0, cut), padded.slice(cut)]
    pieces = Chunks.from_tables(parts, rows=len(rows), capacity=len(whole) + 5)
    joined = Chunks.from_table(pa.concat_tables(parts))
    for name in ("offsets", "ns", "loop_ns", "tokens", "known", "shared"):
        expected = getattr(whole, name)
        np.testing.assert_array_equal(getattr(pieces, name), expected)
        np.testing.assert_array_equal(getattr(joined, name), expected)
    for at, entry in enumerate(rows):
        stretch = slice(whole.offsets[at], whole.offsets[at + 1])
        stamps = entry["chunk_ns"] or []
        assert whole.ns[stretch].tolist() == stamps
        assert whole.loop_ns[stretch].tolist() == (
            entry["chunk_loop_ns"] if entry["chunk_loop_ns"] is not None else stamps
        )
        assert whole.tokens[stretch].tolist() == (entry["chunk_tokens"] or [0] * len(stamps))
        assert whole.known[at] == (entry["chunk_tokens"] is not None)


def test_frame_has_one_row_a_chunk():
    """The frame carries the request's label and position; unknown tokens are missing, not 0."""
    rows = [row([10, 20], tokens=[1, 3], shared=[True, False]), row(None), row([30], tokens=None)]
    frame = Chunks.from_table(table_of(rows)).to_frame(pd.DataFrame(index=[100, 101, 102]))
    assert frame["request"].tolist() == [100, 100, 102]
    assert frame["j"].tolist() == [0, 1, 0]
    assert frame["tokens"].tolist() == [1, 3, pd.NA]
    assert frame["shared"].tolist() == [True, False, False]


def test_frame_needs_its_own_requests():
    """Requests of another number cannot label the chunks."""
    with pytest.raises(ValueError, match="2 requests"):
        Chunks.from_table(table_of([row([1])])).to_frame(pd.DataFrame(index=[0, 1]))
