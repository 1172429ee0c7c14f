"""Who gives way to whom at the processor: what helps the load to the process that measures."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
from pathlib import Path

from benchkit.load.clock import forced_fallbacks

_SCHED_ATTR = struct.Struct("=IIQiIQQQ")
"""``struct sched_attr``: size, policy, flags, nice, real-time priority, runtime, deadline, period."""
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
"""Number of the system call by machine: glibc has no function for it."""
_TURN_NS = 100_000
_AUTOGROUP = Path("/proc/self/autogroup")
_LONGEST_US = 500_000
"""CPU time that a process which goes first may take without a moment's sleep, in microseconds."""


def give_way() -> None:
    """Takes a small share of the processor where it is wanted by others too: about a tenth of theirs."""
    _be_nice(10)


def give_way_to_all() -> None:
    """Takes only the processor time that nobody else wants, where the platform can say so."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    _be_nice(19)


def _be_nice(level: int) -> None:
    with contextlib.suppress(OSError):
        # Linux shares processor time between sessions first (autogroups): niceness counts only within one.
        _AUTOGROUP.write_text(str(level), encoding="ascii")
    with contextlib.suppress(OSError):
        os.nice(level)


def be_prompt() -> None:
    """Asks for short turns at the processor, which come sooner (Linux 6.12 on; elsewhere nothing changes).

    Who wakes up otherwise lets whoever runs finish its turn of some 3 ms, however low that one's priority.
    Source: sched_setattr(2), Documentation/scheduler/sched-eevdf.rst of the kernel.
    """
    number = _SCHED_SETATTR.get(os.uname().machine) if sys.platform == "linux" else None
    if number is None:
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, os.SCHED_OTHER, 0, nice, 0, _TURN_NS, 0, 0)
    ctypes.CDLL(None).syscall(number, 0, attributes, 0)


def go_first() -> bool:
    """Takes the processor whenever there is something to do, where the system permits it (root, or ``ulimit -r 1``).

    Beside a server that computes on every core, a process that wakes up was seen to wait 0.1 to 1 s for its turn, with
    short turns and under each niceness (Linux 6.18). One that takes half a second without a sleep would keep others
    from a core: then, and when a child is made, it is an ordinary process again. Source: sched(7).

    Returns:
        Whether it was permitted.
    """
    if sys.platform != "linux" or "realtime" in forced_fallbacks():
        return False
    signal.signal(signal.SIGXCPU, lambda *_: go_in_turn())
    try:
        _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
        # At the hard limit the kernel kills: the warning has to come well before it.
        soft = _LONGEST_US if hard == resource.RLIM_INFINITY else min(_LONGEST_US, hard // 2)
        resource.setrlimit(resource.RLIMIT_RTTIME, (soft, hard))
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:
        return False
    return True


def go_in_turn() -> None:
    """Is an ordinary process again, with short turns."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    be_prompt()


def goes_first() -> bool:
    """Whether this process takes the processor before all ordinary ones now."""
    return sys.platform == "linux" and os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR
