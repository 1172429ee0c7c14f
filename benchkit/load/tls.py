"""TLS of a load: its context, and a connection that is decrypted by hand.

Only a socket that is read directly gives the kernel's receive times, so TLS records go through
``ssl.MemoryBIO``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time

from benchkit.load.clock import ANCILLARY_SIZE
from benchkit.load.connection import MISFRAMED, Connection, Endpoint, Owner, Tape
from benchkit.load.readiness import Readiness
from benchkit.load.tape import HEADER, HEADER_SIZE, NO_KERNEL_TIME, READ_MAX, Kind

_WIRE = int(Kind.WIRE)


def make_context(*, verify: bool) -> ssl.SSLContext:
    """A client context that offers HTTP/1.1 only."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsConnection(Connection):
    """A connection whose bytes are encrypted on the wire and plain on the tape."""

    __slots__ = ("_bio_in", "_bio_out", "_context", "_tls")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        readiness: Readiness,
        owner: Owner,
        tape: Tape,
        endpoint: Endpoint,
        ident: int,
        context: ssl.SSLContext,
    ) -> None:
        super().__init__(loop, readiness, owner, tape, endpoint, ident)
        self._context = context
        self._bio_in, self._bio_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject

    def write_more(self, payload: bytes | memoryview) -> None:
        """See ``Connection``."""
        try:
            self._tls.write(payload)
        except ssl.SSLError as error:
            self._loop.call_soon(self._break, error)
            return
        super().write_more(self._bio_out.read())

    def _connected(self, fd: int) -> None:
        try:
            self._tls = self._context.wrap_bio(
                self._bio_in, self._bio_out, server_hostname=self.endpoint.host
            )
        except ValueError as error:
            self._break(ssl.SSLError(f"the host name {self.endpoint.host!r} suits no certificate: {error}"))
            return
        self._readiness.add(fd, self._on_handshake)
        self._shake_hands()

    def _on_handshake(self) -> None:
        assert self._sock is not None
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
            self._break(ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the server closed during the TLS handshake"))

    def _shake_hands(self) -> None:
        assert self._sock is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send_records()
        except ssl.SSLError as error:
            with contextlib.suppress(OSError):
                self._sock.send(self._bio_out.read())
            self._break(error)
        else:
            self._send_records()
            self._readiness.add(self._sock.fileno(), self._on_readable)
            self._owner.connection_opened(self)

    def _send_records(self) -> None:
        """Sends what TLS itself has to say: handshakes, key updates."""
        if self._bio_out.pending:
            self._send(self._bio_out.read())

    def _on_readable(self) -> None:
        tape = self._tape
        if tape.position > tape.room:
            tape.flush()
        start = tape.position + HEADER_SIZE
        records = tape.view[start : start + READ_MAX]
        try:
            size, ancillary, _, _ = self._recvmsg_into((records,), ANCILLARY_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(error)
            return
        loop_ns = time.monotonic_ns()
        if size == 0:
            self._ended()
            return
        self._bio_in.write(records[:size])
        try:
            ended = self._decrypt(loop_ns, ancillary[0][2] if ancillary else NO_KERNEL_TIME)
        except MISFRAMED as error:
            self._misframed(error)
            return
        except ssl.SSLError as error:
            if not self._complete:
                self._break(error)
                return
            ended = True
        self._send_records()
        if self._complete:
            self.reusable = self.reusable and not ended
            self._message_over()
        elif ended:
            self._ended()

    def _decrypt(self, loop_ns: int, kernel: bytes) -> bool:
        """Puts all that can be decrypted onto the tape; returns whether the other side ended in order."""
        tape = self._tape
        while True:
            if tape.position > tape.room:
                tape.flush()
            position = tape.position
            start = position + HEADER_SIZE
            try:
                size: int = self._tls.read(READ_MAX, tape.view[start:])  # type: ignore[assignment]
            except ssl.SSLWantReadError:
                return False
            except ssl.SSLZeroReturnError:
                return True
            if size == 0:
                return True
            HEADER.pack_into(tape.buffer, position, size, _WIRE, 0, self.key, 0, loop_ns, kernel)
            tape.position = start + size
            self._parser.feed_data(tape.view[start : start + size])
