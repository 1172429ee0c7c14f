"""The steady part leaves out what the load's beginning and end do, by a rule that does not look at the values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.analysis.measured import narrowed
from benchkit.analysis.steady_state import mser5, steady_window

S = 1_000_000_000


def closed_loop(streams, latency_s, length_s):
    """Streams that all begin at 0, each with one request after the other."""
    rounds = int(length_s / latency_s)
    sent = np.repeat(np.arange(rounds) * latency_s, streams)
    took = np.full(sent.size, latency_s)
    return sent, took / 2, took


def test_three_latencies_are_skipped_and_two_are_left(measured_of):
    """Of 20 s of requests of half a second, 1.5 s at the beginning and 1 s at the end are left out."""
    measured = measured_of([closed_loop(8, 0.5, 20)])
    (part,) = steady_window(measured).window.parts
    assert part.start_ns == 1.5 * S
    assert part.end_ns == measured.window.end_ns - S
    assert steady_window(measured).reason == ""


def test_a_long_first_wave_is_waited_for(measured_of):
    """A stream that began with a request of 6 s holds the steady part back until it has come round."""
    sent, ttft, took = closed_loop(8, 0.5, 20)
    took[0] = 6.0
    (part,) = steady_window(measured_of([(sent, ttft, took)])).window.parts
    assert part.start_ns == 6 * S


def test_each_repeat_has_its_own_part(measured_of):
    """Every repeat begins cold and ends: both ends are cut off each of them."""
    measured = measured_of([closed_loop(4, 0.5, 20), closed_loop(4, 0.5, 30)])
    steady = steady_window(measured).window
    for part, whole in zip(steady.parts, measured.window.parts, strict=True):
        assert part.start_ns - whole.start_ns == pytest.approx(1.5 * S)
        assert whole.end_ns - part.end_ns == pytest.approx(S)


@pytest.mark.parametrize(("length_s", "there"), [(5.5, True), (4.5, False)])
def test_a_short_run_has_none_and_says_what_it_needs(measured_of, length_s, there):
    """Ten mean latencies are the least; below, the reason has the time that they take."""
    found = steady_window(measured_of([closed_loop(8, 0.5, length_s)]))
    assert (found.window is not None) == there
    assert there or "need 5 s" in found.reason


def test_nothing_that_ended_is_no_steady_part(measured_of):
    """Without a latency nobody knows how long settling takes."""
    sent, ttft, took = closed_loop(4, 0.5, 20)
    found = steady_window(measured_of([(sent, ttft, np.full(took.size, np.nan))]))
    assert found.window is None
    assert "ended" in found.reason


def test_an_answer_that_was_there_before_its_request_was_booked_as_sent(measured_of):
    """The kernel may stamp a quick server's answer before the loop has its time of sending: nothing breaks."""
    sent, ttft, took = closed_loop(4, 0.5, 20)
    took[:4] = ttft[:4] = -1e-5
    (part,) = steady_window(measured_of([(sent, ttft, took)])).window.parts
    assert part.start_ns == pytest.approx(1.5 * S, rel=0.05)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.8))
def test_the_steady_part_lies_inside_and_holds_its_requests(measured_of, queue, seed, load):
    """Whatever the load: it lies in the window, and its requests are those that were due in it."""
    measured = measured_of([queue(np.random.default_rng(seed), 400, load)])
    steady = steady_window(measured).window
    if steady is None:
        return
    assert measured.window.start_ns <= steady.start_ns < steady.end_ns <= measured.window.end_ns
    kept = narrowed(measured, steady).columns
    assert (kept.in_phase == steady.holds(kept.scheduled)).all()


def test_mser5_finds_a_beginning_that_differs():
    """Fifty values of another level are cut off, to the five."""
    rng = np.random.default_rng(1)
    values = np.concatenate((rng.normal(5, 1, 50), rng.normal(0, 1, 950)))
    assert mser5(values) == 50
    assert mser5(values[:15]) == 0


def test_mser5_would_cut_good_data(queue):
    """Which is why it only warns: of queues at rest it would cut more than a tenth in more than one of twenty."""
    rng = np.random.default_rng(2)
    cuts = [mser5(queue(rng, 1_000, 0.5)[2]) > 100 for _ in range(200)]
    assert sum(cuts) > 10
