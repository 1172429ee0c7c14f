"""Titles say what a chart's data hold, with as much doubt as the data leave, on two lines at most."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.analysis.client_map import Limit
from benchkit.analysis.drift import Drift
from benchkit.analysis.saturation import Saturation, Trend
from benchkit.report import titles, titles_client, titles_run, titles_time
from benchkit.report.distribution import Series

TREND = Trend(1.0, 0.5, 0.001, 10)


def _series(values, **entry):
    return Series("a series", np.sort(np.asarray(values, dtype=float)), "request", entry)


def _resolved(values, **limits):
    """A sample whose summary has an interval for these statistics, and a note on all others."""
    notes = {name: "not enough data" for name in ("p50", "p90", "p95", "p99") if name not in limits}
    return _series(values, ci95=limits, notes=notes)


@given(st.text(max_size=400))
def test_a_title_has_two_lines_at_most(finding):
    """However long, of whatever characters: no line is wider than the plot, and none holds a control character."""
    told = titles.headed(finding).to_dict()["text"]
    lines = [told] if isinstance(told, str) else told
    assert len(lines) <= 2
    assert all(len(line) <= titles.LINE and (line.isprintable() or not line) for line in lines)


def test_a_long_title_is_broken_in_its_middle():
    """No word is left alone on the second line, and no number without its unit."""
    finding = "Half of the requests had a first token within 50.2 ms of being sent, 9,050.3 ms of being due"
    lines = titles.headed(finding).to_dict()["text"]
    assert " ".join(lines) == finding
    assert abs(len(lines[0]) - len(lines[1])) < 20
    assert not any(line.startswith(("ms", "%")) for line in lines)
    told = titles.headed("x", ["p50 1.0 (0.9 to 1.1) · " * 8 + "end"]).to_dict()["subtitle"]
    assert all(line.endswith("·") for line in told[:-1])
    assert " ".join(told).count("p50 1.0 (0.9 to 1.1) ·") == 8


@given(st.floats(1e-6, 1e7))
def test_never_more_than_is_true(value):
    """What is told as a largest value is no less than it, and no more than a tenth above."""
    told = float(titles.no_more(value).replace(",", ""))
    assert value * (1 - 1e-6) <= told <= max(1.1 * value + 1e-9, 1.0 if value > 100 else 0)


@pytest.mark.parametrize(
    ("share", "told"),
    [(0.0, "0 %"), (0.004, "under 1 %"), (0.87, "87 %"), (0.998, "over 99 %"), (1.0, "100 %")],
)
def test_a_share_is_never_rounded_to_none_or_all(share, told):
    """Of nearly all and hardly any it is said so."""
    assert titles.percent(share) == told


def test_seconds_are_told_from_one_on():
    """With the digits that the interval leaves."""
    assert titles.ms(31.44) == "31.4 ms"
    assert titles.ms(1234.5, (1200.0, 1270.0)) == "1.23 s"
    assert titles.ms(31.44, (20.0, 42.0)) == "31 ms"


def test_words_that_are_written_small_stay_small():
    """A sentence begins with a capital, p99 with a p."""
    assert titles.first_up("p99 TTFT") == "p99 TTFT"
    assert titles.first_up("as measured") == "As measured"


def test_the_tail_that_is_resolved_is_told():
    """Half, and the highest percentile that the sample carries; without one the slowest."""
    values = np.linspace(10, 100, 901)
    told = _resolved(values, p50=(54.0, 56.0), p95=(95.0, 96.4))
    assert titles_run.first_token(told, 901) == (
        "Half of the requests had a first token within 55.0 ms, 95 % within 95.5 ms"
    )
    alone = _resolved(values, p50=(50.0, 60.0))
    assert titles_run.first_token(alone, 901).endswith("within 55.0 ms, the slowest took 100 ms")


def test_requests_without_a_value_are_not_counted_as_fast():
    """Where some failed, the half is one of those that did not."""
    told = titles_run.first_token(_resolved(range(1, 102), p50=(50.0, 52.0)), 150)
    assert told.startswith("Of 101 with a first token, half had it within 51.0 ms")
    assert titles_run.whole_answer(_resolved(range(1, 102), p50=(50.0, 52.0)), 150).startswith(
        "Of 101 answers, half were whole within 51.0 ms"
    )


def test_a_schedule_that_was_not_kept_is_in_the_title():
    """A short wait after sending is not told without the long one before."""
    sent, due = (_resolved(np.full(101, value), p50=(value, value)) for value in (30.0, 700.0))
    assert titles_run.first_token(sent, 101, due).endswith("30 ms of being sent, 700 ms of being due")


def test_few_requests_are_told_as_few():
    """A sample that carries no median has its ends told, and a single request its value."""
    assert titles_run.first_token(_resolved([22.0, 57.0, 40.0]), 3) == (
        "3 requests had a first token after 22.0 ms to 57.0 ms: too few independent ones to tell what is usual"
    )
    assert titles_run.whole_answer(_series([31.0]), 1) == "The one answer that ended took 31.0 ms"


def test_gaps_are_told_by_their_tail_and_the_longest_pause():
    """The longest may be of a request whose gaps lie outside of the window."""
    gaps = _resolved(np.full(2000, 11.0), p99=(10.9, 11.1))
    assert titles_run.flow(gaps, _series([12.0, 120.0])) == (
        "99 % of the gaps between chunks are within 11.0 ms; the longest lasted 120 ms"
    )
    assert "none longer than 12 ms" in titles_run.flow(_resolved([11.0, 12.0]), _series([12.0]))


def test_a_client_in_time_and_a_late_one():
    """Below a millisecond it was never late; above, it is told in what, and how often."""
    assert titles_run.trust(_series([0.1, 0.21]), _series([0.05, 0.312])) == (
        "The client was never more than 0.32 ms late"
    )
    late = titles_run.trust(_series([0.1] * 999 + [40.0]), _series([0.05] * 1000))
    assert late == "The client sent up to 40.0 ms late and read up to 0.050 ms late; 99 % within 0.10 ms"
    assert titles_run.trust(_series([]), _series([0.2])).endswith("late where it read")


@given(st.integers(3, 40), st.floats(1, 50), st.floats(0.5, 5))
def test_the_onset_is_where_a_level_bends(bend, level, slope):
    """A level that is flat and then rises has its bend found to the bin."""
    at = np.arange(60.0)
    values = level + slope * np.clip(at - bend, 0, None)
    assert titles_time.onset_s(at, values) == pytest.approx(bend, abs=1)


def _levels(values):
    import pandas as pd

    return pd.DataFrame(
        {"start_s": np.arange(float(len(values))), "requests": np.asarray(values, dtype=float)}
    )


def test_a_pile_is_told_with_its_beginning():
    """Only where the trends say so: a level that rises by chance is no pile."""
    rising = _levels([4.0] * 12 + [4.0 + 3 * more for more in range(18)])
    rates = {"output_tokens_per_s": {"value": 812.4, "ci95": [790.0, 835.0]}}
    piled = Saturation("saturated", "", TREND, TREND, 10, 8)
    assert titles_time.output(rates, 20.0, piled, rising) == (
        "Requests pile up from second 12 on: 55 are under way at the window's end"
    )
    steady = Saturation("steady", "", TREND, TREND, 10, 10)
    assert titles_time.output(rates, 9.11, steady, rising) == (
        "Nothing piled up: 812 tokens/s came out, with 9.11 requests under way on average"
    )
    assert titles_time.output({}, 0.0, None, rising).startswith("Nothing came out")


def test_a_drift_is_told_only_where_it_is_sure():
    """The medians of both halves stand beside it, whatever is decided."""
    due, values = np.arange(100.0), np.linspace(30, 60, 100)
    sure = Drift("ttft_ms", 0.67, 0.001)
    assert titles_time.slowing(due, values, sure, None) == (
        "TTFT rose by 67 % of its mean over the run: median 37.4 ms in the first half, 52.6 ms in the second"
    )
    unsure = titles_time.slowing(due, values, Drift("ttft_ms", 0.67, 0.2), None)
    assert unsure.startswith("TTFT did not clearly change")
    assert titles_time.slowing(due, values, None, None).startswith("Too few independent requests")
    piled = titles_time.slowing(due, values, None, Saturation("saturated", ""))
    assert piled.startswith("TTFT grew as requests piled up")


def test_a_queue_is_told_by_how_long_and_how_often():
    """Nothing seen is told as nothing seen, not as nothing there."""
    assert titles_time.queue(np.array([0.0, 0.0]), 2) == (
        "No request was seen waiting in the server, in 2 readings"
    )
    assert titles_time.queue(np.array([0.0, 3.0, 12.0, 0.0]), 4) == (
        "Up to 12 requests waited in the server, some in 50 % of 4 readings"
    )
    assert titles_time.queue(np.array([2.0]), 1).endswith("some in every reading")


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (Limit(31_400.0), "passes 1 ms at 31,400 tokens/s"),
        (Limit(64_000.0, open=True), "stays below 1 ms up to 64,000 tokens/s"),
        (Limit(2_000.0, below=True), "is over 1 ms already at 2,000 tokens/s"),
    ],
)
def test_a_limit_that_was_not_reached_is_no_limit(limit, told):
    """A test that ended before the error did says up to where it is known."""
    assert titles_client._passes(limit) == told


def test_intervals_that_meet_are_not_apart():
    """Where one is missing, nothing is known."""
    assert titles.apart((1, 2), (3, 4)) is True
    assert titles.apart((1, 3), (2, 4)) is False
    assert titles.apart(None, (2, 4)) is None
    assert titles.ms(float("nan")) == "–"
