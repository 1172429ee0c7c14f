"""The memory of a run."""

import numpy as np
import pytest
from scipy.signal import lfilter

from benchkit.analysis.run_memory import autocovariances, memory


def autoregression(weight, count, seed):
    """A series in which each value keeps that share of the one before."""
    return lfilter([1.0], [1.0, -weight], np.random.default_rng(seed).standard_normal(count))


def test_independent_values_have_no_memory():
    """Of independent values each stands for itself."""
    assert memory([np.random.default_rng(0).lognormal(size=20_000)]) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("weight", [0.5, 0.9, 0.98])
def test_an_autoregression_has_the_memory_that_theory_says(weight):
    """(1 + w) / (1 - w) is the integrated autocorrelation time of an autoregression of order one."""
    assert memory([autoregression(weight, 100_000, 1)]) == pytest.approx(
        (1 + weight) / (1 - weight), rel=0.25
    )


def test_a_heavy_tail_does_not_hide_it():
    """Only the order of values counts: their exponentials remember as much."""
    series = autoregression(0.9, 5_000, 2)
    assert memory([np.exp(5 * series)]) == memory([series])


def test_the_longest_counts():
    """Of several series the one that remembers most decides."""
    short, long = np.random.default_rng(3).standard_normal(5_000), autoregression(0.95, 5_000, 3)
    assert memory([short, long]) == memory([long]) > memory([short])


@pytest.mark.parametrize("series", [np.empty(0), np.ones(500), np.arange(5.0)])
def test_what_is_too_short_or_constant_counts_as_one(series):
    """There is nothing to estimate in a constant, or in a few values."""
    assert memory([series]) == 1.0


def test_a_trend_remembers_all():
    """What only rises has a memory of the order of its length, and never more."""
    assert 100 < memory([np.arange(1_000.0)]) <= 1_000


def test_autocovariances_are_those_of_the_definition():
    """By the Fourier transform as by the sum."""
    values = np.random.default_rng(4).standard_normal(50)
    centred = values - values.mean()
    by_sum = [float(centred[lag:] @ centred[: 50 - lag]) / 50 for lag in range(50)]
    assert autocovariances(values) == pytest.approx(by_sum, abs=1e-12)
