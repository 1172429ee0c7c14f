"""Our sockets under httpx's types.

``StampedTransport`` may be given to any ``httpx.AsyncClient``. Each of its answers carries, in
``response.extensions["benchkit"]``, the stamps of every read, kernel receive times included.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import NamedTuple, Self

import httptools
import httpx

from benchkit.load.clock import KernelStamping
from benchkit.load.connection import Connection, ConnectionEnded, Endpoint
from benchkit.load.memory import (
    HeldAnswer,
    HoldingConnection,
    HoldingTlsConnection,
    ReadStamp,
    Scratch,
    Stamps,
)
from benchkit.load.outgoing import Unsendable, request_pieces
from benchkit.load.readiness import Readiness, make_readiness
from benchkit.load.tls import make_context

__all__ = ["ReadStamp", "StampedTransport", "Stamps"]


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int


class StampedTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 for httpx on sockets of our own, with kernel receive times over TCP and TLS.

    Connections are kept alive without a limit of their number; nothing is proxied or redirected. A request
    that meets a connection which the server closed meanwhile is sent once more on a fresh one, if its body
    can be had again. Where an event loop ends, so do the connections that were made in it.

    Args:
        verify: whether certificates are checked, or the TLS context to use.
    """

    def __init__(self, *, verify: bool | ssl.SSLContext = True) -> None:
        self._verify = verify
        self._context: ssl.SSLContext | None = verify if isinstance(verify, ssl.SSLContext) else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._readiness: Readiness | None = None
        self._stamping: KernelStamping | None = None
        self._scratch = Scratch()
        self._idle: dict[_Origin, list[HoldingConnection]] = {}
        self._open: set[Connection] = set()
        self._opening: dict[Connection, asyncio.Future[None]] = {}
        self._count = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request; see ``httpx.AsyncBaseTransport``.

        Raises:
            httpx.ConnectError, ConnectTimeout, ReadError, ReadTimeout, WriteError, WriteTimeout,
            RemoteProtocolError, LocalProtocolError, UnsupportedProtocol: as httpx's own transport does.
        """
        if request.url.scheme not in {"http", "https"}:
            raise httpx.UnsupportedProtocol(
                f"StampedTransport speaks http and https, not {request.url.scheme!r}", request=request
            )
        self._settle(asyncio.get_running_loop())
        origin = _origin(request)
        stamps = Stamps()
        idle = self._idle.get(origin)
        if idle:
            connection = idle.pop()
            try:
                answer = await self._exchange(connection, request, stamps)
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                if connection.answered or not isinstance(request.stream, httpx.ByteStream):
                    raise
            else:
                return self._response(connection, answer, request)
        connection = await self._fresh(origin, request, stamps)
        return self._response(connection, await self._exchange(connection, request, stamps), request)

    async def aclose(self) -> None:
        """Closes all connections; an answer that is still being read fails with ``httpx.ReadError``."""
        self._abort(OSError("the transport was closed"))

    def connection_opened(self, connection: Connection) -> None:
        """See ``connection.Owner``."""
        _resolve(self._opening.pop(connection), None)

    def connection_failed(self, connection: Connection, error: Exception) -> None:
        """See ``connection.Owner``."""
        self._open.discard(connection)
        opening = self._opening.pop(connection, None)
        answer = connection.exchange
        if opening is not None:
            _resolve(opening, error)
        elif answer is None:
            for idle in self._idle.values():
                if connection in idle:
                    idle.remove(connection)
        elif not answer.finished:
            answer.failure = error
            answer.tell()

    def request_written(self, connection: Connection) -> None:
        """See ``connection.Owner``."""
        answer: HeldAnswer = connection.exchange
        answer.written_ns = time.monotonic_ns()
        answer.tell()

    def message_complete(self, connection: Connection) -> None:
        """See ``connection.Owner``."""
        connection.key = 0
        connection.exchange.finished = True
        connection.exchange.tell()

    def give_back(self, connection: HoldingConnection, answer: HeldAnswer, origin: _Origin) -> None:
        """Takes a connection back: into the pool if its answer was received whole, else it is closed."""
        connection.exchange = None
        if answer.finished and connection.reusable:
            answer.read_on()
            connection.requests_before += 1
            self._idle.setdefault(origin, []).append(connection)
        else:
            self._drop(connection)

    def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        """Moves to the running loop: sockets of another one are of no use in it."""
        if self._loop is not loop:
            self._abort(OSError("the transport went on in another event loop"))
            self._loop = loop
        if self._readiness is None:
            self._readiness, self._stamping = make_readiness(loop), KernelStamping()

    def _abort(self, error: OSError) -> None:
        alive = self._loop is not None and not self._loop.is_closed()
        for connection in list(self._open):
            connection.close()
            if alive:
                self.connection_failed(connection, error)
        self._open.clear()
        self._opening.clear()
        self._idle.clear()
        if self._readiness is not None and self._stamping is not None:
            self._readiness.close()
            self._stamping.close()
            self._readiness = self._stamping = None

    def _drop(self, connection: Connection) -> None:
        connection.close()
        self._open.discard(connection)

    def _response(
        self, connection: HoldingConnection, answer: HeldAnswer, request: httpx.Request
    ) -> httpx.Response:
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(self, connection, answer, request),
            extensions={
                "http_version": f"HTTP/{answer.version}".encode(),
                "reason_phrase": answer.reason,
                "benchkit": answer.stamps,
            },
        )

    async def _fresh(self, origin: _Origin, request: httpx.Request, stamps: Stamps) -> HoldingConnection:
        loop = asyncio.get_running_loop()
        stamps.connect_start_ns = time.monotonic_ns()
        async with _limit("connect", httpx.ConnectTimeout, request):
            try:
                found = await loop.getaddrinfo(origin.host, origin.port, type=1)
            except (OSError, UnicodeError) as error:
                raise httpx.ConnectError(str(error), request=request) from error
            last: Exception | None = None
            for family, _, _, _, address in found:
                try:
                    return await self._open_one(loop, Endpoint(family, address, origin.host), origin, stamps)
                except OSError as error:
                    last = error
            kind = httpx.ConnectTimeout if isinstance(last, TimeoutError) else httpx.ConnectError
            raise kind(str(last), request=request) from last

    async def _open_one(
        self, loop: asyncio.AbstractEventLoop, endpoint: Endpoint, origin: _Origin, stamps: Stamps
    ) -> HoldingConnection:
        if self._readiness is None:
            raise OSError("the transport was closed")
        self._count += 1
        arguments = (loop, self._readiness, self, self._scratch, endpoint, self._count)
        if origin.scheme == "https":
            if self._context is None:
                self._context = make_context(verify=bool(self._verify))
            connection: HoldingConnection = HoldingTlsConnection(*arguments, self._context)
        else:
            connection = HoldingConnection(*arguments)
        self._open.add(connection)
        opened = self._opening[connection] = loop.create_future()
        try:
            connection.open()
            await opened
        except BaseException:
            self._opening.pop(connection, None)
            self._drop(connection)
            raise
        stamps.connected_ns = time.monotonic_ns()
        return connection

    async def _exchange(
        self, connection: HoldingConnection, request: httpx.Request, stamps: Stamps
    ) -> HeldAnswer:
        answer = HeldAnswer(stamps, connection, head_only=request.method == "HEAD")
        try:
            await self._write(connection, answer, request)
            async with _limit("read", httpx.ReadTimeout, request):
                while not answer.status and answer.failure is None:
                    await answer.news()
        except Unsendable as error:
            self._drop(connection)
            raise httpx.LocalProtocolError(str(error), request=request) from error
        except BaseException:
            self._drop(connection)
            raise
        if not answer.status:
            self._drop(connection)
            raise _mapped(answer.failure, request, writing=not answer.written_ns)
        return answer

    async def _write(self, connection: HoldingConnection, answer: HeldAnswer, request: httpx.Request) -> None:
        """Writes head and body; stops where the answer, or the connection's end, comes first."""
        assert isinstance(request.stream, httpx.AsyncByteStream)
        write = connection.write
        pieces = request_pieces(request.method, request.url.raw_path, request.headers.raw, request.stream)
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                answer.written_ns = 0
                if not (answer.status or answer.failure):
                    write(piece)
                    write = connection.write_more
                    async with _limit("write", httpx.WriteTimeout, request):
                        while not (answer.written_ns or answer.status or answer.failure):
                            await answer.news()
                if not answer.written_ns:
                    connection.reusable = False
                    return
        if answer.stamps.sent_ns is None:
            answer.stamps.sent_ns = answer.written_ns


class _Body(httpx.AsyncByteStream):
    """The body of an answer; gives the connection back when it is closed."""

    def __init__(
        self,
        transport: StampedTransport,
        connection: HoldingConnection,
        answer: HeldAnswer,
        request: httpx.Request,
    ) -> None:
        self._transport, self._connection, self._answer, self._request = (
            transport,
            connection,
            answer,
            request,
        )
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        answer = self._answer
        while not self._closed:
            if answer.body:
                yield answer.take()
            elif answer.finished:
                return
            elif answer.failure is not None:
                raise _mapped(answer.failure, self._request)
            else:
                async with _limit("read", httpx.ReadTimeout, self._request):
                    await answer.news()

    async def aclose(self) -> None:
        """Ends the exchange."""
        if not self._closed:
            self._closed = True
            self._answer.body.clear()
            self._transport.give_back(self._connection, self._answer, _origin(self._request))


@contextlib.asynccontextmanager
async def _limit(
    phase: str, error: type[httpx.TimeoutException], request: httpx.Request
) -> AsyncIterator[None]:
    """A time limit for one phase, raised as httpx does."""
    seconds = request.extensions.get("timeout", {}).get(phase)
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise error(f"{phase}: {request.url.host} took more than {seconds:g} s", request=request) from None


def _mapped(
    error: Exception | None, request: httpx.Request, *, writing: bool = False
) -> httpx.TransportError:
    if isinstance(error, httptools.HttpParserError):
        return httpx.RemoteProtocolError(f"not HTTP/1.1: {error}", request=request)
    if isinstance(error, ConnectionEnded):
        return httpx.RemoteProtocolError(
            "the server closed the connection before the answer was complete", request=request
        )
    if isinstance(error, TimeoutError):
        return (httpx.WriteTimeout if writing else httpx.ReadTimeout)(str(error), request=request)
    return (httpx.WriteError if writing else httpx.ReadError)(str(error), request=request)


def _origin(request: httpx.Request) -> _Origin:
    url = request.url
    return _Origin(url.scheme, url.host, url.port or {"http": 80, "https": 443}[url.scheme])


def _resolve(future: asyncio.Future[None] | None, error: Exception | None) -> None:
    if future is not None and not future.done():
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
