"""What lands on the tape, and how an exchange ends, for everything that a server may do."""

import asyncio
import errno
import gc
import resource
import socket
import ssl
import threading
import time

import httptools
import pytest
from raw_servers import OK, REQUEST, Peer, Rig, until

from benchkit.errors import Unreachable
from benchkit.load.connection import Connection, ConnectionEnded, Endpoint
from benchkit.load.sender import failure_of, resolve
from benchkit.load.tape import SENT_DATA, Kind
from benchkit.records.kinds import ErrorKind

FRESH = ["CONNECT", "CONNECTED", "SENT", "WIRE", "END"]
REUSED = ["SENT", "WIRE", "END"]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def refusing() -> Endpoint:
    return Endpoint(socket.AF_INET, ("127.0.0.1", free_port()), "127.0.0.1")


def test_connections_are_kept_and_each_exchange_is_taped_whole(run, serve, tmp_path):
    """The first exchange connects, the next use the same connection; the tape has every byte of each."""
    server = serve(Peer.answer_all)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            ends = [await rig.ask() for _ in range(3)]
            assert [(end.status, end.failure, end.exchange.attempt) for end in ends] == [(200, None, 1)] * 3
            assert [rig.story(key) for key in (1, 2, 3)] == [FRESH, REUSED, REUSED]
            assert [rig.wire(key) for key in (1, 2, 3)] == [OK] * 3
            sent = [record for record in rig.taped() if record.kind == Kind.SENT]
            assert len({SENT_DATA.unpack(record.data)[0] for record in sent}) == 1
            assert [record.loop_ns for record in sent] == [end.exchange.sent_ns for end in ends]
            times = [record.loop_ns for record in rig.taped()]
            assert times == sorted(times)

    run(scenario())
    assert len(server.peers) == 1


def test_exchanges_side_by_side_have_connections_of_their_own(run, serve, tmp_path):
    """A hundred requests at once open a hundred connections, and a hundred more open none."""
    together = threading.Barrier(100, timeout=20)

    def script(peer: Peer) -> None:
        peer.request()
        together.wait()
        peer.send(OK)
        peer.answer_all()

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            for _ in range(2):
                ends = await asyncio.gather(*(rig.start()[1] for _ in range(100)))
                assert [end.status for end in ends] == [200] * 100

    run(scenario())
    assert len(server.peers) == 100


@pytest.mark.parametrize("how", ["closed", "reset", "closed unread"])
def test_a_stale_connection_is_replaced_once(run, serve, tmp_path, how):
    """A request on a connection that the server just gave up is sent again; `sent` stays the first."""
    gone = threading.Event()

    def script(peer: Peer) -> None:
        if peer.number == 1:
            peer.request()
            peer.send(OK)
            if how == "closed unread":
                peer.sock.close()
            else:
                peer.request()
                if how == "reset":
                    peer.reset()
            gone.set()
        else:
            peer.answer_all()

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            await rig.ask()
            if how == "closed unread":
                # Without giving the loop a chance to notice.
                gone.wait(20)
            end = await rig.ask()
            assert (end.status, end.failure, end.exchange.attempt) == (200, None, 2)
            assert rig.story(2) == ["SENT", *FRESH]
            first, second = (record for record in rig.taped(2) if record.kind == Kind.SENT)
            assert (first.detail, second.detail) == (1, 2)
            assert end.exchange.sent_ns == first.loop_ns < second.loop_ns
            assert rig.wire(2) == OK
            assert rig.story((await rig.ask()).exchange.key) == REUSED

    run(scenario())
    assert len(server.peers) == 2


def test_no_second_attempt_once_a_byte_has_come(run, serve, tmp_path):
    """A kept connection that breaks behind the first byte of an answer fails its request."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        peer.request()
        peer.send(b"H")

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            await rig.ask()
            end = await rig.ask()
            assert (end.kind, end.exchange.attempt, rig.wire(2)) == (ErrorKind.CUT, 1, b"H")

    run(scenario())
    assert len(server.peers) == 1


def test_no_third_attempt(on_uvloop, serve, tmp_path):
    """A request whose second connection breaks as well fails, even if that happens without a byte."""

    def script(peer: Peer) -> None:
        if peer.number == 1:
            peer.request()
            peer.send(OK)
        peer.request()

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            await rig.ask()
            end = await rig.ask()
            assert (end.kind, end.status, end.exchange.attempt) == (ErrorKind.CUT, 0, 2)
            assert rig.story(2) == ["SENT", "CONNECT", "CONNECTED", "SENT"]

    on_uvloop(scenario())
    assert len(server.peers) == 2


def test_no_second_attempt_on_a_fresh_connection(on_uvloop, serve, tmp_path):
    """A server that closes a fresh connection without an answer is a failure, not a stale connection."""
    server = serve(Peer.request)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            end = await rig.ask()
            assert (end.kind, end.exchange.attempt) == (ErrorKind.CUT, 1)

    on_uvloop(scenario())
    assert len(server.peers) == 1


@pytest.mark.parametrize("says_so", [True, False])
def test_a_server_that_closes_after_each_answer(run, serve, tmp_path, says_so):
    """Whether it announces it or not, each request has a connection of its own and one attempt."""
    answer = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") if says_so else OK

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            for key in (1, 2, 3):
                end = await rig.ask()
                assert (end.status, end.failure, end.exchange.attempt) == (200, None, 1)
                assert rig.story(key) == FRESH
                await until(lambda: not rig.sender._idle)

    run(scenario())
    assert len(server.peers) == 3


def test_without_reuse_nothing_is_kept(run, serve, tmp_path):
    """With `reuse` off every request connects, and no connection outlives its answer."""
    closed = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        peer.wait_closed()
        closed.release()

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint], reuse=False) as rig:
            for key in (1, 2, 3):
                await rig.ask()
                assert rig.story(key) == FRESH
                assert closed.acquire(timeout=20)

    run(scenario())
    assert len(server.peers) == 3


def after_request(*parts: bytes, reset: bool = False):
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(*parts)
        if reset:
            # The client must have read what was sent: a reset may overtake it.
            time.sleep(0.05)
            peer.reset()

    return script


BROKEN = {
    "cut before the answer": (after_request(), ErrorKind.CUT, 0),
    "cut in the head": (after_request(b"HTTP/1.1 200 OK\r\nContent-"), ErrorKind.CUT, 0),
    "cut in a body of known length": (after_request(OK[:-1]), ErrorKind.CUT, 200),
    "cut in a chunk": (after_request(CHUNKED, b"5\r\nhel"), ErrorKind.CUT, 200),
    "cut before the last chunk": (after_request(CHUNKED, b"5\r\nhello\r\n"), ErrorKind.CUT, 200),
    "reset before the answer": (after_request(reset=True), ErrorKind.RESET, 0),
    "reset in the body": (after_request(CHUNKED, b"5\r\nhel", reset=True), ErrorKind.RESET, 200),
    "garbage": (after_request(b"SSH-2.0-OpenSSH_9.2p1\r\n"), ErrorKind.MALFORMED, 0),
    "a chunk of no number of bytes": (after_request(CHUNKED + b"zz\r\nhello\r\n"), ErrorKind.MALFORMED, 200),
    "a chunk longer than it says": (
        after_request(CHUNKED + b"3\r\nhello\r\n0\r\n\r\n"),
        ErrorKind.MALFORMED,
        200,
    ),
    "no number as length": (
        after_request(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
        ErrorKind.MALFORMED,
        0,
    ),
    "another protocol": (
        after_request(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
        ErrorKind.MALFORMED,
        None,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_answer_fails_by_name(on_uvloop, serve, tmp_path, case):
    """Each way to break an answer has its kind, the status that was seen, and all bytes on the tape."""
    script, kind, status = BROKEN[case]
    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            end = await rig.ask()
            assert end.kind == kind, end.failure
            assert status is None or end.status == status
            assert end.failure.text
            assert rig.story(1)[:3] == FRESH[:3]
            assert "END" not in rig.story(1)
            assert not rig.sender._open_ones

    on_uvloop(scenario())


def test_a_refused_connection(run, tmp_path):
    """Nobody listens: refused, with a start of connecting and no more on the tape."""

    async def scenario():
        async with Rig(tmp_path, [refusing()]) as rig:
            end = await rig.ask()
            assert (end.kind, end.status) == (ErrorKind.REFUSED, 0)
            assert rig.story(1) == ["CONNECT"]

    run(scenario())


def test_the_next_address_is_tried_and_remembered(run, serve, tmp_path):
    """Where the first address refuses, the second is used; later connections go to it at once."""
    gate = threading.Barrier(6, timeout=20)

    def script(peer: Peer) -> None:
        peer.request()
        if peer.number <= 6:
            gate.wait()
        peer.send(OK)
        peer.answer_all()

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [refusing(), server.endpoint]) as rig:
            # Several find out at the same time: that must not turn the order round again.
            ends = await asyncio.gather(*(rig.start()[1] for _ in range(6)))
            assert [end.status for end in ends] == [200] * 6
            assert rig.story(1) == ["CONNECT", *FRESH]
            ends = await asyncio.gather(*(rig.start()[1] for _ in range(8)))
            assert [rig.story(end.exchange.key) for end in ends[6:]] == [FRESH, FRESH]

    run(scenario())


def test_all_addresses_refuse(on_uvloop, tmp_path):
    """The last address's failure is the request's."""

    async def scenario():
        async with Rig(tmp_path, [refusing(), refusing()]) as rig:
            assert (await rig.ask()).kind == ErrorKind.REFUSED
            assert rig.story(1) == ["CONNECT", "CONNECT"]

    on_uvloop(scenario())


def test_an_ipv6_address(on_uvloop, serve, tmp_path):
    """IPv6 works like IPv4."""
    server = serve(Peer.answer_all, host="::1")

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            assert (await rig.ask()).status == 200

    on_uvloop(scenario())


def test_an_abandoned_exchange_is_never_heard_of(run, serve, tmp_path):
    """Dropped while connecting, waiting or answering: its connection is closed and `done` is not called."""
    closed = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.request()
        if peer.number == 2:
            peer.send(CHUNKED, b"5\r\nhello\r\n")
        peer.wait_closed()
        closed.release()

    server = serve(script)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        silent = Endpoint(socket.AF_INET, full.getsockname(), "127.0.0.1")
        with socket.create_connection(silent.address):

            async def scenario():
                async with Rig(tmp_path, [server.endpoint]) as rig:
                    waiting = [rig.start() for _ in range(2)]
                    await until(lambda: {Kind.SENT, Kind.WIRE} <= {record.kind for record in rig.taped()})
                    await until(lambda: sum(record.kind == Kind.SENT for record in rig.taped()) == 2)
                    for exchange, _ in waiting:
                        rig.sender.abandon(exchange)
                        assert closed.acquire(timeout=20)
                        rig.sender.abandon(exchange)
                    rig.sender._endpoints = (silent,)
                    exchange, connecting = rig.start()
                    await asyncio.sleep(0.05)
                    assert rig.story(3) == ["CONNECT"]
                    rig.sender.abandon(exchange)
                    await asyncio.sleep(0.05)
                    assert not connecting.done()
                    assert not any(ended.done() for _, ended in waiting)
                    assert not rig.sender._open_ones

            run(scenario())


def test_closing_ends_every_connection(run, serve, tmp_path):
    """Idle, waiting and opening connections are closed with their sender, and nobody is told."""
    closed = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.request()
        if peer.number == 1:
            peer.send(OK)
        peer.wait_closed()
        closed.release()

    server = serve(script)

    async def scenario():
        rig = Rig(tmp_path, [server.endpoint])
        async with rig:
            await rig.ask()
            _, on_it = rig.start()
            _, beside = rig.start()
            await until(lambda: len(server.peers) == 2)
        assert closed.acquire(timeout=20)
        assert closed.acquire(timeout=20)
        await asyncio.sleep(0.02)
        assert not on_it.done()
        assert not beside.done()

    run(scenario())


@pytest.mark.parametrize("then", ["waits", "closes"])
def test_an_answer_before_the_request_has_left(run, serve, tmp_path, then):
    """A server that refuses a large body unread is heard; what was never sent is not stamped, nor reused."""
    answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"

    def script(peer: Peer) -> None:
        if peer.number == 1:
            peer.sock.recv(1000)
            peer.send(answer)
            if then == "waits":
                done.wait(20)
        else:
            peer.answer_all()

    server = serve(script)
    done = threading.Event()

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            large = b"POST / HTTP/1.1\r\nContent-Length: 16000000\r\n\r\n" + bytes(16_000_000)
            end = await rig.ask(large)
            assert (end.status, end.failure) == (413, None)
            assert rig.story(1) == ["CONNECT", "CONNECTED", "WIRE", "END"]
            assert end.exchange.sent_ns == 0
            done.set()
            again = await rig.ask()
            assert (again.status, again.exchange.attempt) == (200, 1)

    run(scenario())
    assert len(server.peers) == 2


def test_a_large_request_leaves_in_pieces(run, serve, tmp_path):
    """`sent` is when the last byte is with the kernel, not when the writing began."""
    body = bytes(range(256)) * 32_000
    read_on = threading.Event()
    seen = []

    def script(peer: Peer) -> None:
        read_on.wait(20)
        seen.append(peer.request())
        peer.send(OK)
        peer.wait_closed()

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            exchange, ended = rig.start(
                b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            await asyncio.sleep(0.1)
            assert exchange.sent_ns == 0
            let_go_ns = time.monotonic_ns()
            read_on.set()
            assert (await ended).status == 200
            assert rig.story(1) == FRESH
            assert exchange.sent_ns > let_go_ns

    run(scenario())
    assert seen[0].endswith(body)


UNASKED = {
    "garbage": b"\x00\xff nonsense",
    "a whole answer": b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "the beginning of an answer": b"HTTP/1.1 200",
    "a head": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
}


@pytest.mark.parametrize("case", UNASKED)
def test_what_comes_unasked_spoils_no_exchange(on_uvloop, serve, tmp_path, case):
    """Data on an idle connection ends it; the next request has a fresh one and its own answer, at once."""
    now = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        if peer.number == 1:
            now.wait(20)
            peer.send(UNASKED[case])
        peer.answer_all()

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            await rig.ask()
            now.set()
            await until(lambda: any(record.key == 0 and record.kind == Kind.WIRE for record in rig.taped()))
            await asyncio.sleep(0.01)
            end = await rig.ask()
            assert (end.status, end.failure) == (200, None)
            assert rig.wire(2) == OK
            assert (rig.story(1), rig.story(2)) == (FRESH, FRESH)

    on_uvloop(scenario())
    assert len(server.peers) == 2


@pytest.mark.parametrize("tail", [OK.replace(b"200", b"500"), b"HTTP/1.1 500", b"rubbish"])
def test_what_comes_behind_an_answer_is_not_part_of_it(on_uvloop, serve, tmp_path, tail):
    """Bytes behind a whole answer, in the same read, neither change it nor reach the next exchange."""

    def script(peer: Peer) -> None:
        while peer.request():
            peer.send(OK + tail if peer.number == 1 else OK)

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            for _ in range(2):
                end = await rig.ask()
                assert (end.status, end.failure, end.exchange.attempt) == (200, None, 1)
            assert rig.wire(1) == OK + tail
            assert (rig.wire(2), rig.story(2)) == (OK, FRESH)

    on_uvloop(scenario())


def test_bytes_behind_a_closing_answer(on_uvloop, serve, tmp_path):
    """An answer that announces the end of the connection counts, whatever follows it."""
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
    server = serve(after_request(answer + b"more"))

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            end = await rig.ask()
            assert (end.status, end.failure) == (200, None)

    on_uvloop(scenario())


WHOLE = {
    "of known length": ([OK], 200, True),
    "in chunks": ([CHUNKED, b"5\r\nhello\r\n", b"0\r\n\r\n"], 200, True),
    "in chunks with a trailer": ([CHUNKED, b"5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n"], 200, True),
    "byte by byte": ([OK[place : place + 1] for place in range(len(OK))], 200, True),
    "up to the end": ([b"HTTP/1.1 200 OK\r\n\r\n", b"hello"], 200, False),
    "up to the end, of HTTP/1.0": ([b"HTTP/1.0 200 OK\r\n\r\nhello"], 200, False),
    "up to the end, by another coding": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx"],
        200,
        False,
    ),
    "behind informational ones": (
        [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n", OK],
        200,
        True,
    ),
    "without a body": ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, True),
    "not modified": ([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"], 304, True),
    "shed": ([b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"], 429, True),
}


@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_answer_ends_by_its_own_framing(on_uvloop, serve, tmp_path, case):
    """However its end is told, an answer has one END and all its bytes; the connection is kept if it can."""
    parts, status, kept = WHOLE[case]

    def script(peer: Peer) -> None:
        while peer.request():
            for part in parts:
                peer.send(part)
                time.sleep(0.0005)
            if not kept:
                return

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            for _ in range(2):
                end = await rig.ask()
                assert (end.status, end.failure, end.exchange.attempt) == (status, None, 1)
            assert rig.story(1) == FRESH
            assert rig.story(2) == (REUSED if kept else FRESH)
            assert rig.wire(1) == rig.wire(2) == b"".join(parts)

    on_uvloop(scenario())


def test_a_request_too_many_for_this_machine(on_uvloop, serve, tmp_path):
    """Without a free descriptor the failure is called the client's own, and says what to raise."""
    server = serve(Peer.answer_all)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            await rig.ask()
            kept, _ = rig.start()
            with socket.socket() as probe:
                resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno(), hard))
            try:
                end = await rig.ask()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert end.kind == ErrorKind.CLIENT
            assert "ulimit" in end.failure.text
            rig.sender.abandon(kept)

    on_uvloop(scenario())


def test_tls_exchanges_look_the_same_on_the_tape(run, serve, tmp_path, server_context, client_context):
    """Over TLS the tape has the same records and the decrypted bytes, kept and stale connections included."""

    def script(peer: Peer) -> None:
        for _ in range(2 if peer.number == 1 else 10):
            if not peer.request():
                return
            peer.send(OK)
        peer.request()

    server = serve(script, context=server_context)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint], client_context) as rig:
            ends = [await rig.ask() for _ in range(3)]
            assert [(end.status, end.exchange.attempt) for end in ends] == [(200, 1), (200, 1), (200, 2)]
            assert [rig.story(key) for key in (1, 2, 3)] == [FRESH, REUSED, ["SENT", *FRESH]]
            assert [rig.wire(key) for key in (1, 2, 3)] == [OK] * 3

    run(scenario())


def test_a_pause_of_the_reader_is_visible_on_the_tape(on_asyncio, serve, tmp_path):
    """What arrived while the loop slept shares one read, hence one stamp, and its lag tells of the sleep."""
    events = [b"data: %02d\n\n" % number for number in range(20)]

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED)
        for event in events:
            peer.send(b"%x\r\n%b\r\n" % (len(event), event))
            time.sleep(0.01)
        all_sent.set()
        peer.send(b"0\r\n\r\n")
        peer.wait_closed()

    all_sent = threading.Event()
    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            _, ended = rig.start()
            await until(lambda: b"data: 04" in rig.wire(1))
            # The loop sleeps until everything is there, and a while longer.
            all_sent.wait(20)
            time.sleep(0.1)  # noqa: ASYNC251
            await ended
            reads = [record for record in rig.taped(1) if record.kind == Kind.WIRE]
            assert max(record.data.count(b"data: ") for record in reads) >= 10
            assert len({record.loop_ns for record in reads}) == len(reads)
            offset_ns = time.time_ns() - time.monotonic_ns()
            lags_ms = [(record.loop_ns + offset_ns - kernel_ns(record.kernel)) / 1e6 for record in reads]
            assert max(lags_ms) > 90
            assert lags_ms[0] < max(lags_ms)

    on_asyncio(scenario())


def kernel_ns(timespec: bytes) -> int:
    return int.from_bytes(timespec[:8], "little") * 1_000_000_000 + int.from_bytes(timespec[8:], "little")


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("reuse", [False, True])
def test_every_read_has_a_receive_time(run, serve, tmp_path, server_context, client_context, tls, reuse):
    """The kernel stamps every read, of fresh connections too, and before the loop does."""
    server = serve(Peer.answer_all, context=server_context if tls else None)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint], client_context if tls else None, reuse=reuse) as rig:
            await asyncio.sleep(0.05)
            for _ in range(8):
                await rig.ask()
            offset_ns = time.time_ns() - time.monotonic_ns()
            reads = [record for record in rig.taped() if record.kind == Kind.WIRE]
            lags_us = [(record.loop_ns + offset_ns - kernel_ns(record.kernel)) / 1e3 for record in reads]
            assert len(lags_us) >= 8
            assert min(lags_us) > -100
            assert min(lags_us) < 2_000
            assert rig.sender.kernel_times

    run(scenario())


@pytest.mark.parametrize("fallback", ["kernel_times", "epoll", "kernel_times,epoll"])
def test_fallbacks_send_and_receive_alike(run, serve, tmp_path, monkeypatch, fallback):
    """Without receive times or an epoll of ours the same is taped; receive times are then zeros."""
    monkeypatch.setenv("BENCHKIT_FALLBACKS", fallback)
    server = serve(Peer.answer_all)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            await asyncio.sleep(0.05)
            for _ in range(3):
                assert (await rig.ask()).status == 200
            assert [rig.story(key) for key in (1, 2, 3)] == [FRESH, REUSED, REUSED]
            stamped = [any(record.kernel) for record in rig.taped() if record.kind == Kind.WIRE]
            assert stamped == [fallback == "epoll"] * 3
            assert rig.sender.kernel_times == (fallback == "epoll")
            assert rig.sender._readiness.name == ("loop" if "epoll" in fallback else "epoll")

    run(scenario())


def test_closed_connections_take_no_memory_while_gc_is_off(
    on_uvloop, serve, tmp_path, server_context, client_context
):
    """A run with a new connection for each request does not grow: nothing that is over refers to itself."""
    server = serve(Peer.answer_all)
    secure = serve(Peer.answer_all, context=server_context)

    async def scenario(rig: Rig):
        async with rig:
            for _ in range(5):
                await rig.ask()
            exchange, _ = rig.start()
            rig.sender.abandon(exchange)
            rig.sender._endpoints = (refusing(),)
            await rig.ask()

    async def both():
        for name, endpoint, context in (("a", server.endpoint, None), ("b", secure.endpoint, client_context)):
            (tmp_path / name).mkdir()
            await scenario(Rig(tmp_path / name, [endpoint], context, reuse=False))

    gc.collect()
    gc.disable()
    try:
        on_uvloop(both())
        left = [found for found in gc.get_objects() if isinstance(found, Connection)]
    finally:
        gc.enable()
    assert not left


@pytest.mark.parametrize(
    ("error", "connecting", "kind"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), True, ErrorKind.REFUSED),
        (ConnectionResetError(errno.ECONNRESET, "x"), True, ErrorKind.RESET),
        (BrokenPipeError(errno.EPIPE, "x"), False, ErrorKind.RESET),
        (TimeoutError(errno.ETIMEDOUT, "x"), True, ErrorKind.TIMEOUT),
        (OSError(errno.EHOSTUNREACH, "x"), True, ErrorKind.CONNECT),
        (OSError(errno.EADDRNOTAVAIL, "x"), True, ErrorKind.CLIENT),
        (OSError(errno.EMFILE, "x"), True, ErrorKind.CLIENT),
        (socket.gaierror(socket.EAI_NONAME, "x"), True, ErrorKind.DNS),
        (ssl.SSLCertVerificationError(1, "x"), True, ErrorKind.TLS),
        (ssl.SSLEOFError(8, "x"), True, ErrorKind.TLS),
        (ConnectionEnded(errno.ECONNRESET, "x"), False, ErrorKind.CUT),
        (httptools.HttpParserError("x"), False, ErrorKind.MALFORMED),
        (KeyError("x"), False, ErrorKind.CLIENT),
    ],
)
def test_failures_have_names(error, connecting, kind):
    """Every error of a connection has its kind, and a text."""
    failure = failure_of(error, connecting=connecting)
    assert failure.kind == kind
    assert "x" in failure.text


def test_names_are_resolved_before_the_load():
    """A host name gives endpoints in the resolver's order; one without is an error that names it."""
    assert Endpoint(socket.AF_INET, ("127.0.0.1", 80), "localhost") in resolve("localhost", 80)
    for name in ("no-such-host.invalid", "x" * 70):
        with pytest.raises(Unreachable, match=name):
            resolve(name, 80)


def test_the_smallest_request_is_one_send(on_uvloop, serve, tmp_path):
    """A request leaves as it is, byte for byte."""
    seen = []

    def script(peer: Peer) -> None:
        seen.append(peer.request())
        peer.send(OK)
        peer.wait_closed()

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint]) as rig:
            await rig.ask()

    on_uvloop(scenario())
    assert seen == [REQUEST]
