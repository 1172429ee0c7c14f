"""Which sockets have something to read: one epoll inside the event loop's, or the loop's own readers.

A loop pays for each ready descriptor: a handle, a callback object, a context. With hundreds of streams a
paced server makes many of them ready at once; one epoll of ours costs the loop one wake-up for all.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable
from typing import Protocol

from benchkit.load.clock import forced_fallbacks, kernel_times_available
from benchkit.timer import KernelTimer

_BATCH = 256
_GATHER_NS = 500_000
_COUNT = 64
_BUSY_NS = 160_000
"""Reads nearer to one another than this on average (some 6,000 a second) are worth a wait."""
_JUDGED_NS = 100_000_000
"""How long a lull must last before each read is met at once again: paced streams come in clumps."""
_monotonic_ns = time.monotonic_ns


class Readiness(Protocol):
    """Calls back when a descriptor can be read, until it is removed."""

    name: str

    def add(self, fd: int, callback: Callable[[], None]) -> None:
        """Watches a descriptor; on one that is watched already, changes who is called."""

    def remove(self, fd: int) -> None:
        """Forgets a descriptor; unknown ones are no error."""

    def close(self) -> None:
        """Forgets all."""


class Due:
    """The one thing that must not wait behind reads.

    Attributes:
        at_ns: from when on it is called, CLOCK_MONOTONIC; what is called sets the next time.
        call: what is called.
    """

    __slots__ = ("at_ns", "call")

    NEVER_NS = 1 << 62

    def __init__(self, call: Callable[[], None]) -> None:
        self.at_ns, self.call = self.NEVER_NS, call


class LoopReadiness:
    """The event loop's own readers."""

    name = "loop"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._fds: set[int] = set()

    def add(self, fd: int, callback: Callable[[], None]) -> None:
        """See ``Readiness``."""
        self._fds.add(fd)
        self._loop.add_reader(fd, callback)

    def remove(self, fd: int) -> None:
        """See ``Readiness``."""
        if fd in self._fds:
            self._fds.discard(fd)
            if not self._loop.is_closed():
                self._loop.remove_reader(fd)

    def close(self) -> None:
        """See ``Readiness``."""
        for fd in list(self._fds):
            self.remove(fd)


class EpollReadiness:
    """An epoll of ours; its own descriptor is the only one that the loop watches."""

    name = "epoll"

    def __init__(self, loop: asyncio.AbstractEventLoop, due: Due | None = None) -> None:
        self._loop, self._due = loop, due
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        loop.add_reader(self._epoll.fileno(), self._ready)

    def add(self, fd: int, callback: Callable[[], None]) -> None:
        """See ``Readiness``."""
        if fd not in self._callbacks:
            self._epoll.register(fd, select.EPOLLIN)
        self._callbacks[fd] = callback

    def remove(self, fd: int) -> None:
        """See ``Readiness``."""
        if self._callbacks.pop(fd, None) is not None and not self._epoll.closed:
            self._epoll.unregister(fd)

    def close(self) -> None:
        """See ``Readiness``."""
        if not self._epoll.closed:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
        self._callbacks.clear()

    def _ready(self) -> int:
        callbacks, due = self._callbacks, self._due
        ready = self._epoll.poll(0, _BATCH)
        for fd, _ in ready:
            callback = callbacks.get(fd)
            if callback is not None:
                callback()
            if due is not None and _monotonic_ns() >= due.at_ns:
                due.call()
        return len(ready)


class GatheringReadiness(EpollReadiness):
    """An epoll of ours that, when much comes in, lets it gather for half a millisecond and then takes all of it.

    A wake-up for each of 20,000 reads a second costs more than the reads. Where the kernel stamps what it
    receives nothing is lost by looking later: two pieces would have to come on one connection within the half
    millisecond to share a stamp, and the longest wait before a look is part of the lag that is reported.
    """

    name = "gathering"

    def __init__(self, loop: asyncio.AbstractEventLoop, due: Due | None = None) -> None:
        super().__init__(loop, due)
        self._timer = KernelTimer(loop, self._look)
        self._gathering = False
        self._counted = 0
        self._counted_from_ns = 0

    def close(self) -> None:
        """See ``Readiness``."""
        self._timer.close()
        super().close()

    def _ready(self) -> int:
        taken = super()._ready()
        self._counted += taken
        if self._counted >= _COUNT:
            now = time.monotonic_ns()
            if now - self._counted_from_ns < _COUNT * _BUSY_NS and not self._epoll.closed:
                self._gathering = True
                self._loop.remove_reader(self._epoll.fileno())
                self._timer.set(now + _GATHER_NS)
            self._counted, self._counted_from_ns = 0, now
        return taken

    def _look(self) -> None:
        if not self._gathering:
            return
        taken = super()._ready()
        if self._epoll.closed:
            return
        now = time.monotonic_ns()
        self._counted += taken
        if now - self._counted_from_ns > _JUDGED_NS:
            self._gathering = self._counted * _BUSY_NS > now - self._counted_from_ns
            self._counted, self._counted_from_ns = 0, now
        if self._gathering:
            self._timer.set(now + _GATHER_NS)
        else:
            self._loop.add_reader(self._epoll.fileno(), self._ready)


def make_readiness(
    loop: asyncio.AbstractEventLoop, *, gather: bool = False, due: Due | None = None
) -> Readiness:
    """The cheapest way that this platform has.

    Args:
        loop: the event loop.
        gather: whether reads may wait for one another; only for those whose times are the kernel's.
        due: looked at between two reads, where one epoll serves them all.
    """
    forced = forced_fallbacks()
    if not hasattr(select, "epoll") or "epoll" in forced:
        return LoopReadiness(loop)
    if gather and kernel_times_available() and "timerfd" not in forced:
        return GatheringReadiness(loop, due)
    return EpollReadiness(loop, due)
