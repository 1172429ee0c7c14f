"""Load over time, and fleets under it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.analysis.fleet import fixed_fleet, over_time, scaling_fleet
from benchkit.analysis.fleet_size import Redundancy
from benchkit.analysis.load_profile import SHAPES, Profile, parse_profile, profile_of
from benchkit.errors import InvalidParameter

PLAIN = Redundancy()


def _steps(*rates, minutes=60, repeats=False):
    return Profile("steps", np.repeat(np.asarray(rates, dtype=float), minutes), repeats)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_ready_shape_has_the_peak_that_was_asked_for(shape):
    """It is a whole number of days of minutes, and its busiest minute is near the peak's full hour."""
    found = profile_of(shape, 50.0)
    assert found.peak == pytest.approx(50.0)
    assert found.hours % 24 == 0
    assert found.repeats
    assert found.rates.min() > 0


def test_a_shape_needs_a_peak():
    """Without one it has no size."""
    with pytest.raises(InvalidParameter, match="target_rps"):
        profile_of("office_day")


def test_a_csv_of_a_day(tmp_path):
    """Rows are joined by straight lines, and the night wraps round midnight."""
    file = tmp_path / "day.csv"
    file.write_text("# ours\ntime,rate\n06:00,10\n18:00,30\n")
    found = profile_of(str(file))
    assert (found.rates.size, found.repeats) == (1440, True)
    assert found.rates[6 * 60] == pytest.approx(10, abs=0.02)
    assert found.rates[12 * 60] == pytest.approx(20, abs=0.02)
    assert found.rates[0] == pytest.approx(20, abs=0.02)
    assert profile_of(str(file), 60.0).peak == pytest.approx(60)


@pytest.mark.parametrize(
    ("text", "minutes", "starts"),
    [
        ("0,1\n600,5\n", 10, "0"),
        ("time,rate\nMon 00:00,1\nSunday 12:00,5\n", 7 * 1440, "Mon 00:00"),
        ("2026-01-31T08:00,1\n2026-01-31T09:30,5\n", 90, "2026-01-31T08:00"),
    ],
)
def test_other_times(text, minutes, starts):
    """Seconds, weekdays and dates."""
    found = parse_profile(text, "x.csv")
    assert (found.rates.size, found.starts) == (minutes, starts)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,rate\n08:00,1\n", "two rows"),
        ("08:00,1\n07:00,2\n", "line 2: '07:00' is not later"),
        ("08:00,1\n9 am,2\n", "line 2: '9 am' is no time like the first"),
        ("08:00,1\n25:00,2\n", "line 2: '25:00'"),
        ("0,1\n60,x\n", "line 2: 'x' is no rate"),
        ("0,1\n60,-1\n", "line 2: '-1' is no rate"),
        ("0,1\n60\n", "line 2: 1 cells"),
        ("0,0\n60,0\n", "no rate is above 0"),
        ("0,1\n1e12,1\n", "longer than a year"),
    ],
)
def test_a_wrong_csv_is_refused(text, said):
    """With its line, and what should stand there."""
    with pytest.raises(InvalidParameter, match=said):
        parse_profile(text, "x.csv")


def test_a_missing_file_lists_the_shapes():
    """What is neither a file nor a shape."""
    with pytest.raises(InvalidParameter, match="office_day"):
        profile_of("ofice_day", 5)


def test_a_fixed_fleet():
    """Two servers of 10 carry the hours at 5 and 20, not the one at 25."""
    found = fixed_fleet(_steps(5, 20, 25), 10, 2)
    assert found.share_of_minutes == pytest.approx(2 / 3)
    assert found.share_of_requests == pytest.approx(25 / 50)
    assert found.server_hours == 6
    assert found.cost(2.0) == 12


def test_a_scaling_fleet_is_late_by_its_start_up():
    """A step up is served one minute (to see it) and the start-up later; a step down is kept for a while."""
    found = scaling_fleet(_steps(5, 25, 5), 10, PLAIN, start_up_s=300, scale_down_s=600)
    assert np.flatnonzero(~found.inside).tolist() == list(range(60, 66))
    assert found.paid[60] == 1
    assert found.paid[61] == 3
    assert found.ready[65] == 1
    assert found.ready[66] == 3
    assert np.flatnonzero(found.paid == 3).tolist() == list(range(61, 61 + 60 + 10))


def test_a_profile_that_repeats_begins_as_it_ends():
    """The first minute of a day that follows a busy evening finds that evening's servers."""
    found = scaling_fleet(_steps(5, 25, repeats=True), 10, PLAIN, start_up_s=0, scale_down_s=0)
    assert found.paid[0] == 3
    once = scaling_fleet(_steps(5, 25), 10, PLAIN, start_up_s=0, scale_down_s=0)
    assert once.paid[0] == 1


def test_headroom_makes_up_for_a_slow_start():
    """A gentle rise is carried in time when servers are ordered for a half more than is seen."""
    rise = Profile("rise", np.linspace(10, 30, 240), repeats=False)
    late = scaling_fleet(rise, 10, PLAIN, start_up_s=600, scale_down_s=0)
    ready = scaling_fleet(rise, 10, Redundancy(headroom=0.5), start_up_s=600, scale_down_s=0)
    assert late.share_of_minutes < 1
    assert ready.share_of_minutes == 1
    assert ready.server_hours > late.server_hours


@settings(deadline=None)
@given(
    st.lists(st.floats(0.1, 100), min_size=2, max_size=12),
    st.floats(0.5, 50),
    st.integers(0, 3),
    st.integers(0, 1800),
    st.integers(0, 1800),
    st.booleans(),
)
def test_fleets_hold_together(rates, per_server, spare, start_up_s, scale_down_s, repeats):
    """The fixed fleet for the peak misses nothing; none serves with servers it does not pay; more miss less."""
    profile = _steps(*rates, minutes=7, repeats=repeats)
    found = over_time(
        profile, per_server, Redundancy(spare=spare), start_up_s=start_up_s, scale_down_s=scale_down_s
    )
    assert found.fixed.share_of_minutes == 1
    assert (found.scaling.ready <= found.scaling.paid).all()
    assert found.scaling.most <= found.fixed.most
    shares = [each.share_of_requests for each in found.smaller]
    assert shares == sorted(shares)
    window = max(1, -(-scale_down_s // 60))
    wanted = np.ceil(profile.rates / per_server - 1e-9) + spare
    for at in range(window, profile.rates.size):
        assert found.scaling.paid[at] >= wanted[at - window : at].max()
