"""A one-shot timer for an event loop that is not late: loops round (uvloop to 1 ms), a timerfd does not."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol

_NANO = 1_000_000_000


class Timer(Protocol):
    """Calls back once at a time of the monotonic clock."""

    name: str

    def set(self, when_ns: int) -> None:
        """Arms (or re-arms) the timer for an absolute time; a time that has passed fires at once."""

    def close(self) -> None:
        """Gives the timer back; it calls no more. A second call does nothing."""


class LoopTimer:
    """The event loop's own timer: rounds to a millisecond on uvloop; the fallback."""

    name = "loop"

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def set(self, when_ns: int) -> None:
        """See ``Timer``."""
        if self._handle is not None:
            self._handle.cancel()
        delay_s = max(0.0, (when_ns - time.monotonic_ns()) / _NANO)
        self._handle = self._loop.call_later(delay_s, self._callback)

    def close(self) -> None:
        """See ``Timer``."""
        if self._handle is not None:
            self._handle.cancel()


class KernelTimer:
    """A timerfd in the event loop: on time to some 50 us."""

    name = "timerfd"

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        nonblock_cloexec = os.O_NONBLOCK | os.O_CLOEXEC
        self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, nonblock_cloexec)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._loop = loop
        self._callback = callback
        self._spec = (ctypes.c_long * 4)()
        self._settime = self._libc.timerfd_settime
        loop.add_reader(self._fd, self._fire)

    def set(self, when_ns: int) -> None:
        """See ``Timer``."""
        seconds, nanoseconds = divmod(max(when_ns, 1), _NANO)
        self._spec[2], self._spec[3] = seconds, nanoseconds
        if self._settime(self._fd, 1, ctypes.byref(self._spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def close(self) -> None:
        """See ``Timer``."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _fire(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        self._callback()


def make_timer(
    loop: asyncio.AbstractEventLoop, callback: Callable[[], None], *, precise: bool = True
) -> Timer:
    """The best timer that this platform has.

    Args:
        loop: the event loop that it lives in.
        callback: called when the time has come.
        precise: False for the fallback, wherever this is.
    """
    if precise and sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            return KernelTimer(loop, callback)
    return LoopTimer(loop, callback)
