"""Weighted percentiles against numpy on the repeated sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.analysis.quantiles import Sample

percents = st.sampled_from([0.0, 1.0, 12.5, 50.0, 90.0, 95.0, 99.0, 99.9, 100.0])


@st.composite
def weighted(draw, most_weight=5):
    """Integer values in ns with ties, and whole-number weights, some of them 0."""
    count = draw(st.integers(1, 60))
    values = draw(st.lists(st.integers(0, 50) | st.integers(0, 2**40), min_size=count, max_size=count))
    weights = draw(st.lists(st.integers(0, most_weight), min_size=count, max_size=count))
    weights[draw(st.integers(0, count - 1))] = most_weight
    return np.array(values), np.array(weights, dtype=np.int32)


def repeated(values, weights, divisor, shared):
    """The expanded sample that a weighted one stands for."""
    own = values / (divisor * np.maximum(weights, 1)) if shared else values / divisor
    return np.repeat(own, weights)


@settings(deadline=None)
@given(weighted(), percents, st.sampled_from([1.0, 1e6]), st.booleans())
def test_weighted_percentile_is_numpys_of_the_repeated_sample(sample, percent, divisor, shared):
    """A percentile equals numpy's linear one of the values repeated by their weights."""
    values, weights = sample
    expected = np.percentile(repeated(values, weights, divisor, shared), percent)
    actual = Sample(values, weights, divisor=divisor, shared=shared).percentile(percent)
    assert actual == pytest.approx(expected, rel=1e-12, abs=1e-300)


@settings(max_examples=40, deadline=None)
@given(weighted(most_weight=200), percents)
def test_many_different_weights_are_no_exception(sample, percent):
    """Weights beyond the most common ones go through one shared group, with the same result."""
    values, weights = sample
    values = np.concatenate((values, np.arange(100)))
    weights = np.concatenate((weights, np.arange(1, 101)))
    expected = np.percentile(repeated(values, weights, 1e6, True), percent)
    actual = Sample(values, weights, divisor=1e6, shared=True).percentile(percent)
    assert actual == pytest.approx(expected, rel=1e-12, abs=1e-300)


@settings(deadline=None)
@given(weighted())
def test_moments_are_numpys_of_the_repeated_sample(sample):
    """Count, mean, std (ddof 1), min and max are those of the repeated sample."""
    values, weights = sample
    expanded = repeated(values, weights, 1e6, True)
    found = Sample(values, weights, divisor=1e6, shared=True).describe()
    assert found["count"] == expanded.size
    assert found["mean"] == pytest.approx(expanded.mean(), rel=1e-9, abs=1e-300)
    assert (found["min"], found["max"]) == (expanded.min(), expanded.max())
    if expanded.size > 1:
        assert found["std"] == pytest.approx(expanded.std(ddof=1), rel=1e-6, abs=1e-6)


@settings(deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40), st.integers(0, 5), percents)
def test_failures_count_as_worse_than_any_value(values, worse, percent):
    """With values worse than any added, a percentile that touches one is infinite and others shift up."""
    position = percent / 100 * (len(values) + worse - 1)
    ordered = [*sorted(values), *[math.inf] * worse]
    last = ordered[math.ceil(position)]
    actual = Sample(np.array(values)).percentile(percent, worse=worse)
    if math.isinf(last):
        assert actual == math.inf
    else:
        assert ordered[math.floor(position)] <= actual <= last


def test_nulls_are_left_out_and_an_empty_sample_gives_nulls():
    """NaN is no value; without values there is a count of 0 and nothing else."""
    assert Sample(np.array([np.nan, 2.0, np.nan])).describe()["p99"] == 2.0
    empty = Sample(np.array([np.nan])).describe()
    assert empty.pop("count") == 0
    assert set(empty.values()) == {None}


def test_one_value_has_no_standard_deviation():
    """Std with ddof 1 is null for a single value, not 0."""
    assert Sample(np.array([3])).describe()["std"] is None


def test_large_integers_are_not_cut_to_32_bits():
    """Times above 2.1 s in ns keep their value."""
    assert Sample(np.array([5_000_000_000, 1]), divisor=1e6).max == 5000.0
