"""One HTTP/1.1 connection on a socket of our own: connect, write, and read onto a tape with both times.

The reading path does nothing but receive into the tape's buffer, pack a header and let llhttp look for the
message's end. What is rare is told by llhttp's callbacks, once a message, never once a read.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from typing import Any, NamedTuple, Protocol

import httptools

from benchkit.load.clock import ANCILLARY_SIZE, ask_for_kernel_times
from benchkit.load.readiness import Readiness
from benchkit.load.tape import HEADER, HEADER_SIZE, NO_KERNEL_TIME, Kind

_monotonic_ns = time.monotonic_ns
_pack_into = HEADER.pack_into
_WIRE = int(Kind.WIRE)
_GONE = frozenset((errno.EPIPE, errno.ECONNRESET))
MISFRAMED = (httptools.HttpParserError, httptools.HttpParserUpgrade)
"""What llhttp raises on bytes that it does not take; a switch of protocols is not a kind of error to it."""


class Endpoint(NamedTuple):
    """Where connections go: resolved once, before the load."""

    family: int
    address: Any
    host: str


class Tape(Protocol):
    """What a connection reads into: a ``TapeWriter``, or a scratch buffer that forgets."""

    buffer: bytearray
    view: memoryview
    position: int
    room: int

    def flush(self) -> None:
        """Makes room."""


class Owner(Protocol):
    """Who is told what happens on a connection.

    A failure is never told from within ``open``, ``write`` or ``write_more``, but after them.
    """

    def connection_opened(self, connection: Connection) -> None:
        """TCP and TLS are up."""

    def connection_failed(self, connection: Connection, error: Exception) -> None:
        """Connecting failed, or an established connection broke or ended; it is closed already."""

    def request_written(self, connection: Connection) -> None:
        """The last byte of what was written went to the kernel."""

    def message_complete(self, connection: Connection) -> None:
        """The answer is whole; the connection may be used again if ``reusable``."""


class ConnectionEnded(OSError):
    """The other side closed the connection in the middle of something."""


class Connection:
    """A connection that carries one exchange at a time.

    Attributes:
        key: the tape's number of the exchange under way; 0 when idle.
        exchange: the owner's object for it.
        status: status code of the answer under way, 0 before its head.
        answered: whether any byte of an answer to this exchange has come.
        head_only: whether the answer under way has no body whatever its head says.
        reusable: whether another exchange may follow.
        requests_before: exchanges that it carried before the one under way.
        kernel_times: whether the kernel stamps what comes in.
        closed: whether it is over; its owner hears nothing more.
    """

    __slots__ = (
        "_complete",
        "_loop",
        "_outgoing",
        "_owner",
        "_parser",
        "_readiness",
        "_recvmsg_into",
        "_sized",
        "_sock",
        "_tape",
        "_unwritten",
        "_write_error",
        "answered",
        "closed",
        "endpoint",
        "exchange",
        "head_only",
        "ident",
        "kernel_times",
        "key",
        "requests_before",
        "reusable",
        "status",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        readiness: Readiness,
        owner: Owner,
        tape: Tape,
        endpoint: Endpoint,
        ident: int,
    ) -> None:
        self._loop, self._readiness, self._owner, self._tape = loop, readiness, owner, tape
        self.endpoint, self.ident = endpoint, ident
        self._parser: Any = httptools.HttpResponseParser(self)
        self._sock: socket.socket | None = None
        self._outgoing: memoryview | None = None
        self._write_error: OSError | None = None
        self._complete = self._sized = self._unwritten = False
        self.key = 0
        self.exchange: Any = None
        self.status = self.requests_before = 0
        self.answered = self.head_only = False
        self.reusable = True
        self.closed = self.kernel_times = False

    def open(self) -> None:
        """Starts to connect; the owner hears how it went."""
        try:
            sock = self._sock = socket.socket(self.endpoint.family, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.kernel_times = ask_for_kernel_times(sock)
            self._recvmsg_into = sock.recvmsg_into
            code = sock.connect_ex(self.endpoint.address)
        except OSError as error:
            self._loop.call_soon(self._break, error)
            return
        if code in (0, errno.EINPROGRESS):
            self._loop.add_writer(sock, self._tcp_connected)
        else:
            self._loop.call_soon(self._break, OSError(code, os.strerror(code)))

    def write(self, payload: bytes | memoryview) -> None:
        """Begins an exchange and sends; ``request_written`` follows when the last byte is with the kernel."""
        self.status = 0
        self.answered = self._complete = self._sized = False
        self.write_more(payload)

    def write_more(self, payload: bytes | memoryview) -> None:
        """Sends more of the same request, after ``request_written``."""
        self._unwritten = True
        if self._send(payload):
            self._unwritten = False
            self._owner.request_written(self)

    def pause(self) -> None:
        """Reads no more, so that the other side is held back."""
        assert self._sock is not None
        self._readiness.remove(self._sock.fileno())

    def resume(self) -> None:
        """Reads on after ``pause``."""
        if not self.closed:
            assert self._sock is not None
            self._readiness.add(self._sock.fileno(), self._on_readable)

    def close(self) -> None:
        """Closes at once; the owner hears nothing more."""
        if self.closed:
            return
        self.closed = True
        self.reusable = False
        # The parser refers to its connection: a cycle that nobody would collect while gc is off.
        self._parser = None
        sock = self._sock
        if sock is None:
            return
        if not self._loop.is_closed():
            self._loop.remove_writer(sock)
        self._readiness.remove(sock.fileno())
        sock.close()

    def on_message_begin(self) -> None:
        """Called by llhttp: a message that nobody asked for ends the connection's use."""
        self._sized = False
        self.answered = True
        if self._complete or not self.key:
            self._complete = True
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by llhttp: remembers whether the message says where it ends."""
        kind = name.lower()
        if kind == b"content-length" or (kind == b"transfer-encoding" and b"chunked" in value.lower()):
            self._sized = True

    def on_headers_complete(self) -> None:
        """Called by llhttp."""
        if self._complete:
            return
        self.status = self._parser.get_status_code()
        if self.head_only and self.status >= 200:
            self._end_message()

    def on_message_complete(self) -> None:
        """Called by llhttp; an informational answer is not the answer."""
        if self.status >= 200 and not self._complete:
            self._end_message()

    def _end_message(self) -> None:
        self._complete = True
        self.reusable = self.reusable and self._parser.should_keep_alive()

    def _tcp_connected(self) -> None:
        assert self._sock is not None
        self._loop.remove_writer(self._sock)
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._break(OSError(code, os.strerror(code)))
        else:
            self._connected(self._sock.fileno())

    def _connected(self, fd: int) -> None:
        self._readiness.add(fd, self._on_readable)
        self._owner.connection_opened(self)

    def _send(self, data: bytes | memoryview) -> bool:
        """Sends, behind what is still to be sent; returns whether the kernel has all of it."""
        assert self._sock is not None
        if self._outgoing is not None:
            self._outgoing = memoryview(b"".join((self._outgoing, data)))
            return False
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._write_failed(error)
            return False
        if sent == len(data):
            return True
        self._outgoing = memoryview(data)[sent:]
        self._loop.add_writer(self._sock, self._on_writable)
        return False

    def _on_writable(self) -> None:
        outgoing = self._outgoing
        assert outgoing is not None
        assert self._sock is not None
        try:
            sent = self._sock.send(outgoing)
        except BlockingIOError:
            return
        except OSError as error:
            self._write_failed(error)
            return
        if sent < len(outgoing):
            self._outgoing = outgoing[sent:]
            return
        self._outgoing = None
        self._loop.remove_writer(self._sock)
        if self._unwritten:
            self._unwritten = False
            self._owner.request_written(self)

    def _write_failed(self, error: OSError) -> None:
        if self._outgoing is not None:
            assert self._sock is not None
            self._outgoing = None
            self._loop.remove_writer(self._sock)
        if error.errno in _GONE:
            # The other side takes no more, but an answer may lie in the socket; the end is met behind it.
            self._write_error = error
        else:
            self._loop.call_soon(self._break, error)

    def _on_readable(self) -> None:
        tape = self._tape
        if tape.position > tape.room:
            tape.flush()
        position = tape.position
        start = position + HEADER_SIZE
        try:
            size, ancillary, _, _ = self._recvmsg_into((tape.view[start:],), ANCILLARY_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(error)
            return
        loop_ns = _monotonic_ns()
        if size == 0:
            self._ended()
            return
        _pack_into(
            tape.buffer,
            position,
            size,
            _WIRE,
            0,
            self.key,
            0,
            loop_ns,
            ancillary[0][2] if ancillary else NO_KERNEL_TIME,
        )
        end = start + size
        tape.position = end
        try:
            self._parser.feed_data(tape.view[start:end])
        except MISFRAMED as error:
            self._misframed(error)
            return
        if self._complete:
            self._message_over()

    def _message_over(self) -> None:
        if not self.key:
            self._break(ConnectionEnded(errno.EPROTO, "the server sent an answer that nobody asked for"))
            return
        self._complete = False
        if self._unwritten:
            self.reusable = False
        if self.head_only:
            # llhttp waits for a body that never comes.
            self._parser = httptools.HttpResponseParser(self)
        self._owner.message_complete(self)

    def _misframed(self, error: Exception) -> None:
        """Bytes that llhttp refuses: those of an answer, or what came behind a whole one."""
        if self._complete:
            self.reusable = False
            self._message_over()
        elif isinstance(error, httptools.HttpParserUpgrade):
            self._break(httptools.HttpParserError("the server switched to another protocol unasked"))
        else:
            self._break(error)

    def _ended(self) -> None:
        """The other side closed: the end of an answer that has no other, or an end in mid-course."""
        if self.key and self.status >= 200 and not self._sized:
            self.reusable = False
            self._message_over()
            self.close()
            return
        self._break(ConnectionEnded(errno.ECONNRESET, "the server closed the connection"))

    def _break(self, error: Exception) -> None:
        if not self.closed:
            self.close()
            self._owner.connection_failed(self, self._write_error or error)
