"""What helps the load gives way to it."""

import os
import platform
import subprocess
import sys

import pytest

_CODE = (
    "from benchkit.load import priority; import os; priority.{name}(); print(os.nice(0), os.sched_getscheduler(0)); "
    "print(open('/proc/self/autogroup').read() if os.path.exists('/proc/self/autogroup') else 'nice {nice}')"
)


@pytest.mark.skipif(sys.platform != "linux", reason="scheduling classes are Linux's")
@pytest.mark.parametrize(
    ("name", "nice", "policy"), [("give_way", 10, "SCHED_OTHER"), ("give_way_to_all", 19, "SCHED_IDLE")]
)
def test_a_process_gives_way_within_and_across_sessions(name, nice, policy):
    """Niceness and policy hold within a session, the autogroup's niceness across sessions."""
    done = subprocess.run(
        [sys.executable, "-c", _CODE.format(name=name, nice=nice)],
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )

    assert done.stdout.split()[:2] == [str(nice), str(getattr(os, policy))]
    assert done.stdout.strip().endswith(f"nice {nice}")


@pytest.mark.skipif(sys.platform != "linux", reason="turns of a length that one asks for are Linux's")
def test_short_turns_are_asked_for_and_priority_is_kept():
    """The kernel gives back the turn that was asked for, and the niceness that was there before."""
    code = (
        "import ctypes, os, struct, benchkit.load.priority as p;"
        "os.nice(3); p.be_prompt();"
        "room = ctypes.create_string_buffer(48);"
        "number = {'x86_64': 315, 'aarch64': 275}[os.uname().machine];"
        "assert ctypes.CDLL(None).syscall(number, 0, room, 48, 0) == 0;"
        "print(os.getpriority(os.PRIO_PROCESS, 0), p._SCHED_ATTR.unpack(room.raw)[5])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    nice, turn_ns = done.stdout.split()
    assert nice == "3"
    if tuple(map(int, platform.release().split(".")[:2])) >= (6, 12):
        assert turn_ns == "100000"


_FIRST = """
import os, resource, subprocess, sys, time, benchkit.load.priority as p
hard_us = int(os.environ.get("HARD_US", resource.RLIM_INFINITY))
resource.setrlimit(resource.RLIMIT_RTTIME, (hard_us, hard_us))
granted = p.go_first()
assert p.goes_first() == granted
command = [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"]
child = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
at = time.process_time()
while p.goes_first() and time.process_time() - at < 5:
    pass
print(granted, child, round(time.process_time() - at, 1), os.sched_getscheduler(0))
"""


def _first(**environment):
    done = subprocess.run(
        [sys.executable, "-c", _FIRST],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return done.stdout.split()


@pytest.mark.root
@pytest.mark.skipif(sys.platform != "linux", reason="real-time turns are Linux's")
@pytest.mark.parametrize(("limits", "least_s", "most_s"), [({}, 0.3, 2.0), ({"HARD_US": "400000"}, 0.1, 0.4)])
def test_who_goes_first_gives_the_core_back_when_it_never_sleeps(limits, least_s, most_s):
    """Children of a process that goes first do not, nor does it after half a second without a sleep.

    Nor is it killed where the system allows it less than that.
    """
    granted, child, seconds, policy = _first(BENCHKIT_FALLBACKS="", **limits)
    if granted == "False":
        pytest.skip("the system does not permit it: needs root, or ulimit -r 1")
    assert (child, policy) == (str(os.SCHED_OTHER), str(os.SCHED_OTHER))
    assert least_s <= float(seconds) <= most_s


def test_nobody_goes_first_who_is_not_let():
    """Where it is switched off, as where the system does not permit it, a process stays what it was."""
    assert _first(BENCHKIT_FALLBACKS="realtime")[0] == "False"
