"""Servers that do with a socket just what a test says, and a sender with its tape.

A script is called with a ``Peer`` for each connection, in a thread of its own. What goes wrong in a script
fails the test when the server is closed; a connection that the client ends is no fault of the script.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

from benchkit.load.connection import Endpoint
from benchkit.load.sender import Exchange, Failure, StampedSender
from benchkit.load.tape import Kind, Record, TapeWriter, records

REQUEST = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Peer:
    """The server's end of a connection.

    Attributes:
        number: of the connection, from 1.
        server: the server that it belongs to.
    """

    def __init__(self, sock: socket.socket, number: int, server: "RawServer") -> None:
        self.sock, self.number, self.server = sock, number, server
        self.pending = bytearray()

    def request(self) -> bytes:
        """The next request, head and body; empty when the client closed."""
        while b"\r\n\r\n" not in self.pending:
            if not self._more():
                return b""
        size = self.pending.index(b"\r\n\r\n") + 4
        lower = bytes(self.pending[:size]).lower()
        if b"transfer-encoding: chunked" in lower:
            while (end := self.pending.find(b"0\r\n\r\n", size)) < 0:
                if not self._more():
                    return b""
            size = end + 5
        elif b"content-length:" in lower:
            size += int(lower.partition(b"content-length:")[2].split(b"\r\n")[0])
            while len(self.pending) < size:
                if not self._more():
                    return b""
        request = bytes(self.pending[:size])
        del self.pending[:size]
        return request

    def hear(self) -> bytes:
        """Whatever the client says first."""
        self._more()
        return bytes(self.pending)

    def send(self, *parts: bytes) -> None:
        """Sends these, each by itself."""
        for part in parts:
            self.sock.sendall(part)

    def answer_all(self, answer: bytes = OK) -> None:
        """Answers every request alike until the client closes."""
        while self.request():
            self.send(answer)

    def wait_closed(self) -> None:
        """Reads until the client closes; one that closes with something unread resets the connection."""
        with contextlib.suppress(ConnectionError):
            while self._more():
                self.pending.clear()

    def reset(self) -> None:
        """Ends the connection by a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _more(self) -> bool:
        data = self.sock.recv(262_144)
        self.pending += data
        return bool(data)


class RawServer:
    """Listens on a free port of the loopback and runs a script a connection.

    Attributes:
        port: that it listens on.
        peers: of all connections so far.
    """

    def __init__(
        self,
        script: Callable[[Peer], None],
        *,
        context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.script, self.context = script, context
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, port))
        self._listener.listen(128)
        self.host, self.port = host, self._listener.getsockname()[1]
        self.peers: list[Peer] = []
        self.faults: list[BaseException] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def endpoint(self) -> Endpoint:
        """Where it is."""
        address = (self.host, self.port)
        if self._listener.family == socket.AF_INET6:
            return Endpoint(socket.AF_INET6, (*address, 0, 0), self.host)
        return Endpoint(socket.AF_INET, address, self.host)

    @property
    def url(self) -> str:
        """Its root."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.context else 'http'}://{host}:{self.port}"

    def close(self) -> None:
        """Ends it, with all connections; raises what went wrong in a script. A second call does nothing."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(20)
        self._listener.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive(), "a script did not end with its connection"
        if self.faults:
            raise self.faults[0]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(sock, len(self.peers) + 1, self)
            self.peers.append(peer)
            thread = threading.Thread(target=self._run, args=(peer,))
            self._threads.append(thread)
            thread.start()

    def _run(self, peer: Peer) -> None:
        try:
            if self.context is not None:
                peer.sock = self.context.wrap_socket(peer.sock, server_side=True)
            self.script(peer)
        except OSError:
            pass
        except BaseException as error:
            self.faults.append(error)
        finally:
            peer.sock.close()


class Loops:
    """Runs coroutines, each in a new event loop of one kind; what a callback raises fails the test."""

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._factory = factory

    def __call__(self, coroutine: Coroutine[Any, Any, Any], *, timeout_s: float = 30) -> Any:
        """Runs it to its end."""
        faults: list[dict[str, Any]] = []

        async def watched() -> Any:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
            return await asyncio.wait_for(coroutine, timeout_s)

        with asyncio.Runner(loop_factory=self._factory) as runner:
            result = runner.run(watched())
        assert not faults, faults
        return result


async def until(condition: Callable[[], object]) -> None:
    """Waits until something holds."""
    while not condition():  # noqa: ASYNC110 - what is waited for happens in threads, or on a tape
        await asyncio.sleep(0.002)


class Ended:
    """How an exchange ended: its status, its failure, and the exchange itself."""

    def __init__(self, exchange: Exchange, status: int, failure: Failure | None) -> None:
        self.exchange, self.status, self.failure = exchange, status, failure

    @property
    def kind(self) -> str | None:
        """The failure's kind; ``None`` where all went well."""
        return self.failure.kind if self.failure else None


class Rig:
    """A stamped sender on a tape of its own."""

    def __init__(
        self,
        folder: Path,
        endpoints: list[Endpoint],
        context: ssl.SSLContext | None = None,
        *,
        reuse: bool = True,
    ) -> None:
        self._folder = folder
        self.tape = TapeWriter(folder, 0, {})
        self.loop = asyncio.get_running_loop()
        self.sender = StampedSender(self.loop, self.tape, endpoints, context, reuse=reuse)
        self._keys = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sender.close()
        self.tape.close()

    def start(self, payload: bytes = REQUEST) -> tuple[Exchange, asyncio.Future[Ended]]:
        """Sends a request; the future holds how it ended."""
        self._keys += 1
        ended: asyncio.Future[Ended] = self.loop.create_future()
        exchange = Exchange(self._keys, payload, 0, 0, lambda *result: ended.set_result(Ended(*result)))
        self.sender.send(exchange)
        assert not ended.done(), "an exchange ended before `send` returned"
        return exchange, ended

    async def ask(self, payload: bytes = REQUEST) -> Ended:
        """Sends a request and waits for its end."""
        return await self.start(payload)[1]

    def taped(self, key: int | None = None) -> list[Record]:
        """What lies on the tape (of one exchange), without the segment's first record."""
        self.tape.flush()
        data = b"".join(path.read_bytes() for path in sorted(self._folder.glob("*.tape")))
        found = [record for record in records(data) if record.kind != Kind.HELLO]
        return found if key is None else [record for record in found if record.key == key]

    def story(self, key: int) -> list[str]:
        """The kinds of an exchange's records, in order, reads that follow each other as one."""
        names = [Kind(record.kind).name for record in self.taped(key)]
        return [
            name for place, name in enumerate(names) if name != "WIRE" or names[place - 1 : place] != ["WIRE"]
        ]

    def wire(self, key: int) -> bytes:
        """All that was read for an exchange."""
        return b"".join(record.data for record in self.taped(key) if record.kind == Kind.WIRE)
