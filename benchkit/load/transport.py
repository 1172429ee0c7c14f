"""Our sockets under httpx's types.

``StampedTransport`` may be given to any ``httpx.AsyncClient``. Each of its answers carries, in
``response.extensions["benchkit"]``, the stamps of every read, kernel receive times included.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

import httptools
import httpx

from benchkit.load.clock import TIMESPEC, realtime_offset_ns
from benchkit.load.connection import Connection, ConnectionEnded, Endpoint
from benchkit.load.readiness import Readiness, make_readiness
from benchkit.load.tls import make_context
from benchkit.load.tape import HEADER, HEADER_SIZE, READ_MAX

_NANO = 1_000_000_000


class ReadStamp(NamedTuple):
    """When one read of an answer came; CLOCK_MONOTONIC ns."""

    loop_ns: int
    kernel_ns: int | None
    """``None`` where the platform gives no receive times."""
    size: int


@dataclass(slots=True)
class Stamps:
    """The life of one exchange on the wire; grows until the answer is read. CLOCK_MONOTONIC ns."""

    connect_start_ns: int | None = None
    connected_ns: int | None = None
    sent_ns: int | None = None
    reads: list[ReadStamp] = field(default_factory=list)


class _Scratch:
    """A tape that forgets: each read starts at its beginning."""

    def __init__(self) -> None:
        self.buffer = bytearray(HEADER_SIZE + READ_MAX)
        self.view = memoryview(self.buffer)
        self.position = 0
        self.room = -1

    def flush(self) -> None:
        self.position = 0


class _HttpConnection(Connection):
    """A connection that keeps the answer's head and body for httpx."""

    __slots__ = ("body", "event", "failure", "finished", "headers", "stamps")

    def begin(self, stamps: Stamps, *, head_only: bool) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: deque[bytes] = deque()
        self.event = asyncio.Event()
        self.failure: Exception | None = None
        self.finished = False
        self.stamps = stamps
        self.head_only = head_only

    def on_message_begin(self) -> None:
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._stamp()
        self.event.set()

    def on_body(self, body: bytes) -> None:
        self._stamp()
        self.body.append(body)
        self.event.set()

    def _stamp(self) -> None:
        """Notes the read under way, whose header lies at the scratch buffer's beginning."""
        size, _, _, _, _, loop_ns, kernel = HEADER.unpack_from(self._tape.buffer, 0)
        reads = self.stamps.reads
        if reads and reads[-1].loop_ns == loop_ns:
            return
        seconds, nanoseconds = TIMESPEC.unpack(kernel[: TIMESPEC.size])
        kernel_ns = seconds * _NANO + nanoseconds - realtime_offset_ns() if seconds else None
        reads.append(ReadStamp(loop_ns, kernel_ns, size))


class StampedTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 for httpx on sockets of our own, with kernel receive times over TCP and TLS.

    Connections are kept alive without a limit of their number; nothing is proxied or redirected.

    Args:
        verify: whether certificates are checked, or the TLS context to use.
    """

    def __init__(self, *, verify: bool | ssl.SSLContext = True) -> None:
        self._verify = verify
        self._context: ssl.SSLContext | None = verify if isinstance(verify, ssl.SSLContext) else None
        self._idle: dict[tuple[str, str, int], list[_HttpConnection]] = {}
        self._open: set[_HttpConnection] = set()
        self._readiness: Readiness | None = None
        self._scratch = _Scratch()
        self._waiting: dict[Connection, asyncio.Future[None]] = {}
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
            httpx.ConnectError, ConnectTimeout, ReadError, ReadTimeout, WriteError, WriteTimeout, RemoteProtocolError,
            UnsupportedProtocol: as httpx's own transport does.
        """
        if request.url.scheme not in {"http", "https"}:
            raise httpx.UnsupportedProtocol(
                f"StampedTransport speaks http and https, not {request.url.scheme!r}", request=request
            )
        content = (
            b"".join([part async for part in request.stream])
            if isinstance(request.stream, httpx.AsyncByteStream)
            else b"".join(request.stream)
        )  # type: ignore[arg-type]
        payload = _head(request, content) + content
        timeouts = request.extensions.get("timeout", {})
        stamps = Stamps()
        connection, kept = await self._connection(request, timeouts, stamps)
        try:
            await self._exchange(connection, request, payload, timeouts, stamps)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            if not kept or connection.answered:
                raise
            connection = await self._fresh(request, timeouts, stamps)
            await self._exchange(connection, request, payload, timeouts, stamps)
        body = _Body(self, connection, request, timeouts.get("read"))
        return httpx.Response(
            connection.status,
            headers=connection.headers,
            stream=body,
            extensions={"http_version": b"HTTP/1.1", "benchkit": stamps},
        )

    async def aclose(self) -> None:
        """Closes all connections."""
        for connection in list(self._open):
            connection.close()
        self._open.clear()
        self._idle.clear()
        if self._readiness is not None:
            self._readiness.close()
            self._readiness = None

    def connection_opened(self, connection: Connection) -> None:
        """See ``connection.Owner``."""
        _resolve(self._waiting.pop(connection, None), None)

    def connection_failed(self, connection: Connection, error: Exception) -> None:
        """See ``connection.Owner``."""
        assert isinstance(connection, _HttpConnection)
        self._open.discard(connection)
        waiting = self._waiting.pop(connection, None)
        if waiting is not None:
            _resolve(waiting, error)
        elif connection.key:
            connection.failure = error
            connection.event.set()
        else:
            for idle in self._idle.values():
                if connection in idle:
                    idle.remove(connection)

    def request_written(self, connection: Connection) -> None:
        """See ``connection.Owner``."""
        assert isinstance(connection, _HttpConnection)
        if connection.stamps.sent_ns is None:
            connection.stamps.sent_ns = time.monotonic_ns()
        _resolve(self._waiting.pop(connection, None), None)

    def message_complete(self, connection: Connection) -> None:
        """See ``connection.Owner``."""
        assert isinstance(connection, _HttpConnection)
        connection.finished = True
        connection.event.set()

    def give_back(self, connection: _HttpConnection, request: httpx.Request) -> None:
        """Takes a connection back after its answer: into the pool if it was read to its end, else it is closed."""
        connection.key = 0
        if connection.finished and connection.reusable and not connection.closed:
            connection.requests_before += 1
            self._idle.setdefault(_origin(request), []).append(connection)
        else:
            connection.close()
            self._open.discard(connection)

    async def _connection(
        self, request: httpx.Request, timeouts: dict[str, float | None], stamps: Stamps
    ) -> tuple[_HttpConnection, bool]:
        idle = self._idle.get(_origin(request))
        if idle:
            return idle.pop(), True
        return await self._fresh(request, timeouts, stamps), False

    async def _fresh(
        self, request: httpx.Request, timeouts: dict[str, float | None], stamps: Stamps
    ) -> _HttpConnection:
        loop = asyncio.get_running_loop()
        if self._readiness is None:
            self._readiness = make_readiness(loop)
        scheme, host, port = _origin(request)
        stamps.connect_start_ns = time.monotonic_ns()
        async with _phase(timeouts.get("connect"), httpx.ConnectTimeout, request):
            try:
                found = await loop.getaddrinfo(host, port, type=1)
            except OSError as error:
                raise httpx.ConnectError(str(error), request=request) from error
            last: Exception | None = None
            for family, _, _, _, address in found:
                try:
                    return await self._open_one(loop, Endpoint(family, address, host), scheme, stamps)
                except (OSError, ssl.SSLError) as error:
                    last = error
            raise httpx.ConnectError(str(last), request=request) from last

    async def _open_one(
        self, loop: asyncio.AbstractEventLoop, endpoint: Endpoint, scheme: str, stamps: Stamps
    ) -> _HttpConnection:
        assert self._readiness is not None
        if scheme == "https" and self._context is None:
            self._context = make_context(verify=bool(self._verify))
        self._count += 1
        connection = _HttpConnection(
            loop,
            self._readiness,
            self,
            self._scratch,
            endpoint,
            self._count,
            self._context if scheme == "https" else None,
        )
        self._open.add(connection)
        opened = self._waiting[connection] = loop.create_future()
        try:
            connection.open()
            await opened
        except BaseException:
            self._waiting.pop(connection, None)
            connection.close()
            self._open.discard(connection)
            raise
        stamps.connected_ns = time.monotonic_ns()
        return connection

    async def _exchange(
        self,
        connection: _HttpConnection,
        request: httpx.Request,
        payload: bytes,
        timeouts: dict[str, float | None],
        stamps: Stamps,
    ) -> None:
        connection.begin(stamps, head_only=request.method == "HEAD")
        connection.key = self._count
        try:
            written = self._waiting[connection] = asyncio.get_running_loop().create_future()
            async with _phase(timeouts.get("write"), httpx.WriteTimeout, request):
                try:
                    connection.write(payload)
                    await written
                except OSError as error:
                    raise httpx.WriteError(str(error), request=request) from error
            async with _phase(timeouts.get("read"), httpx.ReadTimeout, request):
                while not connection.status >= 200 and connection.failure is None:
                    connection.event.clear()
                    await connection.event.wait()
            if connection.status < 200 and connection.failure is not None:
                raise _mapped(connection.failure, request)
        except BaseException:
            self._waiting.pop(connection, None)
            self._open.discard(connection)
            connection.close()
            raise


class _Body(httpx.AsyncByteStream):
    """The body of an answer; gives the connection back when it is closed."""

    def __init__(
        self,
        transport: StampedTransport,
        connection: _HttpConnection,
        request: httpx.Request,
        timeout_s: float | None,
    ) -> None:
        self._transport, self._connection, self._request = transport, connection, request
        self._timeout_s = timeout_s
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection = self._connection
        while True:
            while connection.body:
                yield connection.body.popleft()
            if connection.finished:
                return
            if connection.failure is not None:
                raise _mapped(connection.failure, self._request)
            connection.event.clear()
            async with _phase(self._timeout_s, httpx.ReadTimeout, self._request):
                await connection.event.wait()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._transport.give_back(self._connection, self._request)


class _phase:  # noqa: N801 - reads as a statement
    """A time limit for one phase, raised as httpx does."""

    def __init__(
        self, seconds: float | None, error: type[httpx.TimeoutException], request: httpx.Request
    ) -> None:
        self._timeout = asyncio.timeout(seconds)
        self._seconds = seconds or 0.0
        self._error, self._request = error, request

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise self._error(
                f"{self._request.url.host} took more than {self._seconds:g} s", request=self._request
            ) from None


def _mapped(error: Exception, request: httpx.Request) -> httpx.TransportError:
    if isinstance(error, httptools.HttpParserError):
        return httpx.RemoteProtocolError(f"not HTTP/1.1: {error}", request=request)
    if isinstance(error, ConnectionEnded):
        return httpx.RemoteProtocolError(
            "the server closed the connection before the answer was complete", request=request
        )
    return httpx.ReadError(str(error), request=request)


def _origin(request: httpx.Request) -> tuple[str, str, int]:
    url = request.url
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}[url.scheme]


def _head(request: httpx.Request, content: bytes) -> bytes:
    headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"transfer-encoding"]
    if content and not any(name.lower() == b"content-length" for name, _ in headers):
        headers.append((b"Content-Length", str(len(content)).encode()))
    lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method.encode(), request.url.raw_path, lines)


def _resolve(future: asyncio.Future[None] | None, error: Exception | None) -> None:
    if future is not None and not future.done():
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
