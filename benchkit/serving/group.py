"""Ends a process group, whoever its members are by now."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

import psutil


def end_group(process_group: int, grace_s: float, leader: subprocess.Popen[bytes] | None = None) -> None:
    """Ends all processes of a group: SIGTERM, and SIGKILL for what is left after ``grace_s``."""
    for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process_group, number)
        deadline = time.monotonic() + wait_s
        pause_s = 0.002
        while _group_lives(process_group, leader):
            if time.monotonic() > deadline:
                break
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 0.05)
        else:
            return


def _group_lives(process_group: int, leader: subprocess.Popen[bytes] | None) -> bool:
    """Whether the group has a process that is no zombie."""
    if leader is not None:
        leader.poll()
    for pid in psutil.pids():
        try:
            if os.getpgid(pid) == process_group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return True
        except (OSError, psutil.Error):
            continue
    return False
