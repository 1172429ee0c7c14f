"""Remembers which processes work on a run, so that nobody finishes a folder that is still being written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import psutil

from benchkit.records.atomic import atomic_write

__all__ = ["FILE_NAME", "Process", "forget", "is_running", "remember", "running"]

FILE_NAME = "pids.json"
_SAME_START_S = 2.0
"""A start time is derived from the boot time, which moves when the clock is set; a reused number is rarer."""


class Process(NamedTuple):
    """A process that works on a run."""

    role: str
    """``runner``, ``worker 0``, ``transcriber 0``, …"""
    pid: int
    create_time: float
    """Seconds since the epoch; tells the process from a later one of the same number."""


def remember(folder: Path, role: str, pid: int) -> None:
    """Add a live process to the list in the run's folder; one that has ended already is left out.

    Only one process of a run may call this.
    """
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    _write(folder, [*_listed(folder), Process(role, pid, created)])


def running(folder: Path) -> list[Process]:
    """Give the processes of the run that are alive."""
    return [process for process in _listed(folder) if _is_alive(process)]


def is_running(folder: Path) -> bool:
    """Tell whether any process of the run is alive."""
    return bool(running(folder))


def forget(folder: Path) -> None:
    """Remove the list: the run has ended."""
    (folder / FILE_NAME).unlink(missing_ok=True)


def _listed(folder: Path) -> list[Process]:
    try:
        entries = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        return [Process(str(e["role"]), int(e["pid"]), float(e["create_time"])) for e in entries]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []


def _write(folder: Path, processes: list[Process]) -> None:
    atomic_write(folder / FILE_NAME, json.dumps([process._asdict() for process in processes]) + "\n")


def _is_alive(process: Process) -> bool:
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.create_time) <= _SAME_START_S
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
