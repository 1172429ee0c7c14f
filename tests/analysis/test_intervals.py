"""Intervals of what one run says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.analysis.intervals import (
    Depth,
    about,
    bursts,
    mean_estimate,
    percentile_estimates,
    quantile,
    rate_estimate,
)

DEEP = Depth(1.0, 20_000.0)


def noise(count=20_000, seed=1):
    """Independent times."""
    return np.random.default_rng(seed).lognormal(0.0, 1.0, count)


def test_a_mean_has_the_limits_of_its_error():
    """Of 20,000 independent values about 2.3 standard errors to each side, the upper one further away."""
    values = noise()
    found = mean_estimate(values, [values.size], DEEP)
    error = values.std() / np.sqrt(values.size)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.value > found.value - found.low > 0
    assert found.high - found.low == pytest.approx(2 * 2.3 * error, rel=0.6)


def test_percentiles_lie_within_their_limits_and_rise():
    """Every percentile of a long run of independent values has an interval, each above the one before."""
    values = noise(60_000)
    found = percentile_estimates(values, [values.size], Depth(1.0, 60_000.0))
    for each in found.values():
        assert each.low < each.value < each.high
    assert [each.value for each in found.values()] == sorted(each.value for each in found.values())


def test_a_run_that_is_short_against_its_memory_has_words():
    """n/τ = 12: no interval, what it would need, and what it still says of the tail."""
    values = noise(360)
    found = percentile_estimates(values, [360], Depth(30.0, 12.0))
    assert found["p50"].interval is None
    assert found["p50"].told("ms").endswith(" ms")
    assert found["p50"].note.startswith("not enough data: n/τ = 12, p50 needs 50; p50 is at least ")
    assert found["p99"].note.startswith("not enough data: n/τ = 12, p99 needs 1,053; p99 is at least ")
    assert found["p99"].low < found["p99"].value
    mean = mean_estimate(values, [360], Depth(30.0, 12.0))
    assert (mean.interval, mean.note) == (None, "not enough data: n/τ = 12, needs 50")


def test_a_tail_that_one_burst_taught_is_not_believed():
    """All exceedances of a p95 in one stretch are one event, however many requests they are."""
    values = noise(8_000)
    values[3_000:3_600] += 50.0
    found = percentile_estimates(values, [values.size], Depth(1.0, 8_000.0))
    assert found["p95"].interval is None
    assert "bursts" in found["p95"].note or "worth" in found["p95"].note


def test_requests_that_never_gave_a_value_are_worse_than_any():
    """With 2 % of them the p99 is open above and has a lower limit; the p95 has both."""
    values = noise()
    values[::50] = np.inf
    found = percentile_estimates(values, [values.size], DEEP)
    assert found["p95"].high < np.inf
    assert found["p99"].value is None
    assert found["p99"].interval is None
    assert found["p99"].low > found["p95"].low


def test_values_that_are_all_alike_have_an_interval_of_no_width():
    """A paced server's step takes what it takes."""
    found = percentile_estimates(np.full(30_000, 20.0), [30_000], Depth(1.0, 30_000.0))
    assert {(each.low, each.high) for each in found.values()} == {(20.0, 20.0)}


def test_fewer_than_twenty_values_have_words():
    """Nothing is estimated from a handful."""
    assert mean_estimate(noise(7), [7], Depth(1.0, 7.0)).note == "not enough data: 7 values"
    assert percentile_estimates(noise(7), [7], Depth(1.0, 7.0))["p50"].note == "not enough data: 7 values"


def test_a_rate_has_the_limits_of_its_counts():
    """Poisson counts of 10,000 in 100 s: 100 a second, give or take about 2.3."""
    counts = np.random.default_rng(4).poisson(10.0, 1_000).astype(float)
    found = rate_estimate(counts, [1_000], 100.0, Depth(1.0, 10_000.0))
    assert found.value == pytest.approx(counts.sum() / 100)
    assert found.high - found.low == pytest.approx(2 * 2.3, rel=0.6)
    assert rate_estimate(np.zeros(10), [10], 1.0, DEEP).note == "nothing was counted"


def test_an_error_as_large_as_its_mean_leaves_the_upper_end_open():
    """Then only the lower limit holds."""
    found = about(10.0, 5.0, Depth(1.0, 1e9), positive=True)
    assert (found.interval, found.high) == (None, None)
    assert found.low == pytest.approx(10.0 / (1 + 2.306 / 2), abs=0.01)
    plain = about(10.0, 5.0, Depth(1.0, 1e9), positive=False)
    assert plain.low == pytest.approx(-1.53, abs=0.01)


@pytest.mark.parametrize(
    ("places", "memory", "count"),
    [([], 3.0, 0), ([5], 3.0, 1), ([1, 2, 3, 10, 12, 30], 3.0, 3), ([0, 4, 8], 3.0, 3)],
)
def test_bursts_lie_further_apart_than_the_memory_reaches(places, memory, count):
    """Exceedances within a memory of each other are one burst."""
    assert bursts(np.array(places, dtype=int), memory) == count


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0, 1))
def test_quantiles_are_numpys(values, share):
    """Linear between order statistics, as the percentiles of a summary."""
    ordered = np.sort(values)
    assert quantile(ordered, share) == pytest.approx(float(np.quantile(ordered, share)), rel=1e-9, abs=1e-9)
