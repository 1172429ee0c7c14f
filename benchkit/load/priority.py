"""Processes that give way to the one that measures."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

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
