"""httpx's own client as a sender: the same outcomes by the same names, with the stamps that it can give."""

import asyncio
import json
import socket
import threading
import time
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest
from raw_servers import OK, REQUEST, Ended, Peer, until
from tapes import load_spec

from benchkit.load.sender import Exchange
from benchkit.load.stock import StockSender
from benchkit.load.tape import SENT_DATA, Kind, Record, TapeWriter, records
from benchkit.records.kinds import ErrorKind

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class StockRig:
    """A stock sender on a tape of its own."""

    def __init__(self, folder: Path, url: str, **spec) -> None:
        target = urlsplit(url)
        self._folder, self._keys = folder, 0
        self.tape = TapeWriter(folder, 0, {})
        self.loop = asyncio.get_running_loop()
        place = {"scheme": target.scheme, "host": target.hostname, "port": target.port}
        options = {"verify_tls": False, "transport": "httpx"} | spec
        self.sender = StockSender(self.loop, self.tape, load_spec(**place, **options))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_) -> None:
        await self.sender.close()
        self.tape.close()

    def start(self, payload: bytes = REQUEST) -> tuple[Exchange, asyncio.Future[Ended]]:
        self._keys += 1
        ended: asyncio.Future[Ended] = self.loop.create_future()
        exchange = Exchange(self._keys, payload, 0, 5, lambda *result: ended.set_result(Ended(*result)))
        self.sender.send(exchange)
        assert not ended.done()
        return exchange, ended

    async def ask(self, payload: bytes = REQUEST) -> Ended:
        return await self.start(payload)[1]

    def taped(self, key: int) -> list[Record]:
        self.tape.flush()
        data = b"".join(path.read_bytes() for path in sorted(self._folder.glob("*.tape")))
        return [record for record in records(data) if record.key == key]

    def story(self, key: int) -> list[str]:
        names = [Kind(record.kind).name for record in self.taped(key)]
        return [name for place, name in enumerate(names) if place == 0 or names[place - 1] != name]

    def body(self, key: int) -> bytes:
        return b"".join(record.data for record in self.taped(key) if record.kind == Kind.BODY)


FRESH = ["CONNECT", "CONNECTED", "SENT", "HEAD", "BODY", "END"]


def test_exchanges_are_taped_decoded_with_their_stamps(run, serve, tmp_path):
    """Connecting, sending, head and body have their times; the second exchange uses the same connection."""
    seen = []

    def script(peer: Peer) -> None:
        while request := peer.request():
            seen.append(request)
            peer.send(CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Type: text/event-stream\r\n\r\n"))
            peer.send(b"5\r\nhello\r\n")
            assert go_on.acquire(timeout=20)
            peer.send(b"6\r\n world\r\n0\r\n\r\n")

    go_on = threading.Semaphore(0)
    server = serve(script)

    async def ask(rig: StockRig) -> Ended:
        exchange, ended = rig.start()
        await until(lambda: "BODY" in rig.story(exchange.key))
        await asyncio.sleep(0.01)
        go_on.release()
        return await ended

    async def scenario():
        async with StockRig(tmp_path, server.url) as rig:
            began_ns = time.monotonic_ns()
            ends = [await ask(rig) for _ in range(2)]
            assert [(end.status, end.failure) for end in ends] == [(200, None)] * 2
            assert [rig.story(key) for key in (1, 2)] == [FRESH, FRESH[2:]]
            assert [rig.body(key) for key in (1, 2)] == [b"hello world"] * 2
            for key, end in enumerate(ends, 1):
                taped = {record.kind: record for record in rig.taped(key)}
                times = [record.loop_ns for record in rig.taped(key)]
                assert times == sorted(times)
                assert times[0] > began_ns
                assert end.exchange.sent_ns == taped[Kind.SENT].loop_ns
                assert SENT_DATA.unpack(taped[Kind.SENT].data) == (0, 5)
                assert taped[Kind.HEAD].detail == 200
                assert json.loads(taped[Kind.HEAD].data) == {"content-type": "text/event-stream"}
                pieces = [record for record in rig.taped(key) if record.kind == Kind.BODY]
                assert pieces[-1].loop_ns - pieces[0].loop_ns > 9_000_000

    run(scenario())
    assert len(server.peers) == 1
    assert seen[0].startswith(b"POST /v1/completions HTTP/1.1\r\n")
    assert seen[0].endswith(b"\r\n\r\n{}")
    assert seen[0].lower().count(b"content-length") == seen[0].lower().count(b"host:") == 1


def then(*parts: bytes, reset: bool = False):
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(*parts)
        if reset:
            time.sleep(0.05)
            peer.reset()

    return script


OUTCOMES = {
    "whole": (then(OK), None, 200),
    "up to the end": (then(b"HTTP/1.1 200 OK\r\n\r\nhello"), None, 200),
    "shed": (then(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"), None, 429),
    "redirected": (then(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"), None, 302),
    "cut before the answer": (then(), ErrorKind.CUT, 0),
    "cut in the head": (then(b"HTTP/1.1 200 OK\r\n"), ErrorKind.CUT, 0),
    "cut in the body": (then(OK[:-1]), ErrorKind.CUT, 200),
    "cut in a chunk": (then(CHUNKED, b"5\r\nhel"), ErrorKind.CUT, 200),
    "reset before the answer": (then(reset=True), ErrorKind.RESET, 0),
    "reset in the body": (then(CHUNKED, b"5\r\nhel", reset=True), ErrorKind.RESET, 200),
    "garbage": (then(b"220 ESMTP ready\r\n\r\n"), ErrorKind.MALFORMED, 0),
    "a chunk of no number of bytes": (then(CHUNKED + b"zz\r\nhello\r\n"), ErrorKind.MALFORMED, 200),
    "no number as length": (then(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), ErrorKind.MALFORMED, 0),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_outcomes(on_uvloop, serve, tmp_path, case):
    """Each way to end an answer has the name that the stamped sender gives it."""
    script, kind, status = OUTCOMES[case]
    server = serve(script)

    async def scenario():
        async with StockRig(tmp_path, server.url) as rig:
            end = await rig.ask()
            assert (end.kind, end.status) == (kind, status), end.failure
            assert ("END" in rig.story(1)) == (kind is None)
            assert rig.story(1)[:3] == FRESH[:3]
            assert kind is None or end.failure.text

    on_uvloop(scenario())


def test_failures_to_connect(run, serve, tmp_path, server_context):
    """Refused, unknown and untrusted hosts have their own names; nothing is said to have been sent."""
    server = serve(Peer.answer_all, context=server_context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused = f"http://127.0.0.1:{listener.getsockname()[1]}"
    cases = [
        (refused, ErrorKind.REFUSED),
        (refused.replace("127.0.0.1", "localhost"), ErrorKind.REFUSED),
        ("http://no-such-host.invalid:80", ErrorKind.DNS),
        (server.url, ErrorKind.TLS),
    ]

    async def scenario():
        for number, (url, kind) in enumerate(cases):
            (tmp_path / str(number)).mkdir()
            async with StockRig(tmp_path / str(number), url, verify_tls=True) as rig:
                end = await rig.ask()
                assert (end.kind, end.status) == (kind, 0), end.failure
                assert "SENT" not in rig.story(1)

    run(scenario())


def test_tls(run, serve, tmp_path, server_context):
    """Over TLS the connection counts as up when TLS is."""

    def script(peer: Peer) -> None:
        peer.answer_all()

    server = serve(script, context=server_context)

    async def scenario():
        async with StockRig(tmp_path, server.url) as rig:
            assert (await rig.ask()).status == 200
            assert rig.story(1) == FRESH
            connected = [record for record in rig.taped(1) if record.kind == Kind.CONNECTED]
            assert len(connected) == 2

    run(scenario())


def test_a_timeout(run, serve, tmp_path):
    """A server that says nothing for too long is a timeout."""
    server = serve(Peer.wait_closed)

    async def scenario():
        async with StockRig(tmp_path, server.url, timeout_ns=100_000_000) as rig:
            end = await rig.ask()
            assert (end.kind, end.status) == (ErrorKind.TIMEOUT, 0)

    run(scenario())


def test_without_reuse_each_request_connects(run, serve, tmp_path):
    """With `reuse` off no connection is kept."""
    server = serve(Peer.answer_all)

    async def scenario():
        async with StockRig(tmp_path, server.url, reuse=False) as rig:
            for key in (1, 2):
                await rig.ask()
                assert rig.story(key) == FRESH

    run(scenario())
    assert len(server.peers) == 2


def test_abandoning_and_closing(run, serve, tmp_path):
    """What is dropped, or under way at the end, is closed, and its `done` is not called."""
    closed = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED, b"5\r\nhello\r\n")
        peer.wait_closed()
        closed.release()

    server = serve(script)

    async def scenario():
        async with StockRig(tmp_path, server.url) as rig:
            exchange, dropped = rig.start()
            _, left = rig.start()
            await until(lambda: "BODY" in rig.story(1) and "BODY" in rig.story(2))
            rig.sender.abandon(exchange)
            rig.sender.abandon(exchange)
            await asyncio.sleep(0.05)
            assert not left.done()
        assert not dropped.done()
        assert not left.done()

    run(scenario())
    assert all(closed.acquire(timeout=20) for _ in server.peers)


def test_a_fault_of_ours_ends_the_exchange(on_asyncio, serve, tmp_path):
    """A request that cannot be sent is a failure by name: without an end it would hang the run."""
    server = serve(Peer.answer_all)

    async def scenario():
        async with StockRig(tmp_path, server.url) as rig:
            end = await rig.ask(b"POST / HTTP/1.1\r\nX: \xff\x00\r\n\r\n")
            assert end.kind == ErrorKind.CLIENT
            assert end.failure.text

    on_asyncio(scenario())


def test_no_proxy_stands_before_this_machine(on_asyncio, serve, tmp_path, monkeypatch):
    """A proxy of the environment is used for other hosts and never for a local server."""
    proxied = []

    def proxy(peer: Peer) -> None:
        proxied.append(peer.request().split(b"\r\n")[0])
        peer.send(OK)
        peer.wait_closed()

    server, through = serve(Peer.answer_all), serve(proxy)
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", through.url)

    async def scenario():
        for number, (url, text) in enumerate(((server.url, False), ("http://elsewhere.invalid:80", True))):
            (tmp_path / str(number)).mkdir()
            async with StockRig(tmp_path / str(number), url) as rig:
                assert (await rig.ask()).status == 200
                assert bool(proxied) == text

    on_asyncio(scenario())
    assert proxied == [b"POST http://elsewhere.invalid/v1/completions HTTP/1.1"]
