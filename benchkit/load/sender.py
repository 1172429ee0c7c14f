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
from benchkit.load.clock import KernelStamping
from benchkit.load.connection import Connection, ConnectionEnded, Endpoint
from benchkit.load.readiness import Due, make_readiness
from benchkit.load.tape import SENT_DATA, Kind, TapeWriter
from benchkit.load.tls import TlsConnection
from benchkit.records.kinds import ErrorKind

_KINDS = {
    errno.ECONNREFUSED: ErrorKind.REFUSED,
    errno.ECONNRESET: ErrorKind.RESET,
    errno.EPIPE: ErrorKind.RESET,
    errno.ETIMEDOUT: ErrorKind.TIMEOUT,
}
_OUT_OF = {
    errno.EMFILE: "the limit of open files (ulimit -n) is too low for so many connections",
    errno.ENFILE: "the system has no more open files to give",
    errno.EADDRNOTAVAIL: "no local port is free (net.ipv4.ip_local_port_range): reuse connections",
    errno.ENOBUFS: "the system has no memory for another connection",
    errno.ENOMEM: "the system has no memory for another connection",
}
"""What this machine may lack for a connection: the server has no part in it."""


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
        """Sends now, on a pooled or a fresh connection; ``done`` is not called before this returns."""

    def abandon(self, exchange: Exchange) -> None:
        """Drops an exchange under way; its ``done`` is not called."""

    async def close(self) -> None:
        """Closes every connection."""


def failure_of(error: BaseException, *, connecting: bool) -> Failure:
    """Names what went wrong on a connection."""
    text = str(error) or type(error).__name__
    if isinstance(error, ssl.SSLError):
        return Failure(ErrorKind.TLS, text)
    if isinstance(error, httptools.HttpParserError):
        return Failure(ErrorKind.MALFORMED, f"not HTTP: {text}")
    if isinstance(error, socket.gaierror):
        return Failure(ErrorKind.DNS, text)
    if isinstance(error, TimeoutError):
        return Failure(ErrorKind.TIMEOUT, text)
    if isinstance(error, ConnectionEnded):
        return Failure(ErrorKind.CUT, text)
    if isinstance(error, OSError):
        if error.errno in _OUT_OF:
            return Failure(ErrorKind.CLIENT, f"{text}: {_OUT_OF[error.errno]}")
        default = ErrorKind.CONNECT if connecting else ErrorKind.RESET
        return Failure(_KINDS.get(error.errno or 0, default), text)
    return Failure(ErrorKind.CLIENT, f"{type(error).__name__}: {text}")


def resolve(host: str, port: int) -> list[Endpoint]:
    """All addresses of a host, in the resolver's order.

    Raises:
        Unreachable: the name has no address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"the host name {host!r} cannot be resolved: {error}; check `url`") from error
    return [Endpoint(family, address, host) for family, _, _, _, address in found]


class _Opening(NamedTuple):
    """A connection on its way up: whom it is for, and which addresses are left if it fails."""

    exchange: Exchange
    others: tuple[Endpoint, ...]


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
        due: Due | None = None,
    ) -> None:
        self._loop, self._tape, self._endpoints, self._context, self._reuse = (
            loop,
            tape,
            tuple(endpoints),
            context,
            reuse,
        )
        self._readiness = make_readiness(loop, gather=True, due=due)
        self._stamping = KernelStamping()
        self._idle: list[Connection] = []
        self._opening: dict[Connection, _Opening] = {}
        self._open_ones: set[Connection] = set()
        self._connections = 0
        self.kernel_times = False

    def send(self, exchange: Exchange) -> None:
        """See ``Sender``."""
        if self._idle:
            self._begin(self._idle.pop(), exchange)
        else:
            self._open(exchange, self._endpoints)

    def abandon(self, exchange: Exchange) -> None:
        """See ``Sender``."""
        connection = exchange.connection
        if connection is not None:
            self._opening.pop(connection, None)
            self._drop(connection)
            exchange.connection = None

    async def close(self) -> None:
        """See ``Sender``."""
        for connection in self._open_ones:
            connection.close()
        self._open_ones.clear()
        self._idle.clear()
        self._opening.clear()
        self._readiness.close()
        self._stamping.close()

    def connection_opened(self, connection: Connection) -> None:
        """See ``connection.Owner``."""
        exchange, _ = self._opening.pop(connection)
        if connection.endpoint is not self._endpoints[0]:
            # The addresses before it failed: the next connection need not find that out again.
            rest = (endpoint for endpoint in self._endpoints if endpoint is not connection.endpoint)
            self._endpoints = (connection.endpoint, *rest)
        self.kernel_times = connection.kernel_times
        self._tape.append(Kind.CONNECTED, exchange.key, time.monotonic_ns())
        self._begin(connection, exchange)

    def connection_failed(self, connection: Connection, error: Exception) -> None:
        """See ``connection.Owner``."""
        self._open_ones.discard(connection)
        opening = self._opening.pop(connection, None)
        if opening is not None:
            if opening.others and isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
                self._open(opening.exchange, opening.others)
            else:
                self._fail(opening.exchange, failure_of(error, connecting=True))
            return
        exchange = connection.exchange
        if exchange is None:
            self._idle.remove(connection)
            return
        stale = not connection.answered and connection.requests_before > 0 and isinstance(error, OSError)
        if stale and exchange.attempt == 1:
            exchange.attempt = 2
            self._open(exchange, self._endpoints)
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
        exchange, status = connection.exchange, connection.status
        connection.exchange = exchange.connection = None
        connection.key = 0
        connection.requests_before += 1
        self._tape.append(Kind.END, exchange.key, time.monotonic_ns())
        if self._reuse and connection.reusable:
            self._idle.append(connection)
        else:
            self._drop(connection)
        exchange.done(exchange, status, None)

    def _begin(self, connection: Connection, exchange: Exchange) -> None:
        connection.exchange, connection.key = exchange, exchange.key
        exchange.connection = connection
        connection.write(exchange.payload)

    def _open(self, exchange: Exchange, endpoints: tuple[Endpoint, ...]) -> None:
        self._connections += 1
        self._tape.append(Kind.CONNECT, exchange.key, time.monotonic_ns())
        arguments = (self._loop, self._readiness, self, self._tape, endpoints[0], self._connections)
        connection = (
            Connection(*arguments) if self._context is None else TlsConnection(*arguments, self._context)
        )
        exchange.connection = connection
        self._opening[connection] = _Opening(exchange, endpoints[1:])
        self._open_ones.add(connection)
        connection.open()

    def _drop(self, connection: Connection) -> None:
        self._open_ones.discard(connection)
        connection.close()

    def _fail(self, exchange: Exchange, failure: Failure, status: int = 0) -> None:
        exchange.connection = None
        exchange.done(exchange, status, failure)
