"""Exchanges over a pool of stamped connections: what the engine sends with.

A request that meets a stale pooled connection before any byte of an answer is sent once more on a fresh one.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import httptools

from benchkit.errors import Unreachable
from benchkit.load.connection import Connection, ConnectionEnded, Endpoint
from benchkit.load.readiness import make_readiness
from benchkit.load.tape import SENT_DATA, Kind, TapeWriter
from benchkit.records.kinds import ErrorKind

_CONNECT_KINDS = {
    errno.ECONNREFUSED: ErrorKind.REFUSED,
    errno.ECONNRESET: ErrorKind.RESET,
    errno.EPIPE: ErrorKind.RESET,
    errno.ETIMEDOUT: ErrorKind.TIMEOUT,
}


class Failure(NamedTuple):
    """Why an exchange failed."""

    kind: ErrorKind
    text: str


class Exchange:
    """One request under way.

    Attributes:
        key: its number on the tape.
        payload: head and body as they go out.
        scheduled_ns: when it should have left, CLOCK_MONOTONIC.
        waited_ns: how long it was held back by ``max_in_flight``.
        attempt: 1, or 2 after a stale connection.
        begun_ns: when it was handed to the sender.
        sent_ns: when the last byte of the first attempt went out; 0 before.
        done: called once, with the status (0 without one) and the failure, if any.
    """

    __slots__ = (
        "attempt",
        "begun_ns",
        "connection",
        "done",
        "key",
        "payload",
        "scheduled_ns",
        "sent_ns",
        "waited_ns",
    )

    def __init__(
        self,
        key: int,
        payload: bytes,
        scheduled_ns: int,
        waited_ns: int,
        done: Callable[[Exchange, int, Failure | None], None],
    ) -> None:
        self.key, self.payload, self.scheduled_ns, self.waited_ns, self.done = (
            key,
            payload,
            scheduled_ns,
            waited_ns,
            done,
        )
        self.attempt = 1
        self.begun_ns = self.sent_ns = 0
        self.connection: Connection | None = None


class Sender(Protocol):
    """Sends exchanges and tapes what happens to them."""

    kernel_times: bool
    name: str

    def send(self, exchange: Exchange) -> None:
        """Sends now, on a pooled or a fresh connection."""

    def abandon(self, exchange: Exchange) -> None:
        """Drops an exchange under way; its ``done`` is not called."""

    async def close(self) -> None:
        """Closes every connection."""


def failure_of(error: BaseException, *, connecting: bool) -> Failure:
    """Names what went wrong on a connection."""
    text = str(error) or type(error).__name__
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        return Failure(ErrorKind.TLS, text)
    if isinstance(error, httptools.HttpParserError):
        return Failure(ErrorKind.MALFORMED, f"not HTTP: {text}")
    if isinstance(error, socket.gaierror):
        return Failure(ErrorKind.DNS, text)
    if isinstance(error, TimeoutError):
        return Failure(ErrorKind.TIMEOUT, text)
    if isinstance(error, ConnectionEnded):
        return Failure(ErrorKind.CONNECT if connecting else ErrorKind.CUT, text)
    if isinstance(error, OSError):
        default = ErrorKind.CONNECT if connecting else ErrorKind.RESET
        return Failure(_CONNECT_KINDS.get(error.errno or 0, default), text)
    return Failure(ErrorKind.CLIENT, f"{type(error).__name__}: {text}")


def resolve(host: str, port: int) -> list[Endpoint]:
    """All addresses of a host, in the resolver's order.

    Raises:
        Unreachable: the name has no address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"the host name {host!r} cannot be resolved: {error}; check `url`") from error
    return [Endpoint(family, address, host) for family, _, _, _, address in found]


class StampedSender:
    """A pool of stamped connections to one origin; idle ones are taken last in, first out."""

    name = "stamped"

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tape: TapeWriter,
        endpoints: list[Endpoint],
        context: ssl.SSLContext | None = None,
        *,
        reuse: bool = True,
    ) -> None:
        self._loop, self._tape, self._endpoints, self._context, self._reuse = (
            loop,
            tape,
            endpoints,
            context,
            reuse,
        )
        self._readiness = make_readiness(loop)
        self._idle: list[Connection] = []
        self._opening: dict[Connection, tuple[Exchange, int]] = {}
        self._connections = 0
        self.kernel_times = False

    def send(self, exchange: Exchange) -> None:
        """See ``Sender``."""
        if self._idle:
            self._begin(self._idle.pop(), exchange)
        else:
            self._open(exchange, 0)

    def abandon(self, exchange: Exchange) -> None:
        """See ``Sender``."""
        connection = exchange.connection
        if connection is not None:
            self._opening.pop(connection, None)
            connection.close()
            exchange.connection = None

    async def close(self) -> None:
        """See ``Sender``."""
        for connection in [*self._idle, *self._opening]:
            connection.close()
        self._idle.clear()
        self._opening.clear()
        self._readiness.close()

    def connection_opened(self, connection: Connection) -> None:
        """See ``connection.Owner``."""
        exchange, which = self._opening.pop(connection)
        if which:
            self._endpoints.insert(0, self._endpoints.pop(which))
        self.kernel_times = connection.kernel_times
        self._tape.append(Kind.CONNECTED, exchange.key, time.monotonic_ns())
        self._begin(connection, exchange)

    def connection_failed(self, connection: Connection, error: Exception) -> None:
        """See ``connection.Owner``."""
        opening = self._opening.pop(connection, None)
        if opening is not None:
            exchange, which = opening
            if (
                which + 1 < len(self._endpoints)
                and isinstance(error, OSError)
                and not isinstance(error, ssl.SSLError)
            ):
                self._open(exchange, which + 1)
            else:
                self._fail(exchange, failure_of(error, connecting=True))
            return
        exchange = connection.exchange
        if exchange is None:
            if connection in self._idle:
                self._idle.remove(connection)
            return
        stale = not connection.answered and connection.requests_before > 0 and isinstance(error, OSError)
        if stale and exchange.attempt == 1:
            exchange.attempt = 2
            self._open(exchange, 0)
            return
        self._fail(exchange, failure_of(error, connecting=False), connection.status)

    def request_written(self, connection: Connection) -> None:
        """See ``connection.Owner``."""
        exchange = connection.exchange
        now = time.monotonic_ns()
        self._tape.append(
            Kind.SENT,
            exchange.key,
            now,
            SENT_DATA.pack(connection.ident, exchange.waited_ns),
            detail=exchange.attempt,
        )
        if not exchange.sent_ns:
            exchange.sent_ns = now

    def message_complete(self, connection: Connection) -> None:
        """See ``connection.Owner``."""
        exchange = connection.exchange
        connection.exchange = exchange.connection = None
        connection.key = 0
        connection.requests_before += 1
        self._tape.append(Kind.END, exchange.key, time.monotonic_ns())
        if self._reuse and connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()
        exchange.done(exchange, connection.status, None)

    def _begin(self, connection: Connection, exchange: Exchange) -> None:
        connection.exchange, connection.key = exchange, exchange.key
        exchange.connection = connection
        connection.write(exchange.payload)

    def _open(self, exchange: Exchange, which: int) -> None:
        self._connections += 1
        self._tape.append(Kind.CONNECT, exchange.key, time.monotonic_ns())
        try:
            connection = Connection(
                self._loop,
                self._readiness,
                self,
                self._tape,
                self._endpoints[which],
                self._connections,
                self._context,
            )
        except OSError as error:
            self._fail(exchange, Failure(ErrorKind.CONNECT, f"no socket: {error}"))
            return
        exchange.connection = connection
        self._opening[connection] = (exchange, which)
        connection.open()

    def _fail(self, exchange: Exchange, failure: Failure, status: int = 0) -> None:
        exchange.connection = None
        exchange.done(exchange, status, failure)
