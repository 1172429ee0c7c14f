"""HTTP/1.1 for the embedded server: llhttp parses, answers go straight to the socket.

General frameworks were measured first: importing aiohttp alone takes the start-up budget of half a second,
and both it and uvicorn put a task and several buffers between a token that is due and its ``send``.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from typing import cast
from urllib.parse import parse_qs

import httptools

MAX_BODY_BYTES = 64 << 20
MAX_UNSENT_BYTES = 16 << 20
"""A client that lets this much pile up is cut off."""
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Exchange:
    """One request, and the way to answer it: whole with ``respond``, or as a stream."""

    __slots__ = (
        "arrived_ns",
        "body",
        "connection",
        "headers",
        "keep_alive",
        "method",
        "on_disconnect",
        "path",
        "query",
    )

    def __init__(self, connection: Connection, method: str, target: str, headers: dict[bytes, bytes]) -> None:
        self.connection = connection
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.body = b""
        self.keep_alive = True
        self.arrived_ns = 0
        self.on_disconnect: Callable[[], None] | None = None

    def header(self, name: bytes) -> str:
        """A request header by its lower-case name; "" where it is missing."""
        return self.headers.get(name, b"").decode("latin-1")

    def query_value(self, name: str) -> str:
        """A query parameter; "" where it is missing."""
        return parse_qs(self.query).get(name, [""])[0]

    def respond(self, status: int, body: bytes, content_type: str, extra: bytes = b"") -> None:
        """Sends a complete answer and ends the exchange."""
        head = self._head(status, content_type, b"content-length: %d\r\n" % len(body), extra)
        self.connection.send(head if self.method == "HEAD" else head + body)
        self.connection.finish(self)

    def start_stream(self, content_type: str, extra: bytes = b"") -> None:
        """Sends the head of an answer whose body follows in chunks."""
        self.connection.send(self._head(200, content_type, b"transfer-encoding: chunked\r\n", extra))

    def end_stream(self) -> None:
        """Ends the exchange; the last (empty) chunk has been sent by then."""
        self.connection.finish(self)

    def _head(self, status: int, content_type: str, framing: bytes, extra: bytes) -> bytes:
        return b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\n%b%b%b\r\n" % (
            status,
            _REASONS.get(status, "Unknown").encode(),
            content_type.encode(),
            framing,
            extra,
            b"" if self.keep_alive else b"connection: close\r\n",
        )


class Connection(asyncio.Protocol):
    """A keep-alive connection: parses requests and gives them to ``handle`` one at a time."""

    def __init__(self, handle: Callable[[Exchange], None], open_connections: set[Connection]) -> None:
        self._handle = handle
        self._open_connections = open_connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._fd = -1
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._arrived_ns = 0
        self._idle_since = time.monotonic()
        self._current: Exchange | None = None
        self._pipelined: deque[Exchange] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast(asyncio.Transport, transport)
        self._fd = transport.get_extra_info("socket").fileno()
        self._open_connections.add(self)

    def fileno(self) -> int:
        """The socket's descriptor, for those who write ready bytes themselves."""
        return self._fd

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        del exc
        self._transport = None
        self._open_connections.discard(self)
        self._pipelined.clear()
        if self._current is not None and self._current.on_disconnect is not None:
            self._current.on_disconnect()
        self._current = None

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._arrived_ns = time.monotonic_ns()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(400, b"Invalid HTTP request received.")

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._headers = {}
        self._target = b""
        self._body = []
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Called by the parser, possibly with a part of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Called by the parser, with a part of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse(413, b"The request body is too large.")
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._transport is None or self._transport.is_closing():
            return
        method = self._parser.get_method().decode("ascii")
        exchange = Exchange(self, method, self._target.decode("latin-1"), self._headers)
        exchange.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        exchange.keep_alive = self._parser.should_keep_alive()
        exchange.arrived_ns = self._arrived_ns
        if self._current is None:
            self._current = exchange
            self._handle(exchange)
        else:
            self._pipelined.append(exchange)

    def send(self, data: bytes) -> bool:
        """Hands bytes to the kernel now, or to the event loop when the socket is full.

        An event loop may keep a write until the end of its iteration: a token's send time would be unknown.
        Gives ``False`` when the connection is gone.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        unsent = transport.get_write_buffer_size()
        if unsent == 0:
            try:
                written = os.write(self._fd, data)
            except BlockingIOError:
                written = 0
            except OSError:
                transport.abort()
                return False
            if written == len(data):
                return True
            data = data[written:]
        elif unsent > MAX_UNSENT_BYTES:
            transport.abort()
            return False
        transport.write(data)
        return True

    def finish(self, exchange: Exchange) -> None:
        """Ends the exchange under way; goes on with the next request, or closes."""
        if self._current is not exchange:
            return
        self._current = None
        self._idle_since = time.monotonic()
        if self._transport is None:
            return
        if not exchange.keep_alive:
            self._transport.close()
        elif self._pipelined:
            self._current = self._pipelined.popleft()
            self._handle(self._current)

    def close_if_idle(self, since: float) -> None:
        """Closes the connection if it has had nothing to do since then (s of the monotonic clock)."""
        if self._transport is not None and self._current is None and self._idle_since <= since:
            self._transport.close()

    def cut(self) -> None:
        """Closes the connection in mid-answer."""
        if self._transport is not None:
            self._transport.close()

    def _refuse(self, status: int, message: bytes) -> None:
        exchange = Exchange(self, "GET", "", {})
        exchange.keep_alive = False
        self._pipelined.clear()
        exchange.respond(status, message, "text/plain; charset=utf-8")
        self.cut()
