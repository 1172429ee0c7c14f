"""The long-run variance of a series by its slowest cosines."""

import numpy as np
import pytest

from benchkit.analysis.long_run import COSINES, t_limit, variance_of_mean


def test_it_is_that_of_independent_values():
    """Over many series of noise its mean is 1/n, and it scatters as chi-square with eight degrees of freedom does."""
    values = np.random.default_rng(1).normal(size=(4_000, 500))
    found = variance_of_mean([values]) * 500
    assert found.mean() == pytest.approx(1.0, abs=0.03)
    assert found.var() == pytest.approx(2 / COSINES, rel=0.15)


def test_it_sees_the_memory_that_independent_values_would_hide():
    """An autoregression of 0.8 has a mean (1 + 0.8) / (1 - 0.8) = 9 times as uncertain as its variance says."""
    random = np.random.default_rng(2)
    noise = random.normal(size=(2_000, 2_100))
    series = np.empty_like(noise)
    series[:, 0] = noise[:, 0]
    for at in range(1, noise.shape[1]):
        series[:, at] = 0.8 * series[:, at - 1] + noise[:, at]
    kept = series[:, 100:]
    found = variance_of_mean([kept]).mean() * kept.shape[1] / kept.var()
    assert found == pytest.approx(9.0, rel=0.05)


def test_pieces_share_the_cosines():
    """Two halves of noise measured apart say as much as the whole; what lies between them is not looked at."""
    values = np.random.default_rng(3).normal(size=(3_000, 400))
    apart = variance_of_mean([values[:, :200], values[:, 200:] + 5.0])
    assert apart.mean() * 400 == pytest.approx(1.0, abs=0.04)


def test_a_series_without_room_for_a_cosine_has_none():
    """One value has no variance."""
    assert np.isnan(variance_of_mean([np.array([1.0])]))


def test_the_limit_is_students():
    """t of eight degrees of freedom at 95 %, by the tables."""
    assert t_limit() == pytest.approx(2.306, abs=5e-4)
    assert t_limit(0.95, 4) == pytest.approx(2.776, abs=5e-4)
