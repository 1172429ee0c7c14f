"""What the charts are drawn from, against numbers worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.analysis.metrics import Window
from benchkit.records.chunks import Chunks
from benchkit.report import frames, frames_time, frames_timeline

SECOND = 1_000_000_000


def _chunks(*requests: list[float], known: bool = True) -> Chunks:
    """Chunks at the given seconds, a list a request, one token each."""
    flat = np.array([time for times in requests for time in times]) * SECOND
    offsets = np.cumsum([0, *map(len, requests)])
    count = len(flat)
    return Chunks(
        offsets.astype(np.int64),
        flat.astype(np.int64),
        flat.astype(np.int64),
        np.full(count, 1 if known else 0, np.int32),
        np.full(len(requests), known),
        np.zeros(count, bool),
    )


def _run(chunks: Chunks, window: tuple[float, float], **columns: list[float | None]) -> SimpleNamespace:
    n = len(chunks.known)
    table = {
        name: pd.array([None if v is None else int(v * SECOND) for v in values], dtype="Int64")
        for name, values in columns.items()
    }
    names = ("scheduled_ns", "connect_start_ns", "connected_ns", "sent_ns", "first_token_ns", "end_ns")
    empty = pd.array([None] * n, dtype="Int64")
    requests = pd.DataFrame({name: table.get(name, empty) for name in names})
    requests = requests.assign(
        phase="window", outcome="ok", index=range(n), output_tokens=pd.array(chunks.counts, dtype="Int64")
    )
    span = {"start_ns": int(window[0] * SECOND), "end_ns": int(window[1] * SECOND)}
    return SimpleNamespace(manifest={"load": {"window": span}}, summary={}, requests=requests, chunks=chunks)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=3_000))
def test_ecdf_is_a_distribution_function_of_bounded_size(values: list[float]) -> None:
    """It rises from 0 at the smallest value to 1 at the largest, in at most 501 points."""
    table = frames.ecdf(np.sort(np.array(values)), "any")
    assert len(table) <= frames.POINTS + 1
    assert table["share"].iloc[0] == 0
    assert table["share"].iloc[-1] == 1
    assert table["value"].iloc[0] == min(values)
    assert table["value"].iloc[-1] == max(values)
    assert table["value"].is_monotonic_increasing
    assert table["share"].is_monotonic_increasing


def test_ecdf_of_a_large_sample_keeps_its_quantiles() -> None:
    """A point of a thinned distribution still says how much of the whole sample lies at or below it."""
    sample = np.arange(100_000, dtype=float)
    table = frames.ecdf(sample, "any").iloc[1:]
    expected = (table["value"] + 1) / 100_000
    assert np.allclose(expected, table["share"])


def test_gaps_are_within_answers_and_within_the_window() -> None:
    """No gap runs from one answer to the next, and a gap counts by its own stamp."""
    run = _run(_chunks([1.0, 1.2, 1.5], [2.0, 2.4, 9.0]), (1.1, 5.0))
    assert frames.gaps_ms(run) == pytest.approx([200, 300, 400])


def test_requests_in_progress_are_averaged_over_time() -> None:
    """Two requests of half a second each in a bin of one second are one in flight, not two."""
    bins = frames_time.Bins(np.array([0, SECOND, 2 * SECOND]), 1.0, Window(0, 2 * SECOND))
    begin = np.array([0.0, 0.5, 1.5]) * SECOND
    end = np.array([0.5, 1.0, 2.5]) * SECOND
    assert bins.mean_in_progress(begin, end) == pytest.approx([1.0, 0.5])


def test_in_flight_tells_waiting_from_streaming() -> None:
    """Before its first token a request waits, after it it streams."""
    run = _run(
        _chunks([1.0, 2.0]), (0.0, 4.0), scheduled_ns=[0.0], sent_ns=[0.0], first_token_ns=[1.0], end_ns=[2.0]
    )
    table = frames_time.in_flight(run)
    length_s = table["start_s"].iloc[1] - table["start_s"].iloc[0]
    seconds = table.groupby("state")["requests"].sum() * length_s
    assert seconds[frames_time.WAITING] == pytest.approx(1.0)
    assert seconds[frames_time.STREAMING] == pytest.approx(1.0)


@pytest.mark.parametrize("known", [True, False])
def test_no_token_is_lost_in_the_bins(known: bool) -> None:
    """The bins hold all tokens of the run, also where tokens a chunk are unknown and shared out."""
    chunks = _chunks([0.1, 0.2, 0.9], [1.5, 3.9], known=known)
    run = _run(chunks, (0.0, 4.0), scheduled_ns=[0.0, 1.0], end_ns=[1.0, 4.0])
    table = frames_time.tokens_per_s(run)
    length_s = table["start_s"].iloc[1] - table["start_s"].iloc[0]
    assert (table["tokens_per_s"] * length_s).sum() == pytest.approx(5)


def test_an_edge_of_the_bins_lies_on_the_windows_start() -> None:
    """Warm-up and window never share a bin."""
    run = _run(_chunks([0.5]), (3.3, 9.0), scheduled_ns=[0.2], end_ns=[9.7])
    assert 0.0 in frames_time.bins(run).start_s


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.001, 30)), max_size=60))
def test_requests_of_one_lane_never_overlap(drawn: list[tuple[float, float]]) -> None:
    """A lane holds one request at a time, and there are no more lanes than were ever needed at once."""
    drawn.sort()
    begin = np.array([start for start, _ in drawn])
    end = np.array([start + took for start, took in drawn])
    lanes = frames_timeline.lanes(begin, end)
    for lane in set(lanes):
        mine = lanes == lane
        assert (end[mine][:-1] <= begin[mine][1:]).all()
    most = max((int(((begin <= t) & (end > t)).sum()) for t in begin), default=0)
    assert len(set(lanes)) <= most


def test_timeline_shows_consecutive_requests_from_the_middle() -> None:
    """Of many requests those around the middle of the window are shown, none between them left out."""
    times = [float(i) for i in range(100)]
    run = _run(
        _chunks(*[[t + 0.5] for t in times]),
        (0.0, 100.0),
        scheduled_ns=list(times),
        sent_ns=list(times),
        first_token_ns=[t + 0.5 for t in times],
        end_ns=[t + 0.6 for t in times],
    )
    table = frames_timeline.timeline(run, limit=10)
    assert (table.shown, table.total) == (10, 100)
    shown = sorted({int(name.split()[1]) for name in table.stages["request"]})
    assert shown == list(range(45, 55))


def test_timeline_stages_follow_each_other() -> None:
    """The stages of a request that had to connect add up to all its time."""
    run = _run(
        _chunks([1.6, 2.0]),
        (0.0, 4.0),
        scheduled_ns=[0.0],
        connect_start_ns=[0.5],
        connected_ns=[0.75],
        sent_ns=[0.75],
        first_token_ns=[1.6],
        end_ns=[2.0],
    )
    took = frames_timeline.timeline(run).stages.set_index("stage")["took_ms"]
    assert list(took[list(frames_timeline.STAGES)]) == pytest.approx([500, 250, 850, 400])
