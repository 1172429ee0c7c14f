"""One HTTP/1.1 connection on a socket of our own: connect, TLS, write, and read onto a tape with both times.

The reading path does nothing but receive into the tape's buffer, pack a header and let llhttp look for the end of
the message. TLS is done by hand through ``ssl.MemoryBIO``, since only a socket that is read directly gives the
kernel's receive times.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import time
from typing import Any, NamedTuple, Protocol

import httptools

from benchkit.load.clock import ANCILLARY_SIZE, ask_for_kernel_times
from benchkit.load.readiness import Readiness
from benchkit.load.tape import HEADER, HEADER_SIZE, NO_KERNEL_TIME, READ_MAX, Kind

_monotonic_ns = time.monotonic_ns
_pack_into = HEADER.pack_into
_WIRE = int(Kind.WIRE)


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
    """Who is told what happens on a connection."""

    def connection_opened(self, connection: Connection) -> None:
        """TCP and TLS are up."""

    def connection_failed(self, connection: Connection, error: Exception) -> None:
        """Connecting failed, or an established connection broke or ended; it is closed already."""

    def request_written(self, connection: Connection) -> None:
        """The last byte of the request went to the kernel."""

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
        reusable: whether another exchange may follow.
        requests_before: exchanges that it carried before the one under way.
        kernel_times: whether the kernel stamps what comes in.
    """

    __slots__ = (
        "_bio_in",
        "_bio_out",
        "_complete",
        "_context",
        "_endpoint",
        "_loop",
        "_outgoing",
        "_owner",
        "_parser",
        "_pipe",
        "_readiness",
        "_recvmsg_into",
        "_scratch",
        "_sized",
        "_sock",
        "_tape",
        "_tls",
        "answered",
        "closed",
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
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._loop, self._readiness, self._owner, self._tape = loop, readiness, owner, tape
        self._endpoint, self._context, self.ident = endpoint, context, ident
        self._parser = httptools.HttpResponseParser(self)
        self._outgoing: memoryview | None = None
        self._tls: ssl.SSLObject | None = None
        self._complete = self._sized = False
        self.key = 0
        self.exchange: Any = None
        self.status = self.requests_before = 0
        self.answered = self.head_only = False
        self.reusable = True
        self.closed = False
        self._sock = socket.socket(endpoint.family, socket.SOCK_STREAM | getattr(socket, "SOCK_NONBLOCK", 0))
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.kernel_times = ask_for_kernel_times(self._sock)
        self._recvmsg_into = self._sock.recvmsg_into

    def open(self) -> None:
        """Starts to connect; the owner hears how it went."""
        code = self._sock.connect_ex(self._endpoint.address)
        if code not in (0, errno.EINPROGRESS):
            self._break(OSError(code, os.strerror(code)))
            return
        self._loop.add_writer(self._sock, self._tcp_connected)

    def write(self, payload: bytes) -> None:
        """Sends a request; ``request_written`` follows when its last byte is with the kernel."""
        self.status = 0
        self.answered = self._complete = self._sized = False
        if self._tls is not None:
            self._tls.write(payload)
            payload = self._bio_out.read()
        try:
            sent = self._sock.send(payload)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._break(error)
            return
        if sent == len(payload):
            self._owner.request_written(self)
            return
        self._outgoing = memoryview(payload)[sent:]
        self._loop.add_writer(self._sock, self._write_more)

    def close(self) -> None:
        """Closes at once; the owner hears nothing more."""
        if self.closed:
            return
        self.closed = True
        self.reusable = False
        self._loop.remove_writer(self._sock)
        self._readiness.remove(self._sock.fileno())
        self._sock.close()

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Called by llhttp: remembers whether the message says where it ends."""
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._sized = True

    def on_headers_complete(self) -> None:
        """Called by llhttp."""
        self.status = self._parser.get_status_code()
        if self.head_only and self.status >= 200:
            self._complete = True
            self.reusable = False

    def on_message_complete(self) -> None:
        """Called by llhttp; an informational answer is not the answer."""
        if self.status >= 200 or self.status == 101:
            self._complete = True
            self.reusable = self.reusable and self._parser.should_keep_alive()

    def _tcp_connected(self) -> None:
        self._loop.remove_writer(self._sock)
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._break(OSError(code, os.strerror(code)))
            return
        if self._context is None:
            self._readiness.add(self._sock.fileno(), self._on_readable)
            self._owner.connection_opened(self)
            return
        self._bio_in, self._bio_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._scratch = bytearray(READ_MAX)
        self._pipe = memoryview(self._scratch)
        self._tls = self._context.wrap_bio(self._bio_in, self._bio_out, server_hostname=self._endpoint.host)
        self._readiness.add(self._sock.fileno(), self._shake_hands_on_read)
        self._shake_hands()

    def _shake_hands(self) -> None:
        assert self._tls is not None
        try:
            self._tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            done = False
        except (ssl.SSLError, ssl.CertificateError) as error:
            self._break(error)
            return
        data = self._bio_out.read()
        if data:
            try:
                self._sock.send(data)
            except OSError as error:
                self._break(error)
                return
        if done:
            self._readiness.remove(self._sock.fileno())
            self._readiness.add(self._sock.fileno(), self._on_readable_tls)
            self._owner.connection_opened(self)

    def _shake_hands_on_read(self) -> None:
        try:
            data = self._sock.recv(READ_MAX)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(error)
            return
        if data:
            self._bio_in.write(data)
            self._shake_hands()
        else:
            self._break(ConnectionEnded(errno.ECONNRESET, "closed during the TLS handshake"))

    def _write_more(self) -> None:
        outgoing = self._outgoing
        assert outgoing is not None
        try:
            sent = self._sock.send(outgoing)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(error)
            return
        if sent == len(outgoing):
            self._outgoing = None
            self._loop.remove_writer(self._sock)
            self._owner.request_written(self)
        else:
            self._outgoing = outgoing[sent:]

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
        self.answered = True
        try:
            self._parser.feed_data(tape.view[start:end])
        except httptools.HttpParserError as error:
            self._break(error)
            return
        if self._complete:
            self._complete = False
            self._owner.message_complete(self)

    def _on_readable_tls(self) -> None:
        assert self._tls is not None
        tape = self._tape
        try:
            size, ancillary, _, _ = self._recvmsg_into((self._pipe,), ANCILLARY_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(error)
            return
        loop_ns = _monotonic_ns()
        if size == 0:
            self._ended()
            return
        kernel = ancillary[0][2] if ancillary else NO_KERNEL_TIME
        self._bio_in.write(self._pipe[:size])
        while not self.closed:
            if tape.position > tape.room:
                tape.flush()
            position = tape.position
            start = position + HEADER_SIZE
            try:
                size = self._tls.read(READ_MAX, tape.view[start:])  # type: ignore[call-overload]
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                self._ended()
                return
            except ssl.SSLError as error:
                self._break(error)
                return
            if size == 0:
                self._ended()
                return
            _pack_into(tape.buffer, position, size, _WIRE, 0, self.key, 0, loop_ns, kernel)
            tape.position = start + size
            self.answered = True
            try:
                self._parser.feed_data(tape.view[start : start + size])
            except httptools.HttpParserError as error:
                self._break(error)
                return
            if self._complete:
                self._complete = False
                self._owner.message_complete(self)

    def _ended(self) -> None:
        if self.key and self.answered and self.status >= 200 and not self._sized:
            self.reusable = False
            self._owner.message_complete(self)
            self.close()
            return
        self._break(ConnectionEnded(errno.ECONNRESET, "the server closed the connection"))

    def _break(self, error: Exception) -> None:
        if not self.closed:
            self.close()
            self._owner.connection_failed(self, error)
