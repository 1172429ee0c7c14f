"""One connection, without a pool: framing cut at any byte, a tape that runs full, pausing, closing."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_servers import OK, REQUEST, Peer, until

from benchkit.load.clock import KernelStamping
from benchkit.load.connection import Connection, Endpoint
from benchkit.load.readiness import make_readiness
from benchkit.load.tape import BUFFER_SIZE, HEADER_SIZE, READ_MAX, Kind, TapeWriter, records

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MESSAGES = [
    OK,
    CHUNKED + b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
    CHUNKED + b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
    CONTINUE + OK,
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
]


class Log:
    """An owner that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def connection_opened(self, connection: Connection) -> None:
        self.told.append(("opened",))

    def connection_failed(self, connection: Connection, error: Exception) -> None:
        self.told.append(("failed", error))

    def request_written(self, connection: Connection) -> None:
        self.told.append(("written",))

    def message_complete(self, connection: Connection) -> None:
        self.told.append(("complete", connection.status, connection.reusable))

    @property
    def words(self) -> list[str]:
        return [each[0] for each in self.told]


class NoReadiness:
    name = "none"

    def add(self, fd, callback) -> None: ...

    def remove(self, fd) -> None: ...

    def close(self) -> None: ...


class MemoryTape:
    """A tape of a given size in memory; what is flushed is kept aside."""

    def __init__(self, size: int = 4 * READ_MAX) -> None:
        self.buffer = bytearray(size)
        self.view = memoryview(self.buffer)
        self.position = 0
        self.room = size - READ_MAX - HEADER_SIZE
        self.flushed = b""

    def flush(self) -> None:
        self.flushed += bytes(self.view[: self.position])
        self.position = 0

    def wire(self) -> bytes:
        everything = self.flushed + bytes(self.view[: self.position])
        return b"".join(record.data for record in records(everything) if record.kind == Kind.WIRE)


@contextlib.contextmanager
def wired(tape: MemoryTape | None = None) -> Iterator[tuple[Connection, Log, MemoryTape, socket.socket]]:
    """A connection in the middle of an exchange, on a pair of sockets, without an event loop's help."""
    loop = asyncio.new_event_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    log, tape = Log(), tape or MemoryTape()
    connection = Connection(loop, NoReadiness(), log, tape, Endpoint(socket.AF_INET, None, "x"), 1)
    connection._sock, connection._recvmsg_into = ours, ours.recvmsg_into
    connection.key = 1
    try:
        yield connection, log, tape, theirs
    finally:
        connection.close()
        ours.close()
        theirs.close()
        loop.close()


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted({cut % len(data) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in pairwise(places) if start < end]


@given(message=st.sampled_from(MESSAGES), cuts=st.lists(st.integers(0, 10_000), max_size=12))
@settings(deadline=None, max_examples=60)
def test_an_answer_cut_anywhere_completes_with_its_last_byte(message, cuts):
    """The end is told once, with the last byte and not before, and the tape has just what came."""
    with wired() as (connection, log, tape, theirs):
        parts = pieces(message, cuts)
        for part in parts[:-1]:
            theirs.sendall(part)
            connection._on_readable()
            assert log.told == []
        theirs.sendall(parts[-1])
        connection._on_readable()
        assert log.told == [("complete", int(message.rpartition(b"HTTP/1.1 ")[2][:3]), True)]
        assert tape.wire() == message


@given(
    message=st.sampled_from(MESSAGES),
    tail=st.sampled_from([OK, OK[:9], b"H", b"\x00", b"garbage", CONTINUE]),
    cuts=st.lists(st.integers(0, 10_000), max_size=6),
)
@settings(deadline=None, max_examples=60)
def test_what_follows_an_answer_never_completes_it_twice(message, tail, cuts):
    """Whatever follows an answer, and wherever it is cut: one end, its own status, no further use."""
    with wired() as (connection, log, _, theirs):
        for part in pieces(message + tail, cuts):
            if connection.closed:
                break
            theirs.sendall(part)
            connection._on_readable()
            if log.told:
                connection.key = 0
        status = int(message.rpartition(b"HTTP/1.1 ")[2][:3])
        assert [each[:2] for each in log.told if each[0] == "complete"] == [("complete", status)]
        assert not connection.reusable


@given(data=st.binary(min_size=1, max_size=300), cuts=st.lists(st.integers(0, 1000), max_size=5))
@settings(deadline=None, max_examples=60)
def test_any_bytes_are_survived(data, cuts):
    """Nothing that a server may send raises out of the reading path, and the tape has it all."""
    with wired() as (connection, log, tape, theirs):
        sent = b""
        for part in pieces(data, cuts):
            if log.told:
                break
            theirs.sendall(part)
            sent += part
            connection._on_readable()
        assert tape.wire() == sent
        assert len(log.told) <= 1


def test_a_read_fits_even_where_the_tape_is_nearly_full():
    """Reads of every size land on a tape that is flushed whenever less than the largest read would fit."""
    body = bytes(range(256)) * 4_000
    message = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with wired(MemoryTape(2 * READ_MAX)) as (connection, log, tape, theirs):
        theirs.setblocking(False)
        place, size = 0, 1
        while place < len(message):
            with contextlib.suppress(BlockingIOError):
                place += theirs.send(message[place : place + size])
                size = size * 3 % 99_991
            connection._on_readable()
        assert log.words == ["complete"]
        assert tape.wire() == message


def test_a_readiness_without_data_is_harmless():
    """Called without anything to read, a connection reads nothing and says nothing."""
    with wired() as (connection, log, tape, _):
        connection._on_readable()
        assert (log.told, tape.position, connection.answered) == ([], 0, False)


def test_an_answer_without_a_body_of_its_own():
    """An answer to HEAD ends with its head; the connection can be used again if that says a length."""
    with wired() as (connection, log, _, theirs):
        connection.head_only = True
        for length, reusable in ((b"Content-Length: 99\r\n", True), (b"", False)):
            theirs.sendall(b"HTTP/1.1 200 OK\r\n%b\r\n" % length)
            connection._on_readable()
            assert log.told.pop() == ("complete", 200, reusable)


def test_reading_can_be_paused(run, serve, tmp_path: Path):
    """Between `pause` and `resume` nothing is read, and nothing is lost."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED)
        peer.request()
        peer.send(b"5\r\nhello\r\n0\r\n\r\n")
        peer.wait_closed()

    server = serve(script)

    async def scenario():
        loop = asyncio.get_running_loop()
        readiness, tape, log = make_readiness(loop), MemoryTape(), Log()
        connection = Connection(loop, readiness, log, tape, server.endpoint, 7)
        connection.open()
        assert log.told == []
        await until(lambda: log.told)
        connection.key = 1
        connection.write(REQUEST)
        assert log.words == ["opened", "written"]
        await until(lambda: tape.position)
        connection.pause()
        connection.write_more(REQUEST)
        await asyncio.sleep(0.05)
        assert tape.wire() == CHUNKED
        connection.resume()
        await until(lambda: "complete" in log.words)
        assert log.told[-1] == ("complete", 200, True)
        connection.close()
        connection.close()
        connection.resume()
        await asyncio.sleep(0.01)
        assert log.words == ["opened", "written", "written", "complete"]
        readiness.close()

    run(scenario())


def test_nothing_is_told_before_open_and_write_return(run, serve):
    """A connection that fails at once, in connecting or in writing, says so later."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.reset()

    server = serve(script)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = Endpoint(socket.AF_INET, listener.getsockname(), "127.0.0.1")

    async def scenario():
        loop = asyncio.get_running_loop()
        readiness = make_readiness(loop)
        for endpoint in (
            nobody,
            Endpoint(-1, ("127.0.0.1", 80), "no family"),
        ):
            log = Log()
            connection = Connection(loop, readiness, log, MemoryTape(), endpoint, 1)
            connection.open()
            assert log.told == []
            await until(lambda log=log: log.told)
            assert log.words == ["failed"]
            assert isinstance(log.told[0][1], OSError)
        log = Log()
        connection = Connection(loop, readiness, log, MemoryTape(), server.endpoint, 1)
        connection.open()
        await until(lambda: log.told)
        connection.key = 1
        connection.write(REQUEST)
        # Without giving the loop a chance to see the reset.
        time.sleep(0.1)  # noqa: ASYNC251
        told = list(log.told)
        connection.write(REQUEST)
        assert [each for each in log.told if each not in told and each[0] == "failed"] == []
        await until(lambda: "failed" in log.words)
        assert isinstance(log.told[-1][1], ConnectionError)
        assert connection.closed
        readiness.close()

    run(scenario())


def test_a_connection_closed_before_its_failure_is_heard_says_nothing(run):
    """`close` silences what was about to be told."""

    async def scenario():
        loop = asyncio.get_running_loop()
        readiness, log = make_readiness(loop), Log()
        connection = Connection(
            loop, readiness, log, MemoryTape(), Endpoint(-1, ("127.0.0.1", 80), "no family"), 1
        )
        connection.open()
        connection.close()
        await asyncio.sleep(0.01)
        assert log.told == []
        readiness.close()

    run(scenario())


def test_the_tape_gets_bytes_where_they_lie(on_uvloop, serve, tmp_path):
    """On a real tape, megabytes of reads cross the buffer's end without a gap."""
    body = bytes(range(256)) * (3 * BUFFER_SIZE // 256)
    message = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(message)
        peer.wait_closed()

    server = serve(script)

    async def scenario():
        loop = asyncio.get_running_loop()
        stamping = KernelStamping()
        readiness, log, tape = make_readiness(loop), Log(), TapeWriter(tmp_path, 0, {})
        connection = Connection(loop, readiness, log, tape, server.endpoint, 1)
        connection.open()
        await until(lambda: log.told)
        connection.key = 9
        connection.write(REQUEST)
        await until(lambda: "complete" in log.words)
        connection.close()
        readiness.close()
        stamping.close()
        tape.close()

    on_uvloop(scenario())
    data = b"".join(path.read_bytes() for path in sorted(tmp_path.glob("*.tape")))
    wire = [record for record in records(data) if record.kind == Kind.WIRE]
    assert {record.key for record in wire} == {9}
    assert b"".join(record.data for record in wire) == message


@pytest.mark.parametrize("attribute", ["__dict__", "__weakref__"])
def test_connections_are_small(attribute):
    """Thousands of connections fit: an instance has slots and nothing else."""
    with wired() as (connection, _, _, _):
        assert not hasattr(connection, attribute)
