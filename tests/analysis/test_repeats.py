"""What several runs say together."""

import numpy as np
import pytest

from benchkit.analysis.repeats import between, clusters_of, variance_parts


def runs(means, count=400, seed=1):
    """A run for each mean, of independent values about it."""
    random = np.random.default_rng(seed)
    return [random.normal(mean, 1.0, count) for mean in means]


def test_a_mean_is_students_of_the_runs():
    """Run means 9, 10, 11: t of two degrees of freedom is 4.303, the standard error 1/sqrt(3)."""
    own = [np.full(50, mean) for mean in (9.0, 10.0, 11.0)]
    found = between(own, None, "mean")
    part = 4.3027 / np.sqrt(3) / 10
    assert (found.value, found.effective) == (10.0, 3)
    assert (found.low, found.high) == pytest.approx((10 / (1 + part), 10 / (1 - part * (1 + part))), rel=1e-4)


def test_few_independent_values_widen_a_mean():
    """Runs worth 50 together: the variance is raised by ten fiftieths."""
    own = [np.full(50, mean) for mean in (9.0, 10.0, 11.0)]
    part = 4.3027 / np.sqrt(3) / 10 * np.sqrt(1.2)
    assert between(own, None, "mean", worth=50.0).low == pytest.approx(10 / (1 + part), rel=1e-4)


def test_limits_that_are_as_wide_as_their_mean_still_end():
    """Run means 1, 10, 19: the upper limit is finite, further away than the inverse of the lower one, and rises on."""
    wide, wider = (
        between([np.full(50, 10 + step * by) for step in (-1, 0, 1)], None, "mean") for by in (7.0, 9.0)
    )
    assert 0 < wider.low < wide.low < 10
    assert 30 < wide.high < wider.high < np.inf


def test_below_zero_limits_are_symmetric():
    """A number that may be negative has no logarithm."""
    found = between([np.array([-1.0]), np.array([0.0]), np.array([1.0])], None, "mean")
    assert found.low == pytest.approx(-found.high)


def test_two_runs_are_too_few():
    """There is a value and no interval."""
    found = between(runs([10, 11]), None, "mean")
    assert found.interval is None
    assert found.note == "not enough data: 2 runs, needs 3"


def test_a_percentile_is_that_of_all_requests():
    """Not the average of the runs' percentiles, and its limits follow the spread between the runs."""
    close, apart = runs([10] * 5), runs([9.7, 9.8, 10, 10.2, 10.3])
    for own in (close, apart):
        assert between(own, None, "p50").value == pytest.approx(np.median(np.concatenate(own)))
    narrow, wide = between(close, None, "p50"), between(apart, None, "p50")
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert wide.low < wide.value < wide.high


def test_a_tail_that_the_runs_hardly_carry_is_refused():
    """Five runs of forty requests say nothing certain of a p99."""
    found = between(runs([10] * 5, count=40), None, "p99")
    assert found.interval is None
    assert "5 runs with 200 values leave p99 open above" in found.note
    assert between(runs([10] * 5, count=4_000), None, "p90", worth=60.0).interval is None


def test_runs_of_one_server_start_are_one_cluster():
    """Six runs in three starts are three values; the start's own offset is in the interval."""
    starts = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    own = runs([10, 10, 12, 12, 14, 14])
    by_start, by_run = between(own, starts, "mean"), between(own, None, "mean")
    assert (by_start.effective, by_run.effective) == (3, 6)
    assert by_start.high - by_start.low > by_run.high - by_run.low
    assert clusters_of([True] * 3, [1.0, None, 2.0]).noun == "runs"
    assert clusters_of([True] * 3, [1.0, 1.0, 1.0]).noun == "runs"
    assert clusters_of([True] * 6, starts).noun == "server starts"


def test_runs_without_a_value_are_left_out():
    """NaN says that there was none."""
    assert between([np.array([np.nan])] * 4, None, "p50").note == "no run gave a value"
    assert between([np.array([np.nan]), *runs([10] * 4)], None, "mean").effective == 4


def test_variance_has_two_parts():
    """What lies between the runs is what their own memory does not explain, and never negative."""
    found = variance_parts([9.0, 10.0, 11.0], [0.25, 0.25, 0.25])
    assert (found.within, found.between) == (0.25, 0.75)
    assert variance_parts([10.0, 10.0], [0.25, 0.25]).between == 0.0
    assert variance_parts([10.0], [0.25]) is None
