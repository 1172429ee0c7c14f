"""Objectives as a share of requests that may miss: who counts, who missed, in which order."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.analysis.metrics import build_summary
from benchkit.analysis.misses import misses_of
from benchkit.analysis.window import Window
from benchkit.objectives import parse

WINDOW = {"start_ns": 1_000_000, "end_ns": 10_000_000_000}


@pytest.fixture
def run_of(records):
    """A run of these rows, with a window of 1 ms to 10 s in its manifest."""

    def run(rows, load=None):
        tables = records(rows)
        manifest = {"load": {"window": WINDOW} if load is None else load}
        return SimpleNamespace(requests=tables.requests, chunks=tables.chunks, manifest=manifest)

    return run


@pytest.fixture
def mixed(row):
    """Ten ok requests with TTFTs of 10 to 100 ms, one refused, one failed, one cut at 500 ms, one of warm-up."""
    ok = [row(100.0 * k, [(110.0 * k, 1), (110.0 * k + 5, 1)]) for k in range(1, 11)]
    return [
        *reversed(ok),
        row(1050.0, [], end=1051.0, outcome="shed"),
        row(1060.0, [], end=1061.0, outcome="failed", error_kind="reset"),
        row(1070.0, [], end=1570.0, outcome="incomplete"),
        row(1080.0, [], end=1081.0, outcome="interrupted"),
        row(0.5, [(500.0, 1)], phase="warmup"),
    ]


@pytest.mark.parametrize(
    ("text", "missed", "count", "allowed"),
    [
        ("p90 ttft < 75ms", 6, 13, 0.1),
        ("p99 ttft <= 70ms", 6, 13, 0.01),
        ("p99 ttft < 70ms", 7, 13, 0.01),
        ("p99.9 latency < 1s", 3, 13, 0.001),
        ("p10 ttft > 35ms", 3, 10, 0.1),
        ("p95 max_gap < 4ms", 10, 10, 0.05),
        ("attainment(ttft < 75ms) > 90%", 6, 13, 0.1),
        ("attainment(ttft < 75ms, latency > 27ms) > 90%", 8, 13, 0.1),
        ("attainment(ttft < 600ms) > 90%", 2, 12, 0.1),
        ("p90 ttft < 60ms + 1.5ms/token", 6, 13, 0.1),
        ("attainment(ttft < 60ms + 1.5ms/token) > 90%", 6, 13, 0.1),
        ("attainment(ttft < 900ms and latency < 60ms + 1.5ms/token) > 90%", 7, 13, 0.1),
        ("error_rate < 2%", 1, 12, 0.02),
        ("shed_rate <= 2%", 1, 12, 0.02),
    ],
)
def test_who_counts_and_who_missed(run_of, mixed, text, missed, count, allowed):
    """Failed, refused and cut requests miss upper bounds on TTFT and latency and every attainment.

    Of the ten ok ones three are slower than 75 ms; the cut one has missed 75 ms and could still make 600 ms,
    so that it does not count there; interrupted requests and the warm-up never do.
    """
    found = misses_of(parse(text), run_of(mixed))
    assert (int(found.flags.sum()), found.count, found.allowed) == (missed, count, pytest.approx(allowed))
    assert found.share == pytest.approx(missed / count)


def test_order_of_sending(run_of, mixed):
    """Flags and times stand in the order of sending, whatever the table's; times begin with the window."""
    found = misses_of(parse("p90 ttft < 75ms"), run_of(mixed))
    assert found.flags.tolist() == [False] * 7 + [True] * 6
    sent = [*np.arange(100.0, 1001.0, 100.0), 1050.0, 1060.0, 1070.0]
    assert found.times_s == pytest.approx((np.array(sent) - 1.0) / 1e3)


def test_a_request_that_never_was_sent_stands_where_it_was_due(run_of, row):
    """One that could not connect has no time of sending."""
    rows = [row(30.0, [(40.0, 1)]), row(None, [], scheduled_ms=20.0, end=25.0, outcome="failed")]
    found = misses_of(parse("p90 ttft < 75ms"), run_of(rows))
    assert found.flags.tolist() == [True, False]
    assert found.times_s == pytest.approx([0.019, 0.029])


def test_without_a_window_the_span_of_the_requests_is_one(run_of, row):
    """Records of another tool have no manifest of ours: their first stamp is time 0."""
    rows = [row(30.0, [(40.0, 1)]), row(50.0, [(90.0, 1)])]
    found = misses_of(parse("p90 ttft < 20ms"), run_of(rows, load={}))
    assert found.flags.tolist() == [False, True]
    assert found.times_s == pytest.approx([0.0, 0.02])


@pytest.mark.parametrize(
    "text",
    [
        "mean ttft < 80ms",
        "max ttft < 80ms",
        "p99 itl < 80ms",
        "p99 chunk_gap < 80ms",
        "p99 tokens_per_chunk < 2",
        "p99 in_flight < 4",
        "requests_per_s > 4",
        "error_rate > 1%",
        "error_rate <= 0%",
        "attainment(ttft < 1s) < 90%",
        "attainment(ttft < 1s) >= 100%",
        "p99 ttft < 80ms and error_rate < 1%",
    ],
)
def test_what_is_no_share_of_requests(run_of, mixed, text):
    """Means, extremes, events, occupancy, rates a second, and all or nothing are no such objectives."""
    assert misses_of(parse(text), run_of(mixed)) is None


def test_requests_of_which_the_records_do_not_tell_what_is_asked_do_not_count(run_of, row):
    """One without a time of its first token misses nothing for certain, unless another term says so."""
    rows = [row(30.0, [(40.0, 1)]), row(50.0, [], end=90.0, output_tokens=3)]
    run = run_of(rows)
    assert misses_of(parse("attainment(ttft < 20ms) > 90%"), run).flags.tolist() == [False]
    both = misses_of(parse("attainment(ttft < 20ms, latency < 30ms) > 90%"), run)
    assert both.flags.tolist() == [False, True]
    assert misses_of(parse("p90 ttft < 20ms"), run).flags.tolist() == [False]


def test_nothing_counts_where_nothing_ended(run_of, row):
    """A window without a request of its own has no share."""
    found = misses_of(parse("p99 ttft < 80ms"), run_of([row(0.5, [(500.0, 1)], phase="warmup")]))
    assert found.count == 0
    assert np.isnan(found.share)


@given(
    st.lists(
        st.tuples(st.integers(1, 200), st.sampled_from(["ok", "ok", "failed", "shed"])),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 200),
)
@settings(deadline=None, max_examples=40)
def test_the_share_is_what_the_summary_says(request, answers, bound):
    """Attainment and shares of the summary are the means of the flags; both are counted apart."""
    rows, tables = request.getfixturevalue("row"), request.getfixturevalue("records")
    made = [
        rows(10.0 * k, [(10.0 * k + ttft, 1)])
        if outcome == "ok"
        else rows(10.0 * k, [], end=10.0 * k + 1, outcome=outcome)
        for k, (ttft, outcome) in enumerate(answers, start=1)
    ]
    run = tables(made)
    texts = [f"attainment(ttft < {bound}ms) > 90%", "error_rate < 5%", "shed_rate < 5%"]
    summary = build_summary(
        run.requests,
        run.chunks,
        window=Window(WINDOW["start_ns"], WINDOW["end_ns"]),
        objectives=[parse(text) for text in texts],
        load_facts={},
        parameters={},
    )
    stored = SimpleNamespace(requests=run.requests, chunks=run.chunks, manifest={"load": {"window": WINDOW}})
    shares = [misses_of(parse(text), stored).share for text in texts]
    values = [each["value"] for each in summary["slo"]]
    assert shares == pytest.approx([1.0 - values[0], *values[1:]])
