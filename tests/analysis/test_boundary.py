"""The boundary of an objective by a fit to who missed it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.analysis.boundary import Sample, fit_boundary
from benchkit.analysis.boundary_fit import fit_line, logit


def share(rate, *, at=10.0, allowed=0.05, steepness=8.0):
    """A share of misses of which the logit is a line in the logarithm of the rate."""
    return 1 / (1 + math.exp(-(logit(allowed) + steepness * math.log(rate / at))))


def bursty(chance, count, mean_length, rng):
    """Misses that come in runs of that mean length, on average that share of all."""
    leave = 1 / mean_length
    enter = leave * chance / (1 - chance)
    flags = np.empty(0, dtype=bool)
    missing = rng.random() < chance
    while flags.size < count:
        flags = np.append(flags, np.full(rng.geometric(leave if missing else min(1.0, enter)), missing))
        missing = not missing
    return flags[:count]


def samples(seed, *, rates=(8.5, 9.3, 10.7, 11.5), count=8_000, length=1.0, **curve):
    """A sample at each rate."""
    rng = np.random.default_rng(seed)
    allowed = curve.get("allowed", 0.05)
    return [
        Sample(rate, bursty(share(rate, **curve), count, length, rng), allowed, memory=length)
        for rate in rates
    ]


@pytest.mark.parametrize("length", [1.0, 15.0])
def test_the_interval_covers_as_often_as_it_says(length):
    """Of 95 % intervals 88 % or more cover the truth, whether misses come alone or in bursts."""
    found = [fit_boundary(samples(seed, length=length)) for seed in range(60)]
    covered = [each.low <= 10.0 <= each.high for each in found if each is not None and each.low is not None]
    assert len(covered) > 54
    assert sum(covered) / len(covered) >= 0.88


def test_bursts_widen_the_interval():
    """Misses in bursts of fifteen hold less than as many that come alone: the inflation says how much less."""
    alone, together = fit_boundary(samples(1, length=1.0)), fit_boundary(samples(1, length=15.0))
    assert alone.inflation < 1.6
    assert 8 < together.inflation < 40
    assert together.half_width > 2 * alone.half_width


def test_a_sample_without_a_miss_is_not_certain():
    """No miss in a short run moves the boundary little, and does not make the interval narrow."""
    before = fit_boundary(samples(2, length=15.0))
    quiet = Sample(9.9, np.zeros(200, dtype=bool), 0.05, memory=15.0)
    after = fit_boundary([*samples(2, length=15.0), quiet])
    assert after.rate == pytest.approx(before.rate, rel=0.02)
    assert after.half_width > 0.8 * before.half_width


def test_loads_far_away_do_not_bend_it():
    """A load at which nearly all miss, twice as high, changes nothing."""
    near = samples(3)
    far = Sample(20.0, np.ones(50_000, dtype=bool), 0.05)
    assert fit_boundary([*near, far]).rate == pytest.approx(fit_boundary(near).rate, rel=1e-9)


def test_a_load_that_is_no_steady_one_does_not_enter():
    """A sample that is as long as its memory says nothing of a steady load."""
    near = samples(3)
    rising = Sample(10.5, np.ones(2_000, dtype=bool), 0.05, memory=1_500.0)
    assert fit_boundary([*near, rising]).rate == pytest.approx(fit_boundary(near).rate, rel=1e-9)


def test_an_extrapolation_says_so():
    """A boundary above all loads is given, called extrapolated, and not called resolved."""
    found = fit_boundary(samples(4, rates=(7.5, 8.5, 9.0), count=60_000))
    assert found.rate == pytest.approx(10.0, rel=0.05)
    assert (found.extrapolated, found.resolved) == (True, False)
    assert "extrapolated" in found.note


def test_few_bursts_are_not_resolved():
    """Fewer than 40 separate bursts do not resolve a boundary, whatever the interval says."""
    rates = (9.0, 11.0)
    flags = [np.zeros(3_000, dtype=bool) for _ in rates]
    flags[0][100:120] = True
    for start in range(0, 800, 200):
        flags[1][start : start + 100] = True
    found = fit_boundary(
        [Sample(rate, each, 0.05, memory=120.0) for rate, each in zip(rates, flags, strict=True)]
    )
    assert not found.resolved
    assert "separate bursts of misses" in found.note


def test_nothing_is_said_without_a_rise():
    """One load is no line, and misses that fall with the load have no boundary."""
    assert fit_boundary(samples(5, rates=(10.0,))) is None
    assert fit_boundary(samples(5, steepness=-8.0)) is None
    assert fit_boundary([]) is None


def test_where_no_request_misses_there_is_no_interval():
    """Loads without any miss do not tell where misses would begin."""
    found = fit_boundary([Sample(rate, np.zeros(5_000, dtype=bool), 0.05) for rate in (5.0, 6.0)])
    assert found is None or (found.low is None and not found.resolved)


def test_a_step_is_found_between_its_sides():
    """Where nobody misses below and all do above, the boundary lies between, and the fit stays finite."""
    flags = {
        9.0: np.zeros(2_000, dtype=bool),
        9.5: np.zeros(2_000, dtype=bool),
        10.5: np.ones(2_000, dtype=bool),
    }
    found = fit_boundary([Sample(rate, each, 0.05) for rate, each in flags.items()])
    assert 9.4 < found.rate < 10.5


def test_elasticity_is_that_of_the_statistic():
    """With a percentile that grows with the third power of the load, 1 % more load is 3 % more of it."""
    with_statistic = [
        Sample(each.rate, each.misses, each.allowed, each.memory, statistic=each.rate**3)
        for each in samples(6)
    ]
    found = fit_boundary(with_statistic, statistic="p95 ttft")
    assert found.elasticity == pytest.approx(3.0)
    assert found.elasticity_of == "p95 ttft"


def test_the_line_is_that_of_maximum_likelihood_in_large_samples():
    """Independent misses give back the line that they were drawn from, and an inflation near 1."""
    rng = np.random.default_rng(7)
    x = np.log([0.9, 1.0, 1.1])
    flags = [rng.random(200_000) < share(10 * math.exp(at)) for at in x]
    line = fit_line(x, flags)
    assert line.intercept == pytest.approx(logit(0.05), abs=0.03)
    assert line.slope == pytest.approx(8.0, rel=0.05)
    assert line.inflation < 1.6


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0.5, 50.0), st.integers(0, 200), st.integers(1, 200)), max_size=6))
def test_any_samples_give_an_ordered_answer_or_none(drawn):
    """Whatever the counts are, the ends of an interval lie on both sides of the estimate, near the loads."""
    found = fit_boundary([Sample(rate, np.arange(count) < missed, 0.05) for rate, missed, count in drawn])
    if found is not None:
        rates = [rate for rate, _, _ in drawn]
        assert 0.79 * min(rates) <= found.rate <= 1.26 * max(rates)
        assert found.low is None or found.low <= found.rate <= found.high
