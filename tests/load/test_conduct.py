"""What is known of the client's own conduct is true, and stays small for any length of run."""

import pickle

import numpy as np
import pytest

from benchkit.load.conduct import Conduct
from benchkit.load.tape import TICK_DATA

MS = 1_000_000


def tick(conduct, at_ms, *, offset_ns=1, cpu_ms=0, switches=0, late_ms=0):
    conduct.tick(int(at_ms * MS), TICK_DATA.pack(offset_ns, int(cpu_ms * MS), switches, int(late_ms * MS)))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99, 0.999])
def test_quantiles_of_the_lag(share):
    """A quantile is at most 4.5 % above the true one, over six orders of magnitude."""
    lags = np.sort((np.random.default_rng(3).lognormal(11, 3, 50_000)).astype(np.int64))
    conduct = Conduct()
    for start in range(0, len(lags), 7_000):
        conduct.note_lags(lags[start : start + 7_000].tolist())
    true = lags[int(np.ceil(share * len(lags))) - 1]
    assert true <= conduct.lag_quantile_ns(share) <= true * 1.045 + 1


def test_the_largest_lag_is_exact():
    """The maximum is no bin's edge; no lag at all is null."""
    conduct = Conduct()
    assert conduct.lag_quantile_ns(1.0) is None
    conduct.note_lags([])
    conduct.note_lags([0, 123_457])
    conduct.note_lags([5])
    assert conduct.lag_max_ns == conduct.lag_quantile_ns(1.0) == 123_457
    assert conduct.lag_quantile_ns(0.3) <= 1


def test_usage_is_what_was_taken_between_the_windows_ticks():
    """CPU and switches of the time in the window, whatever was before and behind it."""
    conduct = Conduct()
    conduct.window_ns, conduct.window_end_ns = 1_000 * MS, 2_000 * MS
    for at_ms in range(0, 3_000, 20):
        tick(conduct, at_ms, cpu_ms=at_ms / 4 if at_ms <= 2_000 else 5_000, switches=at_ms)
    usage = conduct.usage()
    assert usage.cpu_ns / usage.wall_ns == pytest.approx(0.25)
    assert usage.involuntary_switches == usage.wall_ns // MS
    assert usage.wall_ns > 850 * MS


def test_without_two_ticks_nothing_is_claimed():
    """One look is no difference."""
    conduct = Conduct()
    assert conduct.usage() is None
    tick(conduct, 5)
    assert conduct.usage() is None


def test_days_of_ticks_take_no_more_room_than_minutes():
    """The ticks are thinned out as they grow; the share of CPU stays right, also of an early end."""
    conduct = Conduct()
    steps_ms = 100
    for step in range(20_000):
        tick(conduct, step * steps_ms, cpu_ms=step * steps_ms * 0.3)
    assert len(pickle.dumps(conduct)) < 100_000
    conduct.window_end_ns = 2_000 * steps_ms * MS
    usage = conduct.usage()
    assert usage.cpu_ns / usage.wall_ns == pytest.approx(0.3)
    assert usage.wall_ns == pytest.approx(conduct.window_end_ns, rel=0.02)


def test_the_longest_gap_of_the_loop_is_the_windows():
    """A late tick counts where it falls in the window."""
    conduct = Conduct()
    conduct.window_ns, conduct.window_end_ns = 100 * MS, 200 * MS
    for at_ms, late_ms in ((50, 40), (120, 7), (160, 3), (250, 90)):
        tick(conduct, at_ms, late_ms=late_ms)
    assert conduct.loop_gap_max_ns == 7 * MS


@pytest.mark.parametrize(
    ("change_ns", "step_ns"), [(10_000, 0), (-900_000, 0), (3 * MS, 3 * MS), (-5 * MS, 5 * MS)]
)
def test_a_step_is_more_than_a_clock_is_slewed(change_ns, step_ns):
    """Slewing between two looks is no step, in either direction; more is."""
    conduct = Conduct()
    tick(conduct, 0, offset_ns=10**18)
    tick(conduct, 20, offset_ns=10**18 + change_ns)
    assert conduct.clock_step_ns == step_ns
    assert conduct.offset_ns == 10**18 + change_ns
