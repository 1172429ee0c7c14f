"""Time for a load process: the two clocks' offset, kernel receive times, and a timer that is not late.

Each of these exists on Linux and has a fallback elsewhere; ``BENCHKIT_FALLBACKS`` (a comma-separated list
of ``timerfd``, ``kernel_times``, ``epoll``, ``uvloop``) forces them, so that they can be tested where they
are not needed.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Protocol

SO_TIMESTAMPNS = 35
"""Linux, since 2.6.22, for all its architectures but PA-RISC and SPARC; Python does not name it."""
ANCILLARY_SIZE = 64
TIMESPEC = struct.Struct("@qq") if sys.maxsize > 2**32 else struct.Struct("@ii")
_NANO = 1_000_000_000


def forced_fallbacks() -> frozenset[str]:
    """What ``BENCHKIT_FALLBACKS`` switches off."""
    return frozenset(
        part.strip() for part in os.environ.get("BENCHKIT_FALLBACKS", "").split(",") if part.strip()
    )


def realtime_offset_ns() -> int:
    """CLOCK_REALTIME - CLOCK_MONOTONIC in ns, read so that a preemption between the two cannot spoil it."""
    best_width, best = 1 << 62, 0
    for _ in range(3):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best_width:
            best_width, best = after - before, wall - (before + after) // 2
    return best


def kernel_times_available() -> bool:
    """Whether sockets here can be asked for receive times."""
    return sys.platform == "linux" and TIMESPEC.size == 16 and "kernel_times" not in forced_fallbacks()


def ask_for_kernel_times(sock: socket.socket) -> bool:
    """Switches receive times on; ``False`` where the platform refuses."""
    if not kernel_times_available():
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


class KernelStamping:
    """Keeps the kernel stamping what comes in, for as long as it is open.

    Linux begins some milliseconds after the first socket that asks and ends with the last one: without it the
    first answers, and with a new connection for each request most of them, would have no receive time.
    """

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ask_for_kernel_times(self._sock)

    def close(self) -> None:
        """Lets it end."""
        self._sock.close()


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


def make_timer(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> Timer:
    """The best timer that this platform has."""
    if sys.platform == "linux" and "timerfd" not in forced_fallbacks():
        try:
            return KernelTimer(loop, callback)
        except (OSError, AttributeError):
            pass
    return LoopTimer(loop, callback)
