"""Looks at fixed numbers of runs, with the error spent among them."""

import numpy as np
import pytest
from scipy import stats

from benchkit.analysis.difference import difference
from benchkit.analysis.looks import looks_of, spent


def test_looks_double_up_to_what_is_asked_for():
    """Looks are at 5, 10, 20 … and at the last run; a few runs are looked at once."""
    assert looks_of(3) == (3,)
    assert looks_of(5) == (5,)
    assert looks_of(8) == (5, 8)
    assert looks_of(20) == (5, 10, 20)


def test_levels_are_those_of_the_tables():
    """Equally spaced looks have Pocock's nominal levels; one look has the whole error."""
    assert spent((7,)) == 0.05
    assert spent((5, 10)) == pytest.approx(0.0294, abs=1e-4)
    assert spent((5, 10, 15)) == pytest.approx(0.0221, abs=1e-4)
    assert spent((5, 10), alpha=0.01) == pytest.approx(0.0056, abs=1e-4)


def test_looks_keep_the_error_and_looking_after_each_run_does_not():
    """Stopping at the first difference errs in 5 % with the error spent, and far more often without."""
    rng = np.random.default_rng(11)
    values = rng.standard_normal((20_000, 20))
    looks = looks_of(20)
    assert _ever(values, looks, spent(looks)) == pytest.approx(0.053, abs=0.006)
    assert _ever(values, range(5, 21), 0.05) > 0.12


def _ever(values, looks, level):
    found = np.zeros(len(values), dtype=bool)
    for count in looks:
        seen = values[:, :count]
        t = seen.mean(axis=1) / (seen.std(axis=1, ddof=1) / np.sqrt(count))
        found |= 2 * stats.t.sf(np.abs(t), count - 1) < level
    return found.mean()


def test_a_look_widens_the_interval():
    """A difference at one of several looks has the interval of its smaller error, and says so."""
    sides = (100, 101, 99, 100), (101, 99, 100, 100)
    once, look = (difference(*sides, paired=False, alpha=alpha) for alpha in (0.05, 0.03))
    assert look.low < once.low
    assert look.high > once.high
    assert look.words(sees=0.1).endswith("(97 %)")
