"""Latencies of which some were not seen to end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.analysis.intervals import SHARES, Depth, percentile_estimates
from benchkit.analysis.repeats import clusters_of
from benchkit.analysis.survival import Seen, Survival, censored_between, censored_estimates


def cut(values, limits):
    """What is seen of durations when watching stops at a limit of each."""
    return Seen(np.minimum(values, limits), values <= limits)


def test_the_curve_is_that_worked_out_by_hand():
    """Times 1, 2+, 3, 4+, 5 (+ = not ended): after 1 four fifths last on, after 3 two thirds of these, after 5 none."""
    survival = Survival(Seen(np.array([3.0, 1.0, 2.0, 5.0, 4.0]), np.array([True, True, False, True, False])))
    assert [survival.quantile(share) for share in (0.1, 0.2, 0.3, 0.4, 0.5, 1.0)] == [1, 1, 3, 3, 5, 5]
    assert survival.reached == 1.0
    assert survival.mean() == pytest.approx(1 + 0.8 * 2 + 0.8 * 2 / 3 * 2)


def test_beyond_the_last_end_nothing_is_known():
    """Of times 1, 2+, 3+ a third is known."""
    survival = Survival(Seen(np.array([1.0, 2.0, 3.0]), np.array([True, False, False])))
    assert survival.reached == pytest.approx(1 / 3)
    assert survival.quantile(0.33) == 1.0
    assert survival.quantile(0.34) == np.inf


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=40), st.floats(0.1, 100))
def test_without_lost_ones_it_is_the_share_of_values(values, bound):
    """Then the influence of a request on a share is whether it ended, less the share, and on the mean its distance."""
    array = np.array(values)
    survival = Survival(Seen(array, np.ones(array.size, dtype=bool)))
    below = array <= bound
    assert survival.influence_on_share(bound) == pytest.approx(below - below.mean(), abs=1e-9)
    assert survival.mean() == pytest.approx(array.mean())
    assert survival.influence_on_mean() == pytest.approx(array - array.mean(), abs=1e-6)


@pytest.mark.parametrize("statistic", ["share", "mean"])
def test_influence_is_what_a_request_more_or_less_changes(statistic):
    """Leaving one of 400 out changes the estimate by its influence over 400, but for what is of second order."""
    random = np.random.default_rng(3)
    seen = cut(random.exponential(1.0, 400), random.uniform(0.3, 6.0, 400))
    whole = Survival(seen)
    influence = whole.influence_on_share(0.8) if statistic == "share" else whole.influence_on_mean()

    def estimate(kept):
        survival = Survival(Seen(seen.values[kept], seen.ended[kept]))
        if statistic == "mean":
            return survival.mean()
        # A share that has not moved since: the last step at or before the time.
        shares = np.linspace(0, 1, 4_001)
        return max(share for share in shares if survival.quantile(share) <= 0.8)

    every = np.arange(400)
    base = estimate(every)
    changes = [base - estimate(np.delete(every, at)) for at in range(0, 400, 16)]
    assert influence.mean() == pytest.approx(0.0, abs=1e-9)
    assert np.corrcoef(changes, influence[::16])[0, 1] > 0.97
    assert np.array(changes) * 399 == pytest.approx(influence[::16], abs=0.25)


def test_the_truth_is_found_though_the_longest_are_lost():
    """A fifth of exponential times is cut off: the percentiles of those that ended are too short, these are not."""
    random = np.random.default_rng(8)
    inside = []
    for _ in range(60):
        values = random.exponential(1.0, 4_000)
        seen = cut(values, random.uniform(2.0, 6.0, 4_000) * (random.random(4_000) < 0.7) + 1.0)
        found = censored_estimates(seen, [4_000], Depth(1.0, 4_000.0))
        ended = percentile_estimates(seen.values[seen.ended], [int(seen.ended.sum())], Depth(1.0, 3_000.0))
        assert ended["p90"].high < found["p90"].value
        inside.append(
            [found[key].low <= -np.log(1 - SHARES[key]) <= found[key].high for key in ("p50", "p90")]
        )
    assert np.mean(inside, axis=0).min() >= 0.85


def test_a_mean_whose_longest_are_lost_is_a_lower_limit():
    """Words instead of limits, also of percentiles that nothing was seen to reach."""
    seen = cut(np.random.default_rng(1).exponential(1.0, 2_000), np.full(2_000, 1.0))
    found = censored_estimates(seen, [2_000], Depth(1.0, 2_000.0))
    assert found["mean"].interval is None
    assert found["mean"].note == (
        f"the longest requests were not seen to end; the mean is at least {found['mean'].value:.4g}"
    )
    assert found["mean"].value == pytest.approx(1 - np.exp(-1), abs=0.05)
    assert found["p50"].interval is not None
    assert (found["p90"].value, found["p90"].interval) == (None, None)
    assert "not seen to end; p90 is at least" in found["p90"].note


def test_repeats_are_clusters():
    """With five repeats the limits follow their spread, and hold the pooled estimate."""
    random = np.random.default_rng(5)
    runs = [
        cut(random.exponential(scale, 800), np.full(800, 4.0) + 9 * (random.random(800) < 0.9))
        for scale in (0.8, 0.9, 1.0, 1.1, 1.2)
    ]
    found = censored_between(runs, clusters_of([True] * 5, None), 0.95)
    assert found["p50"].low < found["p50"].value < found["p50"].high
    assert found["p50"].effective == 5
    assert found["mean"].low < 1.0 < found["mean"].high
    close = [cut(random.exponential(1.0, 800), np.full(800, 13.0)) for _ in range(5)]
    narrow = censored_between(close, clusters_of([True] * 5, None), 0.95)
    assert narrow["p50"].high - narrow["p50"].low < 0.6 * (found["p50"].high - found["p50"].low)
