"""Parts of the request table hold what the answers say, in the schema's types."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.load import arrays
from benchkit.load.answer import Answer
from benchkit.load.parts import Finished, table, write_part
from benchkit.records.kinds import ErrorKind, Outcome, TokenSource
from benchkit.records.schema import REQUESTS

META = {
    "index": 5,
    "phase": "warmup",
    "session": 6,
    "turn": 1,
    "class": "chat",
    "model": "m",
    "prompt_tokens": 10,
    "wanted": 20,
    "hash": "abc",
}


def answer(**changes):
    made = Answer(dict(META), 1_000)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def the_row(made, outcome=Outcome.OK):
    return table([Finished(made, outcome)], 3, 2, "http://x", "fallback").to_pylist()[0]


def test_a_request_that_never_left_has_a_row_of_its_plan(tmp_path):
    """What didn't happen is null; what was planned is there."""
    found = the_row(answer(), Outcome.INCOMPLETE)
    told = {name: value for name, value in found.items() if value is not None}
    assert told == {
        "index": 5,
        "repeat": 2,
        "phase": "warmup",
        "session": 6,
        "turn": 1,
        "class": "chat",
        "model": "m",
        "target": "http://x",
        "worker": 3,
        "attempt": 1,
        "outcome": "incomplete",
        "scheduled_ns": 1_000,
        "waited_ns": 0,
        "prompt_tokens": 10,
        "wanted_output_tokens": 20,
        "prompt_hash": "abc",
        "bytes_received": 0,
        "chunk_ns": [],
        "chunk_loop_ns": [],
        "chunk_tokens": [],
        "chunk_shared": [],
    }


def test_what_the_server_counted_goes_before_the_plan():
    """Prompt tokens are the usage's where there is one; the model is the plan's where it names one."""
    assert the_row(answer(prompt_tokens=12))["prompt_tokens"] == 12
    assert the_row(answer(meta={**META, "model": ""}))["model"] == "fallback"


def test_unknown_tokens_a_chunk_are_null():
    """Where a final count differs from the events, the list is null, not a list of guesses."""
    made = answer(token_source=TokenSource.FINAL_USAGE_DIFFERS)
    made.chunk_ns.extend([1, 2])
    made.chunk_loop_ns.extend([3, 4])
    made.chunk_tokens.extend([1, 1])
    found = the_row(made)
    assert (found["chunk_tokens"], found["chunk_ns"]) == (None, [1, 2])
    assert found["token_source"] == "final_usage_differs"


def test_any_text_of_a_server_can_be_stored():
    """Halves of UTF-16 pairs and control characters in errors and finish reasons harm no part."""
    made = answer(error="bad \ud83d\x00", finish_reason="st\udc00p", error_kind=ErrorKind.MALFORMED)
    found = the_row(made, Outcome.FAILED)
    assert (found["error"], found["finish_reason"]) == ("bad ?\x00", "st?p")
    assert found["error_kind"] == "malformed"


def test_a_part_is_written_in_the_schema_and_replaced(tmp_path):
    """A part of the same number takes the place of the one before, whole."""
    (tmp_path / "parts").mkdir()
    for count in (3, 2):
        finished = [Finished(answer(), Outcome.OK)] * count
        write_part(tmp_path, 1, 7, finished, repeat=0, target="t", model="m")
    [path] = (tmp_path / "parts").iterdir()
    found = pq.read_table(path, partitioning=None)
    assert path.name == "r0-w1-000007.parquet"
    assert found.num_rows == 2
    assert found.schema.equals(REQUESTS)


INTEGERS = st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=20)
TEXTS = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), max_size=20)


@settings(deadline=None, max_examples=60)
@given(INTEGERS, TEXTS)
def test_scalars_come_back(integers, texts):
    """Integers and texts with nulls among them are the arrays that they should be."""
    for values, kind in ((integers, pa.int64()), (texts, pa.string())):
        found = arrays.scalars(values, kind)
        found.validate(full=True)
        assert (found.type, found.to_pylist()) == (kind, values)
        assert found.null_count == values.count(None)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.none() | st.lists(st.integers(-(2**31), 2**31 - 1), max_size=9), max_size=9))
def test_lists_come_back(pieces):
    """Lists of integers and of booleans, null and empty ones among them."""
    import numpy as np

    numbers = arrays.lists([None if p is None else np.array(p, dtype=np.int32) for p in pieces], pa.int32())
    numbers.validate(full=True)
    assert numbers.to_pylist() == pieces
    flags = arrays.lists([None if p is None else np.array(p, dtype=np.int32) > 0 for p in pieces], pa.bool_())
    flags.validate(full=True)
    assert flags.to_pylist() == [None if p is None else [value > 0 for value in p] for p in pieces]


def test_a_number_that_does_not_fit_is_refused():
    """Nothing wraps round in silence."""
    with pytest.raises(OverflowError):
        arrays.scalars([2**40], pa.int32())
