"""What is known of the client's own conduct is true, and stays small for any length of run."""

import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

from benchkit.load.conduct import Conduct
from benchkit.load.run_queue import UNKNOWN, RunQueue
from benchkit.load.tape import TICK_DATA

MS = 1_000_000


_BUSY = """
import os, sys, time
os.sched_setaffinity(0, [int(sys.argv[1])])
print(flush=True)
end = time.monotonic() + 10
while time.monotonic() < end:
    pass
"""


def tick(conduct, at_ms, *, offset_ns=1, cpu_ms=0, switches=0, late_ms=0, waited_ns=0):
    data = TICK_DATA.pack(offset_ns, int(cpu_ms * MS), switches, int(late_ms * MS), waited_ns)
    conduct.tick(int(at_ms * MS), data)


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
        cpu_ms = at_ms / 4 if at_ms <= 2_000 else 5_000
        tick(conduct, at_ms, cpu_ms=cpu_ms, switches=at_ms, waited_ns=at_ms * MS // 10)
    usage = conduct.usage()
    assert usage.cpu_ns / usage.wall_ns == pytest.approx(0.25)
    assert usage.involuntary_switches == usage.wall_ns // MS
    assert usage.run_queue_ns == usage.wall_ns // 10
    assert usage.wall_ns > 850 * MS


def test_time_at_the_run_queue_is_unknown_where_the_platform_does_not_tell_it():
    """No number stands for what was not seen."""
    conduct = Conduct()
    for at_ms in (0, 200):
        tick(conduct, at_ms, waited_ns=UNKNOWN)
    assert conduct.usage().run_queue_ns is None


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_process_that_shares_a_core_waits_for_it():
    """Two busy processes on one core: each is ready and waits for about half of the time."""
    allowed = os.sched_getaffinity(0)
    core = min(allowed)
    busy = subprocess.Popen([sys.executable, "-c", _BUSY, str(core)], stdout=subprocess.PIPE)
    queue = RunQueue()
    try:
        assert busy.stdout.readline()
        os.sched_setaffinity(0, [core])
        began_ns, waited_ns = time.monotonic_ns(), queue.waited_ns()
        while time.monotonic_ns() - began_ns < 300 * MS:
            pass
        assert queue.waited_ns() - waited_ns > 60 * MS
    finally:
        os.sched_setaffinity(0, allowed)
        busy.kill()
        busy.communicate()
        queue.close()
    assert queue.waited_ns() == UNKNOWN


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
