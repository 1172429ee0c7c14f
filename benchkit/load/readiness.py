"""Which sockets have something to read: one epoll inside the event loop's, or the loop's own readers.

A loop pays for each ready descriptor: a handle, a callback object, a context. With hundreds of streams a
paced server makes many of them ready at once; one epoll of ours costs the loop one wake-up for all.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Protocol

from benchkit.load.clock import forced_fallbacks

_BATCH = 256


class Readiness(Protocol):
    """Calls back when a descriptor can be read, until it is removed."""

    name: str

    def add(self, fd: int, callback: Callable[[], None]) -> None:
        """Watches a descriptor; on one that is watched already, changes who is called."""

    def remove(self, fd: int) -> None:
        """Forgets a descriptor; unknown ones are no error."""

    def close(self) -> None:
        """Forgets all."""


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

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
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

    def _ready(self) -> None:
        callbacks = self._callbacks
        for fd, _ in self._epoll.poll(0, _BATCH):
            callback = callbacks.get(fd)
            if callback is not None:
                callback()


def make_readiness(loop: asyncio.AbstractEventLoop) -> Readiness:
    """The cheapest way that this platform has."""
    if hasattr(select, "epoll") and "epoll" not in forced_fallbacks():
        return EpollReadiness(loop)
    return LoopReadiness(loop)
