"""The benchmark of paired comparisons in virtual time is set up as it says."""

import ab_power
import pytest
from ab_power import LOADS, SATURATED_AT, Outcome, Trial, compare, mean_itl, missed, saturation


def test_half_load_is_half_of_what_saturates():
    """The rate of the open loop is half of what the engine carries."""
    assert saturation() == pytest.approx(SATURATED_AT, rel=0.05)
    assert LOADS[0][2] == SATURATED_AT / 2


def test_a_slower_engine_has_longer_gaps(monkeypatch):
    """Without noise of the machine or of steps, 5 % longer steps lengthen the mean ITL of a closed loop by 5 %."""
    monkeypatch.setattr(ab_power, "WINDOW_S", 6.0)
    base, slower = (mean_itl(speed, "concurrent", 8, 1, 1) for speed in (1.0, 1.05))
    assert slower / base == pytest.approx(1.05, abs=0.01)


def test_a_comparison_is_the_same_each_time(monkeypatch):
    """A trial is drawn from its number alone, and other numbers give other trials."""
    monkeypatch.setattr(ab_power, "WINDOW_S", 2.0)
    assert compare(Trial(1, 0)) == compare(Trial(1, 0))
    assert compare(Trial(1, 0)).ratio != compare(Trial(1, 1)).ratio


def test_missed_goals_are_named():
    """Too few findings and too many alarms are named, by load."""
    good, bad = [Outcome(True, False, 1.05, 0.01)] * 20, [Outcome(False, True, 1.0, 0.01)] * 20
    assert missed([good, good]) == []
    assert missed([good, bad]) == ["closed loop of 32: 0.0% found", "closed loop of 32: 20 alarms of 20"]
