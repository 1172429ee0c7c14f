"""Distribution-free limits against scipy and the literature."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from benchkit.analysis.binomial import needed_for, quantile_ranks, wilson


@pytest.mark.parametrize(
    ("quantile", "count"), [(0.99, 368), (0.999, 3688), (0.5, 6), (0.9, 36), (0.95, 72), (0.01, 368)]
)
def test_samples_that_percentiles_need(quantile, count):
    """1 - p**n must reach 0.975: p99 from 368 values on, p99.9 from 3,688."""
    assert needed_for(quantile) == count
    far = max(quantile, 1 - quantile)
    assert 1 - far**count >= 0.975 > 1 - far ** (count - 1)


@settings(deadline=None)
@given(st.integers(1, 5000), st.sampled_from([0.01, 0.5, 0.9, 0.95, 0.99, 0.999]))
def test_ranks_are_the_binomials_quantiles(count, quantile):
    """The bracket is the tightest whose tails hold at most 2.5 % each."""
    ranks = quantile_ranks(count, quantile)
    if ranks.low is None:
        assert binom.cdf(0, count, quantile) > 0.025 - 1e-9
    else:
        assert binom.cdf(ranks.low, count, quantile) <= 0.025 + 1e-9
        assert binom.cdf(ranks.low + 1, count, quantile) > 0.025 - 1e-9
    if ranks.high is None:
        assert count < needed_for(quantile) or quantile < 0.5
        assert binom.cdf(count - 1, count, quantile) < 0.975 + 1e-9
    else:
        assert binom.cdf(ranks.high, count, quantile) >= 0.975 - 1e-9
        assert ranks.high == 0 or binom.cdf(ranks.high - 1, count, quantile) < 0.975 + 1e-9


def test_a_median_of_ten_lies_between_the_second_and_the_ninth():
    """The textbook case: of ten values the 2nd and the 9th bracket the median with 97.9 %."""
    assert quantile_ranks(10, 0.5) == (1, 8)


@settings(deadline=None)
@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_is_scipys(case):
    """Same limits as scipy's, and a share of 0 or 1 touches its end."""
    hits, count = case
    expected = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert tuple(wilson(hits, count)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_without_observations_a_share_may_be_anything():
    """No request, no knowledge."""
    assert wilson(0, 0) == (0.0, 1.0)
