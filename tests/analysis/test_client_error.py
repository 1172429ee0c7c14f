"""A client's stamps are laid beside the server's log event by event: what was put in comes out."""

import numpy as np
import pytest

from benchkit.analysis.client_error import Spread, beside
from benchkit.serving.paced.log import PacedLog

START_NS = 5_000_000_000
MS = 1_000_000


def sent_log(answers):
    """A log of (name, when each token was sent in ms of the run's clock, how late that was in ms)."""
    counts = [len(times) for _, times, _ in answers]
    sent = np.concatenate([np.asarray(times, float) for _, times, _ in answers]) * MS + START_NS
    late = np.concatenate([np.full(len(times), late) for _, times, late in answers]) * MS
    return PacedLog(
        tuple(name for name, _, _ in answers),
        np.array([times[0] - 1 for _, times, _ in answers]).astype(np.int64) * MS + START_NS,
        np.concatenate([[0], np.cumsum(counts)]),
        (sent - late).astype(np.int64),
        sent.astype(np.int64),
        (),
        0,
    )


def laid(records, log):
    """Both beside each other."""
    return beside(records.requests, records.chunks, log, start_ns=START_NS, run_id="run")


def test_each_event_has_the_error_of_its_own_request(row, records):
    """Requests that overlap, in another order than the server's, keep their own errors, in the order of sending."""
    rows = [
        row(10, [(20.5, 1), (30.5, 1)], index=0, turn=0, lag=0.25),
        row(11, [(22.1, 1), (32.1, 1)], index=1, turn=0, lag=0.25),
    ]
    log = sent_log([("run-win-1-0", [22, 32], 0.0), ("run-win-0-0", [20, 30], 2.0)])
    found = laid(records(rows), log)
    assert (found.sent_ns - START_NS) / MS == pytest.approx([20, 22, 30, 32])
    assert found.kernel_ms == pytest.approx([0.5, 0.1, 0.5, 0.1])
    assert found.loop_ms == pytest.approx([0.75, 0.35, 0.75, 0.35])
    assert found.server_late_ms == pytest.approx([2.0, 0.0, 2.0, 0.0])


def test_tokens_that_were_never_read_are_lost_and_not_left_out(row, records):
    """An event that the server sent and the client has not is infinitely late."""
    rows = [row(10, [(20.5, 1)], index=0, turn=0)]
    found = laid(records(rows), sent_log([("run-win-0-0", [20, 30, 40], 0.0)]))
    assert found.kernel_ms == pytest.approx([0.5, np.inf, np.inf])


def test_another_client_s_requests_do_not_count(row, records):
    """What else the server answered, and the other phase's request of the same number, are kept out."""
    rows = [row(10, [(20.5, 1)], index=0, turn=0)]
    log = sent_log(
        [
            ("else", [5], 0.0),
            ("run-win-0-0", [20], 0.0),
            ("run-war-0-0", [19], 0.0),
            ("run-win-7-0", [21], 0.0),
        ]
    )
    assert laid(records(rows), log).kernel_ms == pytest.approx([0.5])


def test_the_second_answer_to_a_request_is_the_one_that_was_read(row, records):
    """A request that was sent again on a new connection is laid beside its later answer."""
    rows = [row(10, [(40.5, 1)], index=0, turn=0, attempt=2)]
    log = sent_log([("run-win-0-0", [20], 0.0), ("run-win-0-0", [40], 0.0)])
    assert laid(records(rows), log).kernel_ms == pytest.approx([0.5])


def test_lateness_is_the_client_s_own(row, records):
    """Connecting and waiting under a cap are not its fault; a request that never left is infinitely late."""
    rows = [
        row(13, [], scheduled_ms=10, index=0, turn=0),
        row(28, [], scheduled_ms=20, waited_ms=5, index=1, turn=0),
        row(36, [], scheduled_ms=30, connect_start_ms=31, connected_ms=35, index=2, turn=0),
        row(None, [], scheduled_ms=40, index=3, turn=0),
    ]
    found = laid(records(rows), sent_log([("else", [5], 0.0)]))
    assert (found.due_ns - START_NS) / MS == pytest.approx([10, 20, 30, 40])
    assert found.late_ms == pytest.approx([3, 3, 2, np.inf])


def test_a_stretch_of_time_is_cut_by_the_server_s_clock(row, records):
    """Events belong to the stretch in which they were sent, requests to that in which they were due."""
    rows = [
        row(at, [(at + 10.5, 1)], index=index, turn=0, scheduled_ms=at - 1)
        for index, at in enumerate((10, 20, 30))
    ]
    log = sent_log([(f"run-win-{index}-0", [at + 10], 0.0) for index, at in enumerate((10, 20, 30))])
    found = laid(records(rows), log)
    stretch = (START_NS + 20 * MS, START_NS + 40 * MS)
    assert found.errors_ms("kernel", *stretch) == pytest.approx([0.5, 0.5])
    assert found.errors_ms("loop", *stretch) == pytest.approx([0.6, 0.6])
    assert found.server_ms(*stretch) == pytest.approx([0, 0])
    assert found.lateness_ms(START_NS + 9 * MS, START_NS + 20 * MS) == pytest.approx([1, 1])


def test_the_limits_of_a_spread_hold_its_true_percentile():
    """Of independent errors, about 95 % of the intervals of their p99 hold the true one."""
    generator = np.random.default_rng(8)
    true = -np.log(0.01)
    held = 0
    for _ in range(200):
        spread = Spread.of(generator.exponential(size=4000))
        held += spread.low <= true <= (spread.high or np.inf)
    assert held >= 180


def test_errors_that_come_together_make_wider_limits():
    """As many values in stalls of 50 say less than apart: their interval is wider, or has no upper end."""
    generator = np.random.default_rng(3)
    apart = generator.exponential(size=20_000)
    stalls = np.repeat(generator.exponential(size=400), 50) + generator.uniform(0, 1e-6, 20_000)
    tight, loose = Spread.of(apart), Spread.of(stalls)
    assert tight.high is not None
    assert loose.high is None or loose.high - loose.low > 2 * (tight.high - tight.low)


def test_one_stall_says_nothing_of_how_often_stalls_come():
    """A 99th percentile that is the largest value has no interval, rather than one of no width."""
    found = Spread.of(np.concatenate([np.zeros(900), np.full(100, 7.0)]))
    assert (found.p99, found.low, found.high) == (7.0, None, None)


def test_too_few_values_have_no_spread():
    """Below 20 values there is no 99th percentile to speak of, and lost ones make it unknown."""
    assert Spread.of(np.ones(19)) is None
    lost = Spread.of(np.concatenate([np.ones(90), np.full(10, np.inf)]))
    assert (lost.n, lost.p50, lost.p99, lost.max) == (100, 1.0, None, None)
