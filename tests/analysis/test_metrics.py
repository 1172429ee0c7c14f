"""The summary of a window, worked out by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.analysis.catalogue import METRICS, RATES
from benchkit.analysis.metrics import Window, build_summary, summarise
from benchkit.objectives import parse

WINDOW = Window(100_000_000, 300_000_000)
"""From 100 to 300 ms."""


@pytest.fixture
def run(row, records):
    """Six requests round a window from 100 to 300 ms.

    A  warm-up, ok:   sent 40, events 90, 110 (2 tokens), 130; end 132
    B  window, ok:    scheduled 100, sent 101, events 151, 171, 231; end 233
    C  window, ok:    sent 200, events 260, 290, 310 (4 tokens); end 311, after the window
    D  window, failed in mid-stream: sent 120, events 170, 180; end 181
    E  window, shed:  sent 150, end 152
    F  window, incomplete: sent 250, event 295; no end
    """
    return records(
        [
            row(40, [(90, 1), (110, 2), (130, 1)], end=132, phase="warmup"),
            row(101, [(151, 1), (171, 1), (231, 1)], end=233, scheduled_ms=100),
            row(200, [(260, 1), (290, 1), (310, 4)], end=311),
            row(120, [(170, 1), (180, 1)], end=181, outcome="failed", error_kind="reset"),
            row(150, [], end=152, outcome="shed", error_kind="http_429", output_tokens=None),
            row(250, [(295, 1)], outcome="incomplete", end_ns=None),
        ]
    )


@pytest.fixture
def whole(run):
    """The summary of that window."""
    return summarise(run.requests, run.chunks, WINDOW)


def metric(whole, name, *keys):
    """Some statistics of a metric."""
    return tuple(whole["metrics"][name][key] for key in keys)


def test_every_metric_and_rate_of_the_catalogue_is_there(whole):
    """A summary has all names, each with its unit, and nothing else."""
    assert {name: entry["unit"] for name, entry in whole["metrics"].items()} == {
        m.name: m.unit for m in METRICS
    }
    assert {name: entry["unit"] for name, entry in whole["rates"].items()} == {r.name: r.unit for r in RATES}


def test_per_request_metrics_belong_to_requests_scheduled_in_the_window(whole):
    """A is of the warm-up; latencies are those of B (132) and C (111), though C ends after the window.

    TTFT: B 50, C 60 and the incomplete F 45: mean 155/3. From schedule B 51.
    TPOT: B (231-151)/(3-1) = 40; C (310-260)/(6-1) = 10. Longest pauses: B 60, C 30.
    """
    assert metric(whole, "latency_ms", "count", "min", "max", "mean") == (2, 111.0, 132.0, 121.5)
    assert metric(whole, "ttft_ms", "count", "mean", "p50") == (3, pytest.approx(155 / 3), 50.0)
    assert metric(whole, "ttft_from_schedule_ms", "p50") == (51.0,)
    assert metric(whole, "tpot_ms", "count", "min", "max") == (2, 10.0, 40.0)
    assert metric(whole, "max_gap_ms", "count", "min", "max") == (2, 30.0, 60.0)


def test_the_standard_deviation_has_one_degree_of_freedom_less(whole):
    """Latencies 132 and 111: sqrt((10.5**2 + 10.5**2) / 1) = 14.849."""
    assert whole["metrics"]["latency_ms"]["std"] == pytest.approx((2 * 10.5**2) ** 0.5)


def test_gaps_belong_to_the_window_by_their_stamp(whole):
    """Events from 100 to 300 ms, whoever sent them; of D, which failed, none.

    Gaps: A 20 (stamped 110, 2 tokens) and 20 (130); B 20 and 60; C 30 (290), its last at 310 is outside.
    Chunk gaps {20, 20, 20, 30, 60}: mean 30. Paces: 10, 10, 20, 20, 60, 30: mean 25, median 20.
    """
    assert metric(whole, "chunk_gap_ms", "count", "mean", "p50", "max") == (5, 30.0, 20.0, 60.0)
    assert metric(whole, "itl_ms", "count", "mean", "p50", "max") == (6, 25.0, 20.0, 60.0)


def test_tokens_per_chunk_counts_first_events_too(whole):
    """In the window: A 2, 1; B 1, 1, 1; C 1, 1; F 1: eight events with nine tokens."""
    assert metric(whole, "tokens_per_chunk", "count", "mean", "max") == (8, 9 / 8, 2.0)


def test_rates_count_what_happened_in_the_window(whole):
    """Window 0.2 s. Ended ok in it: A and B -> 10/s. Tokens stamped in it, with D's two: 9 + 2 = 11 -> 55/s.

    First tokens in it: B, C, D, F with 10 prompt tokens each: (11 + 40) / 0.2 = 255/s.
    Scheduled and sent in it: B, C, D, E, F -> 25/s. No per-request objective: goodput is null.
    """
    assert {name: entry["value"] for name, entry in whole["rates"].items()} == pytest.approx(
        {
            "requests_per_s": 10.0,
            "output_tokens_per_s": 55.0,
            "total_tokens_per_s": 255.0,
            "offered_per_s": 25.0,
            "sent_per_s": 25.0,
            "goodput_per_s": None,
        }
    )
    assert whole["totals"] == {"requests": 2, "output_tokens": 11.0, "prompt_tokens": 40.0}


def test_goodput_counts_requests_that_end_in_the_window_and_meet_every_term(run):
    """TTFT < 55 and latency < 120: A (50, 92) meets both, B (50, 132) does not -> 1 / 0.2 s."""
    objectives = [parse("attainment(ttft < 55ms) > 50%"), parse("attainment(latency < 120ms) > 50%")]
    whole = summarise(run.requests, run.chunks, WINDOW, objectives=objectives)
    assert whole["rates"]["goodput_per_s"]["value"] == pytest.approx(5.0)


def test_failures_as_worse_than_any_value(whole):
    """Latencies 111 and 132, then D, E and F without one: of five, the median is the third and fails.

    TTFT 45, 50, 60, then D and E: the median is 60; p90 lies at 0.9 * 4 = 3.6, among the failures.
    """
    latency, ttft = (whole["metrics"][name]["with_failures"] for name in ("latency_ms", "ttft_ms"))
    assert latency == {
        "count": 5,
        "p50": "fails",
        "p90": "fails",
        "p95": "fails",
        "p99": "fails",
        "p99_9": "fails",
    }
    assert (ttft["count"], ttft["p50"], ttft["p90"]) == (5, 60.0, "fails")


def test_in_flight_is_weighted_by_time(whole):
    """From 100 ms: A to 132, B 101-233, D 120-181, E 150-152, C 200-300, F 250-300.

    Request-milliseconds: 32 + 132 + 61 + 2 + 100 + 50 = 377 over 200 ms: mean 1.885.
    Levels: 1 in 100-101, 2 in 101-120, 3 in 120-132, 2 in 132-150, 3 in 150-152, 2 in 152-181, 1 in 181-200,
    2 in 200-233, 1 in 233-250, 2 in 250-300: 3 for 14 ms, 2 for 149, 1 for 37. p50 and p90 are 2, p95 is 3.
    """
    assert metric(whole, "in_flight", "count", "mean", "min", "p50", "p90", "p95", "max") == (
        6,
        pytest.approx(1.885),
        1.0,
        2.0,
        2.0,
        3.0,
        3.0,
    )


def test_lateness_is_that_of_every_send(whole):
    """B left 1 ms late, the other four of the window on time."""
    assert metric(whole, "lateness_ms", "count", "mean", "max") == (5, pytest.approx(0.2), 1.0)


def test_outcomes_are_counted_over_the_windows_requests(run):
    """The warm-up's request is not counted; kinds name failures and shed requests."""
    summary = build_summary(
        run.requests, run.chunks, window=WINDOW, objectives=[], load_facts={}, parameters={}
    )
    assert summary["requests"] == {
        "ok": 2,
        "shed": 1,
        "failed": 1,
        "incomplete": 1,
        "interrupted": 0,
        "by_kind": {"http_429": 1, "reset": 1},
    }
    assert (summary["schema"], summary["windows"]["steady"], summary["slo"]) == (1, None, [])


def test_a_run_without_any_request_has_nulls_and_is_invalid(records):
    """Nothing is 0 that was not measured; the verdict says that there is nothing."""
    empty = records([])
    summary = build_summary(
        empty.requests,
        empty.chunks,
        window=WINDOW,
        objectives=[parse("p99 ttft < 80ms"), parse("error_rate < 1%"), parse("attainment(ttft < 1s) > 9%")],
        load_facts={},
        parameters={},
    )
    latency = summary["windows"]["whole"]["metrics"]["latency_ms"]
    assert latency["count"] == 0
    assert {latency[key] for key in ("mean", "std", "min", "max", "p50", "p99_9")} == {None}
    assert {each["verdict"] for each in summary["slo"]} == {"undecided"}
    assert summary["validity"]["verdict"] == "invalid"
    json.dumps(summary, allow_nan=False)


def test_one_repeat_can_be_picked(row, records):
    """Requests, events and rates are those of the repeat."""
    run = records(
        [
            row(110, [(120, 1), (150, 1)], end=151, repeat=0),
            row(110, [(130, 1), (230, 2)], end=231, repeat=1),
        ]
    )
    whole = summarise(run.requests, run.chunks, WINDOW, repeat=1)
    assert metric(whole, "chunk_gap_ms", "count", "mean") == (1, 100.0)
    assert (metric(whole, "latency_ms", "count"), whole["totals"]["output_tokens"]) == ((1,), 3.0)


def test_tokens_of_events_that_nobody_counted_are_shared_out(row, records):
    """With a total alone, each event has an even share; without one, an event is one token.

    12 tokens in 4 events, 3 of them in the window: 9. Unknown total, 2 events in the window: 2.
    """
    run = records(
        [
            row(80, [(90, 0), (110, 0), (120, 0), (130, 0)], known=False, output_tokens=12),
            row(120, [(130, 0), (140, 0)], known=False, output_tokens=None),
        ]
    )
    whole = summarise(run.requests, run.chunks, WINDOW)
    assert whole["totals"]["output_tokens"] == pytest.approx(11.0)
    assert metric(whole, "itl_ms", "count", "mean") == (0, None)
    assert metric(whole, "chunk_gap_ms", "count") == (4,)


def test_pauses_above_two_seconds_keep_their_length(row, records):
    """A gap of 5 s in ns does not fit 32 bits and is whole all the same."""
    run = records([row(0, [(10, 1), (5010, 1), (5030, 1)])])
    whole = summarise(run.requests, run.chunks, Window(0, 10_000_000_000))
    assert metric(whole, "chunk_gap_ms", "max", "min") == (5000.0, 20.0)
    assert metric(whole, "max_gap_ms", "max") == (5000.0,)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_invariants_of_any_run(data, row, records):
    """Whatever the stamps: percentiles are ordered, counts add up, splitting a window splits its tokens."""
    rows = []
    for _ in range(data.draw(st.integers(1, 8))):
        sent = data.draw(st.integers(0, 250))
        at, events = sent, []
        for _ in range(data.draw(st.integers(0, 5))):
            at += data.draw(st.integers(0, 80))
            events.append((float(at), data.draw(st.integers(1, 4))))
        outcome = data.draw(st.sampled_from(["ok", "failed", "shed", "incomplete", "interrupted"]))
        phase = data.draw(st.sampled_from(["window", "warmup"]))
        rows.append(row(sent, events, end=at + 1.0, outcome=outcome, phase=phase))
    run = records(rows)
    whole, first, second = (
        summarise(run.requests, run.chunks, Window(start * 10**6, end * 10**6))
        for start, end in ((100, 300), (100, 180), (180, 300))
    )
    json.dumps(whole, allow_nan=False)
    for name, entry in whole["metrics"].items():
        if not entry["count"]:
            continue
        order = [entry[key] for key in ("min", "p50", "p90", "p95", "p99", "p99_9", "max")]
        # A percentile of latencies may lie among those that were not seen to end, and a mean above those that were.
        order = [each for each in order if each is not None]
        assert order == sorted(order), name
        if "unfinished" in entry:
            continue
        assert entry["min"] <= entry["mean"] * (1 + 1e-12) + 1e-12, name
        assert entry["mean"] <= entry["max"] * (1 + 1e-12) + 1e-12, name
    for key in ("output_tokens", "requests"):
        assert whole["totals"][key] == first["totals"][key] + second["totals"][key]
    gaps = [each["metrics"]["chunk_gap_ms"]["count"] for each in (whole, first, second)]
    assert gaps[0] == gaps[1] + gaps[2]
    flight = [each["metrics"]["in_flight"]["mean"] for each in (whole, first, second)]
    assert flight[0] == pytest.approx((flight[1] * 80 + flight[2] * 120) / 200)
