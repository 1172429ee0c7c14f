"""Who gives way to whom at the processor: what helps the load to the process that measures."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from pathlib import Path

_SCHED_ATTR = struct.Struct("=IIQiIQQQ")
"""``struct sched_attr``: size, policy, flags, nice, real-time priority, runtime, deadline, period."""
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
"""Number of the system call by machine: glibc has no function for it."""
_TURN_NS = 100_000
_AUTOGROUP = Path("/proc/self/autogroup")


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
