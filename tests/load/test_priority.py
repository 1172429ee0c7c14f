"""What helps the load gives way to it."""

import os
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
