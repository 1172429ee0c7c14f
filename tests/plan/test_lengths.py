"""Wanted lengths: exact means, bounds, and independence of who asks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchkit.plan.lengths import Lengths, UniformLengths, bounds
from benchkit.plan.randomness import Purpose, Stream


def _uniform(input_spread, output_spread, seed=0):
    stream = Stream(seed, 0, "window", Purpose.LENGTHS)
    return UniformLengths(512, input_spread, 256, output_spread, stream)


@pytest.mark.parametrize(
    ("tokens", "spread", "expected"),
    [
        (512, 0.0, (512, 512)),
        (512, 0.5, (256, 768)),
        (10, 0.3, (7, 13)),
        (100, 0.29, (71, 129)),
        (1, 0.9, (1, 1)),
    ],
)
def test_bounds(tokens, spread, expected):
    """The spread reaches equally far to both sides."""
    assert bounds(tokens, spread) == expected


@given(st.integers(1, 10**7), st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_bounds_leave_a_token(tokens, spread):
    """No spread below 1 makes an empty prompt, and the mean stays what was asked for."""
    low, high = bounds(tokens, spread)
    assert 1 <= low <= tokens <= high
    assert low + high == 2 * tokens


def test_no_spread():
    """Without a spread all lengths are the same."""
    lengths = _uniform(0.0, 0.0)
    assert [lengths.at(i) for i in (0, 5, 10**9)] == [Lengths(512, 256)] * 3


def test_uniform_and_independent():
    """Lengths are uniform on their bounds, prompts independent of answers."""
    lengths = _uniform(0.5, 0.25)
    drawn = np.array([lengths.at(i) for i in range(20_000)])
    for column, (low, high) in enumerate([(256, 768), (192, 320)]):
        assert drawn[:, column].min() == low
        assert drawn[:, column].max() == high
        counts = np.bincount(drawn[:, column] - low, minlength=high - low + 1)
        assert stats.chisquare(counts).pvalue > 0.01
    assert stats.spearmanr(drawn).pvalue > 0.01


def test_any_order():
    """A request's lengths do not depend on which were asked for before it."""
    forward = [_uniform(0.5, 0.5).at(i) for i in range(3000)]
    one = _uniform(0.5, 0.5)
    assert [one.at(i) for i in reversed(range(3000))] == forward[::-1]


@pytest.mark.parametrize("spread", [0.0, 0.5])
@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 2500])
def test_total(spread, count):
    """Totals are the sums of the single lengths."""
    lengths = _uniform(spread, spread)
    drawn = [lengths.at(i) for i in range(count)]
    assert lengths.total(count) == Lengths(
        sum(d.prompt_tokens for d in drawn), sum(d.output_tokens for d in drawn)
    )
