"""Differences of two sides against numbers worked out another way."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchkit.analysis.difference import decide, difference, holm, p_beyond
from benchkit.analysis.power import needed, spread_range, visible_change

BASE = (100.0, 101.0, 99.0, 100.5, 98.5)
SLOWER = (105.0, 106.0, 104.5, 105.0, 103.9)
_values = st.lists(st.floats(1, 1e4), min_size=2, max_size=8)


def test_paired_is_students_t_on_log_ratios():
    """Pairs give Student's t on the differences of logarithms, with its interval as a ratio."""
    found = difference(BASE, SLOWER, paired=True)
    expected = stats.ttest_rel(np.log(SLOWER), np.log(BASE))
    low, high = expected.confidence_interval(0.95)
    assert found.method == "paired t on log ratios"
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert found.n == 5


def test_unpaired_is_welchs_t_on_logarithms():
    """Two sides of unequal size without pairs give Welch's t, with at most his degrees of freedom."""
    found = difference(BASE, SLOWER[:3], paired=False)
    expected = stats.ttest_ind(np.log(SLOWER[:3]), np.log(BASE), equal_var=False)
    assert found.log_ratio / found.standard_error == pytest.approx(expected.statistic)
    assert 0.8 * expected.df < found.freedom <= expected.df
    half = stats.t.ppf(0.975, found.freedom) * found.standard_error
    assert (found.low, found.high) == pytest.approx(
        (math.exp(found.log_ratio - half), math.exp(found.log_ratio + half))
    )


def test_a_few_runs_that_lie_close_by_chance_are_not_believed():
    """Three runs close together against ten: fewer degrees of freedom than where the three scatter as the ten do."""
    ten = [98.0, 99.0, 100.0, 101.0, 102.0, 98.5, 99.5, 100.5, 101.5, 100.0]
    close, wide = ([100 - by, 100.0, 100 + by] for by in (0.5, 1.3))
    found = difference(ten, close, paired=False)
    assert found.freedom < stats.ttest_ind(np.log(close), np.log(ten), equal_var=False).df - 1
    assert difference(ten, wide, paired=False).freedom < 8


def test_equal_sides_have_corrected_degrees_of_freedom():
    """Sides of equal size have Welch's t, and more degrees of freedom than his, never more than with one variance."""
    found, expected = (
        difference(BASE, SLOWER, paired=False),
        stats.ttest_ind(np.log(SLOWER), np.log(BASE), equal_var=False),
    )
    assert found.log_ratio / found.standard_error == pytest.approx(expected.statistic)
    assert expected.df < found.freedom <= 8
    one_sided = difference([100.0, 100.0001, 99.9999], [90.0, 100.0, 110.0], paired=False)
    assert one_sided.freedom == pytest.approx(2, abs=1e-3)


@given(base=_values, scale=st.floats(0.5, 2), paired=st.booleans())
def test_a_common_scale_is_the_ratio(base, scale, paired):
    """A side that is the other one scaled has that scale as its ratio, and swapping the sides inverts it."""
    new = [scale * value for value in base]
    there, back = difference(base, new, paired=paired), difference(new, base, paired=paired)
    assert there.ratio == pytest.approx(scale)
    assert back.ratio == pytest.approx(1 / scale)
    assert back.low == pytest.approx(1 / there.high)
    assert decide(there, 0.1, "rise") in ("pass", "fail", "inconclusive")


def test_words_of_a_difference():
    """A difference is told by its interval, in the metric's own direction."""
    assert difference(BASE, SLOWER, paired=True).words() == "slower by 4.5-5.6 %"
    assert difference(SLOWER, BASE, paired=True).words() == "faster by 4.3-5.3 %"
    rates = difference(BASE, SLOWER, paired=True, higher_is_worse=False)
    assert rates.words() == "higher by 4.5-5.6 %"
    assert rates.words(better="more tokens") == "more tokens by 4.5-5.6 %"


def test_words_without_a_difference():
    """An interval round no difference tells how large one may still be, if that is small enough to matter."""
    found = difference((100, 101, 99), (101, 99, 100), paired=False)
    assert found.words(sees=0.05) == "no difference larger than 2.3 % (95 %)"
    assert found.words(sees=0.02) == "cannot tell: 1 to 19 more runs a side to see 2 %"
    assert found.largest() == pytest.approx(0.0229, abs=1e-4)


def test_a_single_run_is_inconclusive():
    """One run a side has a ratio and no interval, and says why."""
    found = difference([100.0], [200.0], paired=False)
    assert found.ratio == pytest.approx(2)
    assert (found.low, found.p) == (None, None)
    assert "single run" in found.words()
    assert decide(found, 0.1, "rise") == "inconclusive"


@pytest.mark.parametrize(
    ("base", "new", "why"),
    [
        ([], [1.0], "no runs"),
        ([1.0, 2.0], [1.0, float("nan")], "not every run"),
        ([1.0, 2.0], [1.0, None], "not every run"),
        ([0.0, 1.0], [1.0, 2.0], "not above zero"),
    ],
)
def test_what_has_no_ratio_says_why(base, new, why):
    """Without a ratio there is a reason in words, never an error or an invented number."""
    found = difference(base, new, paired=False)
    assert found.ratio is None
    assert why in found.words()


def test_pairs_come_in_twos():
    """Pairs of unequal number are a mistake of the caller."""
    with pytest.raises(ValueError, match="as many runs"):
        difference([1.0, 2.0], [1.0], paired=True)
    with pytest.raises(ValueError, match="one server start for each run"):
        difference([1.0, 2.0], [1.0, 2.0], paired=True, starts=([1], [1, 2]))


def test_floor_is_the_least_spread():
    """Sides that repeat themselves exactly are as sure as their client is, not infinitely sure."""
    without = difference([100.0] * 5, [100.4] * 5, paired=True)
    assert without.p == 0
    with_floor = difference([100.0] * 5, [100.4] * 5, paired=True, floor=0.01)
    assert with_floor.sd_log == pytest.approx(math.sqrt(2) * 0.01)
    assert not with_floor.differs()
    assert difference([100.0] * 5, [100.4] * 5, paired=False, floor=0.01).sd_log == pytest.approx(0.01)


def test_runs_of_one_server_start_are_one_value():
    """Six runs in two starts a side count as two values a side."""
    base, new = [100, 101, 100, 110, 111, 110], [105, 106, 105, 116, 117, 116]
    starts = [1, 1, 1, 2, 2, 2], [3, 3, 3, 4, 4, 4]
    found = difference(base, new, paired=False, starts=starts)
    means = [[np.log(side[:3]).mean(), np.log(side[3:]).mean()] for side in (base, new)]
    assert found.units == (2, 2)
    assert found.runs == (6, 6)
    assert found.log_ratio / found.standard_error == pytest.approx(
        stats.ttest_ind(means[1], means[0], equal_var=False).statistic
    )
    assert difference(base, new, paired=True, starts=starts).units == (2, 2)


def test_one_start_a_side_is_said():
    """Repeats of one start a side say nothing of other starts, and the result says so; one shared start drops out."""
    assert "another start" in difference(BASE, SLOWER, paired=True, starts=([1] * 5, [2] * 5)).note
    assert difference(BASE, SLOWER, paired=True, starts=([1] * 5, [1] * 5)).note == ""


def test_holm_by_hand():
    """The smallest p is multiplied by the number of tests, the next by one less, never falling."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_decide_has_three_answers():
    """Fail wholly beyond the threshold, pass wholly short of it, inconclusive between; each side by its direction."""
    found = difference(BASE, SLOWER, paired=True)
    assert decide(found, 0.03, "rise") == "fail"
    assert decide(found, 0.10, "rise") == "pass"
    assert decide(found, 0.05, "rise") == "inconclusive"
    assert decide(found, 0.03, "drop") == "pass"
    assert decide(difference(SLOWER, BASE, paired=True), 0.03, "drop") == "fail"
    assert p_beyond(found, 0.03, "rise") < 0.05 < p_beyond(found, 0.05, "rise")


def test_fail_is_the_ninety_percent_interval():
    """At 5 % a gate fails exactly where the 90 % interval lies beyond the threshold."""
    found = difference(BASE, SLOWER, paired=False)
    low, high = found.interval(0.90)
    assert decide(found, low - 1 - 1e-9, "rise") == "fail"
    assert decide(found, low - 1 + 1e-9, "rise") == "inconclusive"
    assert decide(found, high - 1 + 1e-9, "rise") == "pass"


def test_permutation_from_six_a_side():
    """From six a side chance is also counted out: all deals of the values, all flips of the pairs."""
    base, new = [*BASE, 99.5], [*SLOWER, 104.0]
    assert difference(BASE, SLOWER, paired=True).permutation_p is None
    assert difference(base, new, paired=True).permutation_p == pytest.approx(2 / 2**6)
    assert difference(base, new, paired=False).permutation_p == pytest.approx(2 / math.comb(12, 6))


def test_permutation_is_uniform_where_nothing_differs():
    """Without a difference the test finds one at 5 % in about 5 % of cases."""
    rng = np.random.default_rng(7)
    p = [
        difference(*np.exp(rng.normal(0, 0.02, (2, 6))).tolist(), paired=paired).permutation_p
        for paired in (True, False)
        for _ in range(200)
    ]
    assert 0.02 < np.mean(np.asarray(p) <= 0.05) < 0.09


def test_permutation_of_many_is_drawn():
    """With too many arrangements to count, as many are drawn, the same ones each time."""
    rng = np.random.default_rng(1)
    base, new = np.exp(rng.normal(0, 0.02, (2, 20))).tolist()
    for paired in (True, False):
        found = difference(base, new, paired=paired)
        assert found.permutation_p == difference(base, new, paired=paired).permutation_p
        assert found.permutation_p == pytest.approx(found.p, abs=0.03)


def test_needed_has_the_power_that_it_promises():
    """As many runs as are asked for see the change in 90 % of cases, and one fewer does not."""
    for values in (1, 2):
        count = needed(0.03, 0.05, values=values)
        power = [_power(0.03, math.log(1.05), n, values) for n in (count - 1, count)]
        assert power[0] < 0.905
        assert power[1] > 0.895


def _power(sd, apart, count, values):
    freedom = values * (count - 1)
    shift = apart / (sd * math.sqrt(values / count))
    return stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, shift)


def test_visible_change_is_the_inverse_of_needed():
    """What so many runs can see, so many runs are needed for."""
    for count, values in ((5, 1), (8, 2)):
        change = visible_change(0.02, 1e6, count=count, values=values)
        assert change.low == pytest.approx(change.high, rel=0.01)
        assert needed(0.02, change.high * 1.01, values=values) == count


def test_a_spread_by_three_runs_is_hardly_known():
    """From four degrees of freedom the number of runs that follows is good to a factor of 0.5 to 3.8 only."""
    low, high = spread_range(1.0, 4)
    assert (low**2, high**2) == pytest.approx((4 / 7.779, 4 / 1.064), rel=1e-3)
