"""The feed hands over a plan's items whole, in order, and no more of them than it should hold."""

import contextlib
import itertools
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loads import spec_for

from benchkit.load.feed import _ENOUGH_ITEMS, FRAME, Feed, frames
from benchkit.plan.plan import Plan
from benchkit.plan.spec import PlanSpec
from benchkit.records.kinds import Phase

ITEM = st.tuples(
    st.binary(max_size=20),
    st.binary(min_size=1, max_size=40),
    st.binary(max_size=300),
    st.integers(-1, 10**12),
)
END = FRAME.pack(0, 0, 0, -1)


def frame(ident, meta, body, due_ns):
    return FRAME.pack(len(ident), len(meta), len(body), due_ns) + ident + meta + body


@pytest.fixture
def pipe():
    """A feed and the writing end of its pipe."""
    read, write = os.pipe()
    yield Feed(read), write
    for fd in (read, write):
        with contextlib.suppress(OSError):
            os.close(fd)


@given(items=st.lists(ITEM, max_size=8), cuts=st.lists(st.integers(0, 4000), max_size=8))
def test_items_are_the_same_however_they_come(items, cuts):
    """Frames may be split between reads at any byte."""
    data = b"".join(frame(*item) for item in items) + END
    edges = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    read, write = os.pipe()
    try:
        feed = Feed(read)
        for start, end in itertools.pairwise(edges):
            os.write(write, data[start:end])
            feed.read()
        taken = [tuple(feed.take()) for _ in range(len(feed))]
    finally:
        os.close(read)
        os.close(write)
    assert taken == items
    assert feed.ended
    assert not feed.broken
    assert feed.take() is None


def test_a_writer_that_dies_is_told_from_a_plan_that_ends(pipe):
    """The end of the pipe without the plan's end mark is a broken feed."""
    feed, write = pipe
    os.write(write, frame(b"a", b"{}", b"x", 5))
    feed.read()
    assert not feed.ended
    os.close(write)
    feed.read()
    assert feed.ended
    assert feed.broken
    assert feed.take().due_ns == 5


def test_reading_begins_low_and_ends_full(pipe):
    """Between half and all of what is enough nothing is read: taking one item costs no read."""
    feed, write = pipe
    assert feed.low
    while feed.hungry:
        os.write(write, frame(b"", b"{}", b"x" * 50, 0) * 50)
        feed.read()
    assert _ENOUGH_ITEMS <= len(feed) < _ENOUGH_ITEMS + 200
    taken = 0
    while not feed.low:
        feed.take()
        taken += 1
    assert taken > _ENOUGH_ITEMS // 2
    assert feed.hungry


def test_frames_are_the_plan(tmp_path):
    """What the process writes for a worker is the plan's part of that worker, an end mark last."""
    spec = spec_for("http://127.0.0.1:1", model="m", load="poisson", rate=50.0, workers=2)
    spec.write(tmp_path)
    command = [
        sys.executable,
        "-c",
        (
            "import sys, pathlib; from benchkit.load.feed import frames, Phase\n"
            "sys.stdout.buffer.write(b''.join(frames(pathlib.Path(sys.argv[1]), 1, Phase.WINDOW)))"
        ),
        str(tmp_path),
    ]
    written = subprocess.run(command, capture_output=True, check=True).stdout

    assert written == b"".join(frames(tmp_path, 1, Phase.WINDOW))
    assert written.endswith(END)
    plan = Plan(PlanSpec.from_json(spec.plan))
    bodies = [session.turns[0].body for session in plan.sessions(Phase.WINDOW, worker=1, workers=2)]
    assert all(body in written for body in bodies)
    assert bodies
