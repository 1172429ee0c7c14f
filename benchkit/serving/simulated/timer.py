"""A one-shot timer for an event loop, precise where the platform has timerfd."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable

_NANO = 1_000_000_000


class PreciseTimer:
    """Calls back once at an absolute time of CLOCK_MONOTONIC; re-arming replaces the time before.

    Event loops round timers (uvloop to 1 ms); a timerfd in the loop's poll is late by some 50 us only.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None
        self._fd = -1
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd >= 0:
            self._spec = (ctypes.c_long * 4)()
            loop.add_reader(self._fd, self._on_readable)

    def set(self, when_ns: int) -> None:
        """Arms the timer; a time that has passed fires at once."""
        if self._fd >= 0:
            self._spec[2], self._spec[3] = divmod(max(when_ns, 1), _NANO)
            self._libc.timerfd_settime(self._fd, 1, self._spec, None)
            return
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_later(max(0, when_ns - time.monotonic_ns()) / _NANO, self._callback)

    def close(self) -> None:
        """Gives the timer back."""
        if self._handle is not None:
            self._handle.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _on_readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
        self._callback()
