"""Connections that keep an answer in memory, with the stamps of its reads, instead of on a tape."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from benchkit.load.clock import TIMESPEC, realtime_offset_ns
from benchkit.load.connection import Connection
from benchkit.load.tape import HEADER, HEADER_SIZE, READ_MAX
from benchkit.load.tls import TlsConnection

HELD_MAX = 1024 * 1024
"""Bytes of a body that may wait for their reader before the server is held back."""
_HELD_ENOUGH = HELD_MAX // 4
_NANO = 1_000_000_000


class ReadStamp(NamedTuple):
    """When one read of an answer came; CLOCK_MONOTONIC ns."""

    loop_ns: int
    kernel_ns: int | None
    """``None`` where the platform gives no receive times."""
    size: int
    """Bytes of HTTP, decrypted."""


@dataclass(slots=True)
class Stamps:
    """The life of one exchange on the wire; grows until the answer is read.

    Times are CLOCK_MONOTONIC ns.

    Attributes:
        connect_start_ns: when connecting began; ``None`` on a connection that was there already.
        connected_ns: when TCP and TLS were up.
        sent_ns: when the last byte of the first attempt went to the kernel; ``None`` if it never did.
        reads: every read of the answer, informational answers included.
    """

    connect_start_ns: int | None = None
    connected_ns: int | None = None
    sent_ns: int | None = None
    reads: list[ReadStamp] = field(default_factory=list)


class Scratch:
    """A tape that forgets: each read starts at its beginning, where its records lie until the next."""

    def __init__(self) -> None:
        self.buffer = bytearray(4 * READ_MAX)
        self.view = memoryview(self.buffer)
        self.position = 0
        self.room = 3 * READ_MAX - HEADER_SIZE

    def flush(self) -> None:
        """See ``connection.Tape``."""
        self.position = 0

    def read_stamp(self) -> ReadStamp | None:
        """The stamp of the read that was just made, ``None`` if nothing came."""
        if self.position == 0:
            return None
        _, _, _, _, _, loop_ns, kernel = HEADER.unpack_from(self.buffer, 0)
        size = place = 0
        while place < self.position:
            part = HEADER.unpack_from(self.buffer, place)[0]
            size += part
            place += HEADER_SIZE + part
        seconds, nanoseconds = TIMESPEC.unpack(kernel[: TIMESPEC.size])
        if not seconds:
            return ReadStamp(loop_ns, None, size)
        # The wall clock may have been moved since: a receive time cannot be in the future.
        kernel_ns = min(loop_ns, seconds * _NANO + nanoseconds - realtime_offset_ns())
        return ReadStamp(loop_ns, kernel_ns, size)


class HeldAnswer:
    """An answer as far as it has come.

    Attributes:
        stamps: of the exchange.
        status: of the final answer, 0 before its head is whole.
        version: of HTTP, as ``1.1``.
        reason: the reason phrase.
        headers: as they came.
        body: decoded from its framing, in pieces; whoever reads takes them with ``take``.
        written_ns: when what was last written of the request went to the kernel; 0 before.
        finished: whether the answer is whole.
        failure: what broke the connection before that.
    """

    __slots__ = (
        "_connection",
        "_held",
        "_news",
        "_paused",
        "body",
        "failure",
        "finished",
        "headers",
        "reason",
        "stamps",
        "status",
        "version",
        "written_ns",
    )

    def __init__(self, stamps: Stamps, connection: HoldingConnection, *, head_only: bool) -> None:
        self.stamps, self._connection = stamps, connection
        self.status = 0
        self.version, self.reason = "1.1", b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: deque[bytes] = deque()
        self.written_ns = 0
        self.finished = False
        self.failure: Exception | None = None
        self._held = 0
        self._paused = False
        self._news = asyncio.Event()
        connection.exchange, connection.head_only, connection.key = self, head_only, 1

    def put(self, data: bytes) -> None:
        """Holds a piece of the body; holds the server back when there is too much of it."""
        self.body.append(data)
        self._held += len(data)
        if self._held > HELD_MAX and not self._paused:
            self._paused = True
            self._connection.pause()

    def take(self) -> bytes:
        """The next piece of the body."""
        data = self.body.popleft()
        self._held -= len(data)
        if self._paused and self._held < _HELD_ENOUGH:
            self.read_on()
        return data

    def read_on(self) -> None:
        """Lets the server go on."""
        if self._paused:
            self._paused = False
            self._connection.resume()

    def tell(self) -> None:
        """Wakes whoever waits for news."""
        self._news.set()

    async def news(self) -> None:
        """Waits until something has happened since the last call."""
        await self._news.wait()
        self._news.clear()


class HoldingConnection(Connection):
    """A connection whose ``exchange`` is a ``HeldAnswer``, and whose tape is a ``Scratch``."""

    __slots__ = ()
    exchange: HeldAnswer | None
    _tape: Scratch

    def on_message_begin(self) -> None:
        """See ``Connection``."""
        super().on_message_begin()
        if not self._complete and self.exchange is not None:
            self.exchange.headers, self.exchange.reason = [], b""

    def on_status(self, reason: bytes) -> None:
        """Called by llhttp with a part of the reason phrase."""
        if not self._complete and self.exchange is not None:
            self.exchange.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """See ``Connection``."""
        super().on_header(name, value)
        if not self._complete and self.exchange is not None:
            self.exchange.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """See ``Connection``."""
        answer = None if self._complete else self.exchange
        super().on_headers_complete()
        if answer is not None and self.status >= 200:
            answer.status, answer.version = self.status, self._parser.get_http_version()
            answer.tell()

    def on_body(self, body: bytes) -> None:
        """Called by llhttp."""
        if not self._complete and self.exchange is not None:
            self.exchange.put(body)
            self.exchange.tell()

    def _on_readable(self) -> None:
        self._tape.position = 0
        answer = self.exchange if self.key else None
        super()._on_readable()
        if answer is not None and (stamp := self._tape.read_stamp()) is not None:
            answer.stamps.reads.append(stamp)


class HoldingTlsConnection(HoldingConnection, TlsConnection):
    """The same over TLS."""

    __slots__ = ()
