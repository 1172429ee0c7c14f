"""The stamped transport does for any httpx client what httpx's own does, and stamps every read beside."""

import asyncio
import socket
import threading
import time
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
import uvloop
from raw_servers import OK, Peer, until

from benchkit.load.memory import HELD_MAX
from benchkit.load.transport import StampedTransport, Stamps

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def client(**options) -> httpx.AsyncClient:
    transport = StampedTransport(**{name: options.pop(name) for name in ("verify",) if name in options})
    return httpx.AsyncClient(transport=transport, timeout=options.pop("timeout", 20), **options)


def stamps_of(response: httpx.Response) -> Stamps:
    return response.extensions["benchkit"]


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = (b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", body)
    return b"\r\n".join(lines)


def echo(peer: Peer) -> None:
    """Answers with the request itself."""
    while request := peer.request():
        head = request.startswith(b"HEAD")
        whole = answer(request)
        peer.send(whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if head else whole)


def test_requests_arrive_as_they_were_meant(run, serve):
    """Method, path, query, headers and body reach the server; the answer's parts reach the caller."""
    server = serve(echo)

    async def scenario():
        async with client() as http:
            got = await http.get(server.url + "/a b?q=ü", headers={"X-One": "1"})
            assert got.content.startswith(b"GET /a%20b?q=%C3%BC HTTP/1.1\r\n")
            assert b"\r\nX-One: 1\r\n" in got.content
            assert b"Host: 127.0.0.1:%d\r\n" % server.port in got.content
            assert (got.status_code, got.reason_phrase, got.http_version) == (200, "OK", "HTTP/1.1")
            posted = await http.post(server.url, json={"stream": True})
            assert posted.content.endswith(b'\r\n\r\n{"stream":true}')
            empty = await http.post(server.url)
            assert b"Content-Length: 0\r\n" in empty.content
            head = await http.head(server.url)
            assert (head.content, int(head.headers["content-length"]) > 0) == (b"", True)
            assert (await http.get(server.url)).content.startswith(b"GET / ")

    run(scenario())
    assert len(server.peers) == 1


BODIES = {
    "of known length": ([OK], b"hello"),
    "in chunks": ([CHUNKED, b"2\r\nhe\r\n", b"3;x=y\r\nllo\r\n0\r\n", b"A: b\r\n\r\n"], b"hello"),
    "up to the end": ([b"HTTP/1.1 200 OK\r\n\r\nhe", b"llo"], b"hello"),
    "behind informational ones": (
        [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK],
        b"hello",
    ),
    "none": ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
    "not modified": ([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"], b""),
    "compressed": ([answer(zlib.compress(b"hello"), b"Content-Encoding: deflate")], b"hello"),
    "byte by byte": ([OK[place : place + 1] for place in range(len(OK))], b"hello"),
}


@pytest.mark.parametrize("case", BODIES)
def test_bodies(on_uvloop, serve, case):
    """However a body is framed, the caller gets its bytes, and every byte of the wire has its stamp."""
    parts, body = BODIES[case]

    def script(peer: Peer) -> None:
        while peer.request():
            for part in parts:
                peer.send(part)
                time.sleep(0.0005)
            if case == "up to the end":
                return

    server = serve(script)

    async def scenario():
        async with client() as http:
            for _ in range(2):
                response = await http.get(server.url)
                assert response.content == body
                assert "link" not in response.headers
                assert sum(read.size for read in stamps_of(response).reads) == sum(map(len, parts))

    on_uvloop(scenario())
    assert len(server.peers) == (2 if case == "up to the end" else 1)


def test_a_stream_comes_as_it_is_sent(run, serve):
    """Each event is with the caller before the server sends the next, by lines and by bytes."""
    taken = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        while peer.request():
            peer.send(CHUNKED)
            for number in range(5):
                event = b"data: %d\n\n" % number
                peer.send(b"%x\r\n%b\r\n" % (len(event), event))
                assert taken.acquire(timeout=20)
            peer.send(b"0\r\n\r\n")

    server = serve(script)

    async def scenario():
        async with client() as http:
            async with http.stream("GET", server.url) as response:
                lines = []
                async for line in response.aiter_lines():
                    if line:
                        lines.append(line)
                        taken.release()
            assert lines == [f"data: {number}" for number in range(5)]
            async with http.stream("GET", server.url) as response:
                pieces = []
                async for piece in response.aiter_bytes():
                    pieces.append(piece)
                    taken.release()
            assert pieces == [b"data: %d\n\n" % number for number in range(5)]
            assert len(stamps_of(response).reads) >= 6

    run(scenario())


def test_connections_are_kept_without_a_limit(run, serve):
    """More connections than httpx would allow are open at once, and all of them are used again."""
    together = threading.Barrier(110, timeout=20)

    def script(peer: Peer) -> None:
        peer.request()
        together.wait()
        peer.send(OK)
        peer.answer_all()

    server = serve(script)

    async def scenario():
        async with client() as http:
            for _ in range(2):
                answers = await asyncio.gather(*(http.get(server.url) for _ in range(110)))
                assert [each.text for each in answers] == ["hello"] * 110

    run(scenario())
    assert len(server.peers) == 110


def test_a_closing_answer_ends_its_connection(run, serve):
    """An answer that says `Connection: close` is the last on its connection."""

    def script(peer: Peer) -> None:
        while peer.request():
            peer.send(answer(b"x", b"Connection: close"))

    server = serve(script)

    async def scenario():
        async with client() as http:
            for _ in range(2):
                assert (await http.get(server.url)).text == "x"

    run(scenario())
    assert len(server.peers) == 2


def test_redirects_cookies_and_auth_are_the_clients(on_uvloop, serve):
    """What httpx's client does above its transport works: redirects, cookies, authentication."""

    def script(peer: Peer) -> None:
        while request := peer.request():
            if request.startswith(b"GET /old"):
                peer.send(answer(b"", b"Location: /new", b"Set-Cookie: a=b", status=b"302 Found"))
            else:
                peer.send(answer(request))

    server = serve(script)

    async def scenario():
        async with client(follow_redirects=True, auth=("me", "pw")) as http:
            response = await http.get(server.url + "/old")
            assert [each.status_code for each in response.history] == [302]
            assert response.content.startswith(b"GET /new")
            assert b"Cookie: a=b\r\n" in response.content
            assert b"Authorization: Basic bWU6cHc=\r\n" in response.content

    on_uvloop(scenario())
    assert len(server.peers) == 1


@pytest.mark.parametrize("tls", [False, True])
def test_large_uploads(run, serve, server_context, client_context, tls):
    """A body of megabytes arrives whole, as bytes or from a generator; `sent` is when its last byte left."""
    seen = []

    def script(peer: Peer) -> None:
        while request := peer.request():
            seen.append(request.partition(b"\r\n\r\n"))
            peer.send(OK)

    server = serve(script, context=server_context if tls else None)
    body = bytes(range(256)) * 12_000

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    async def scenario():
        async with client(verify=client_context) as http:
            response = await http.post(server.url, content=body)
            assert stamps_of(response).sent_ns <= stamps_of(response).reads[0].loop_ns
            assert (await http.post(server.url, content=parts())).text == "hello"
            sized = {"Content-Length": str(len(body))}
            assert (await http.post(server.url, content=parts(), headers=sized)).text == "hello"

    run(scenario())
    assert seen[0][2] == seen[2][2] == body
    assert b"transfer-encoding: chunked" in seen[1][0].lower()
    assert len(seen[1][2]) == len(body) + 31 * len(b"186a0\r\n\r\n") + len(b"0\r\n\r\n")
    assert len(server.peers) == 1


def test_an_upload_waits_for_its_reader(on_uvloop, serve):
    """A generator is asked for more only as the server reads, so that any body fits in memory."""
    read_on = threading.Event()

    def script(peer: Peer) -> None:
        read_on.wait(20)
        peer.request()
        peer.send(OK)
        peer.wait_closed()

    server = serve(script)
    given = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(120):
            given += 100_000
            yield bytes([1]) * 100_000

    async def scenario():
        async with client() as http:
            posting = asyncio.ensure_future(http.post(server.url, content=parts()))
            await asyncio.sleep(0.2)
            assert 0 < given < 9_000_000
            read_on.set()
            assert (await posting).text == "hello"
            assert given == 12_000_000

    on_uvloop(scenario())


def test_an_answer_to_half_an_upload(on_uvloop, serve):
    """A server that answers before it has read all is heard at once, and its connection is not used again."""
    done = threading.Event()

    def script(peer: Peer) -> None:
        if peer.number == 1:
            peer.sock.recv(1000)
            peer.send(answer(b"too big", status=b"413 Content Too Large"))
            done.wait(20)
        else:
            peer.answer_all()

    server = serve(script)

    async def scenario():
        async with client() as http:
            response = await http.post(server.url, content=bytes(16_000_000))
            assert (response.status_code, response.text) == (413, "too big")
            assert stamps_of(response).sent_ns is None
            done.set()
            assert (await http.get(server.url)).text == "hello"

    on_uvloop(scenario())
    assert len(server.peers) == 2


@pytest.mark.parametrize(("declared", "word"), [("3", "longer"), ("9", "shorter")])
def test_a_body_of_another_length_than_declared(on_uvloop, serve, declared, word):
    """Such a request fails by the caller's own fault, before the server waits for what never comes."""
    server = serve(Peer.answer_all)

    async def parts() -> AsyncIterator[bytes]:
        yield b"12"
        yield b"345"

    async def scenario():
        async with client() as http:
            with pytest.raises(httpx.LocalProtocolError, match=word):
                await http.post(server.url, content=parts(), headers={"Content-Length": declared})

    on_uvloop(scenario())


@pytest.mark.parametrize("headers", [{"X": "a\r\nY: b"}, {"X\nY": "a"}, {"X": "a\0"}])
def test_no_header_smuggles_another(on_uvloop, serve, headers):
    """A line break in a header is refused before anything is sent."""
    server = serve(Peer.answer_all)

    async def scenario():
        async with client() as http:
            with pytest.raises(httpx.LocalProtocolError, match="line break"):
                await http.get(server.url, headers=headers)

    on_uvloop(scenario())


@pytest.mark.parametrize("tls", [False, True])
def test_a_slow_reader_holds_the_server_back(run, serve, server_context, client_context, tls):
    """A body that nobody reads fills a megabyte and the sockets; then it comes whole, and the next too."""
    size = 30_000_000
    sent = 0

    def script(peer: Peer) -> None:
        nonlocal sent
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        part = bytes(100_000)
        for _ in range(0, size, len(part)):
            peer.send(part)
            sent += len(part)
        peer.answer_all()

    server = serve(script, context=server_context if tls else None)

    async def scenario():
        async with client(verify=client_context) as http:
            async with http.stream("GET", server.url) as response:
                pieces = response.aiter_raw()
                got = len(await anext(pieces))
                await asyncio.sleep(0.3)
                assert sent < 16_000_000
                held = response.stream._stream._answer._held
                assert held < HELD_MAX + 300_000
                async for piece in pieces:
                    got += len(piece)
            assert got == size
            assert (await http.get(server.url)).text == "hello"

    run(scenario())
    assert len(server.peers) == 1


def test_a_cancelled_body_closes_its_connection(run, serve):
    """A task that is cancelled, or leaves, in the middle of a body leaves no connection behind."""
    closed = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED, b"5\r\nhello\r\n")
        peer.wait_closed()
        closed.release()

    server = serve(script)

    async def scenario():
        async with client() as http:
            getting = asyncio.ensure_future(http.get(server.url))
            await asyncio.sleep(0.1)
            getting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await getting
            assert closed.acquire(timeout=20)
            async with http.stream("GET", server.url) as response:
                assert await anext(response.aiter_bytes()) == b"hello"
            assert closed.acquire(timeout=20)
            assert not http._transport._open

    run(scenario())


def test_a_cancelled_request_closes_its_connection(run, serve):
    """Cancelled while connecting or waiting for the head: nothing is left, and the next request is served."""
    closed = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.request()
        if peer.number == 1:
            peer.wait_closed()
            closed.release()
        else:
            peer.send(OK)
            peer.wait_closed()

    server = serve(script)

    async def scenario():
        async with client() as http:
            getting = asyncio.ensure_future(http.get(server.url))
            await until(lambda: server.peers)
            getting.cancel()
            await asyncio.wait([getting])
            assert closed.acquire(timeout=20)
            getting = asyncio.ensure_future(http.get(server.url))
            await asyncio.sleep(0)
            getting.cancel()
            await asyncio.wait([getting])
            assert (await http.get(server.url)).text == "hello"

    run(scenario())


def test_closing_the_transport(run, serve):
    """Idle connections are closed, what is being read or awaited fails, and nobody waits for ever."""
    closed = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        request = peer.request()
        if b"/whole" in request:
            peer.send(OK)
        elif b"/half" in request:
            peer.send(CHUNKED, b"5\r\nhello\r\n")
        peer.wait_closed()
        closed.release()

    server = serve(script)

    async def scenario():
        transport = StampedTransport()
        http = httpx.AsyncClient(transport=transport)
        await asyncio.gather(http.get(server.url + "/whole"), http.get(server.url + "/whole"))
        mute = asyncio.ensure_future(http.get(server.url + "/mute"))
        half = asyncio.ensure_future(http.get(server.url + "/half"))
        await until(lambda: len(server.peers) == 2 and all(peer.pending == b"" for peer in server.peers))
        await asyncio.sleep(0.05)
        extra = asyncio.ensure_future(http.get(server.url + "/mute"))
        await asyncio.sleep(0)
        await transport.aclose()
        for waiting in (mute, half, extra):
            with pytest.raises(httpx.TransportError):
                await waiting
        await http.aclose()

    run(scenario())
    assert all(closed.acquire(timeout=20) for _ in server.peers)


def test_one_transport_in_several_loops(serve):
    """A transport that outlives its event loop goes on in the next one, on connections of that loop."""
    server = serve(Peer.answer_all)
    transport = StampedTransport()

    async def ask() -> str:
        # The client is not closed: closing it would close the transport.
        request = httpx.Request("GET", server.url)
        response = await transport.handle_async_request(request)
        await response.aread()
        return response.text

    assert asyncio.run(ask()) == "hello"
    assert uvloop.run(ask()) == "hello"
    assert asyncio.run(ask()) == "hello"
    uvloop.run(transport.aclose())
    assert len(server.peers) == 3
    assert not transport._open


def test_addresses(on_asyncio, serve, monkeypatch):
    """IPv6 works; of a name's addresses the first that answers is taken; without one it is a ConnectError."""
    six = serve(Peer.answer_all, host="::1")
    four = serve(Peer.answer_all)

    async def scenario():
        async with client() as http:
            assert (await http.get(six.url)).text == "hello"
            loop = asyncio.get_running_loop()

            async def both(_host, port, **_):
                kind = socket.SOCK_STREAM
                return [
                    (socket.AF_INET6, kind, 6, "", ("::1", port, 0, 0)),
                    (socket.AF_INET, kind, 6, "", ("127.0.0.1", port)),
                ]

            monkeypatch.setattr(loop, "getaddrinfo", both)
            assert (await http.get(f"http://two-addresses.example:{four.port}/")).text == "hello"
            monkeypatch.undo()
            for host in ("no-such-host.invalid", "x" * 70):
                with pytest.raises(httpx.ConnectError):
                    await http.get(f"http://{host}/")

    on_asyncio(scenario())


def silent(peer: Peer) -> None:
    peer.wait_closed()


def half(peer: Peer) -> None:
    peer.request()
    peer.send(CHUNKED, b"5\r\nhello\r\n")
    peer.wait_closed()


def unread(peer: Peer) -> None:
    peer.server.over.wait(20)


TIMEOUTS = {
    "before the head": (silent, {"read": 0.1}, httpx.ReadTimeout),
    "in the body": (half, {"read": 0.1}, httpx.ReadTimeout),
    "writing": (unread, {"write": 0.1}, httpx.WriteTimeout),
}


@pytest.mark.parametrize("case", TIMEOUTS)
def test_each_phase_has_its_timeout(run, serve, case):
    """A phase that takes longer than allowed raises its own error and closes the connection."""
    script, limit, error = TIMEOUTS[case]
    server = serve(script)
    server.over = threading.Event()

    async def scenario():
        async with client(timeout=httpx.Timeout(5, **limit)) as http:
            began = time.monotonic()
            with pytest.raises(error, match=r"0\.1 s"):
                await http.post(server.url, content=bytes(16_000_000 if case == "writing" else 10))
            assert 0.05 < time.monotonic() - began < 2
            assert not http._transport._open
        server.over.set()

    run(scenario())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connecting_has_its_timeout(run, scheme):
    """TCP or TLS that does not come up in time is a ConnectTimeout."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0 if scheme == "http" else 5)
        with socket.create_connection(listener.getsockname()):

            async def scenario():
                async with client(timeout=httpx.Timeout(5, connect=0.1)) as http:
                    with pytest.raises(httpx.ConnectTimeout, match=r"0\.1 s"):
                        await http.get(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/")
                    assert not http._transport._open

            run(scenario())


def test_a_time_without_news_is_no_time_in_all(on_uvloop, serve):
    """The read timeout counts from the last piece: a long answer that keeps coming is not cut."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED)
        for _ in range(8):
            time.sleep(0.05)
            peer.send(b"1\r\nx\r\n")
        peer.send(b"0\r\n\r\n")
        peer.wait_closed()

    server = serve(script)

    async def scenario():
        async with client(timeout=0.25) as http:
            assert (await http.get(server.url)).text == "x" * 8

    on_uvloop(scenario())


def then(*parts: bytes, reset: bool = False, first=Peer.request):
    def script(peer: Peer) -> None:
        first(peer)
        peer.send(*parts)
        if reset:
            time.sleep(0.05)
            peer.reset()

    return script


ERRORS = {
    "cut before the head": (then(), httpx.RemoteProtocolError),
    "cut in the head": (then(b"HTTP/1.1 200 OK\r\n"), httpx.RemoteProtocolError),
    "cut in the body": (then(OK[:-1]), httpx.RemoteProtocolError),
    "cut in a chunk": (then(CHUNKED, b"5\r\nhel"), httpx.RemoteProtocolError),
    "reset before the head": (then(reset=True), httpx.ReadError),
    "reset in the body": (then(OK[:-1], reset=True), httpx.ReadError),
    "garbage": (then(b"220 ESMTP ready\r\n"), httpx.RemoteProtocolError),
    "bad chunk": (then(CHUNKED, b"zz\r\n"), httpx.RemoteProtocolError),
    "another protocol": (
        then(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
        httpx.RemoteProtocolError,
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_broken_answer_raises_httpxs_error(on_uvloop, serve, case):
    """Each way to break an answer raises what httpx's own transport would, with the request on it."""
    script, error = ERRORS[case]
    server = serve(script)

    async def scenario():
        async with client() as http:
            with pytest.raises(error) as caught:
                await http.get(server.url)
            assert caught.value.request.url == server.url
            assert str(caught.value)
            assert not http._transport._open

    on_uvloop(scenario())


def test_refused_and_unknown_schemes(run):
    """Where nobody listens it is a ConnectError; what is not HTTP is not spoken."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def scenario():
        async with client() as http:
            with pytest.raises(httpx.ConnectError):
                await http.get(f"http://127.0.0.1:{port}/")
            with pytest.raises(httpx.UnsupportedProtocol):
                await http._transport.handle_async_request(httpx.Request("GET", "ftp://x/"))

    run(scenario())


def test_tls_is_checked(run, serve, server_context, client_context):
    """A certificate of a known authority for this name is accepted; any other is a ConnectError."""
    server = serve(Peer.answer_all, context=server_context)
    plain = serve(then(b"HTTP/1.1 400 Bad Request\r\n\r\n", first=Peer.hear))

    async def scenario():
        async with client(verify=client_context) as http:
            assert (await http.get(server.url)).text == "hello"
            assert (await http.get(f"https://localhost:{server.port}/")).text == "hello"
            with pytest.raises(httpx.ConnectError):
                await http.get(plain.url.replace("http:", "https:"))
        async with client() as http:
            with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
                await http.get(server.url)
        async with client(verify=False) as http:
            assert (await http.get(server.url)).text == "hello"

    run(scenario())


def test_a_stale_connection_is_replaced(run, serve):
    """A kept connection that the server gave up costs nobody an error, if the body can be sent again."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        peer.request()
        if peer.number == 3:
            peer.send(b"H")

    server = serve(script)

    async def parts() -> AsyncIterator[bytes]:
        yield b"x"

    async def scenario():
        async with client() as http:
            first = await http.get(server.url)
            assert stamps_of(first).connected_ns is not None
            second = await http.post(server.url, content=b"x")
            stamps = stamps_of(second)
            assert stamps.sent_ns < stamps.connect_start_ns < stamps.connected_ns < stamps.reads[-1].loop_ns
            with pytest.raises(httpx.TransportError):
                await http.post(server.url, content=parts())
            assert (await http.get(server.url)).text == "hello"
            with pytest.raises(httpx.RemoteProtocolError):
                await http.get(server.url)

    run(scenario())
    assert len(server.peers) == 3


@pytest.mark.parametrize("unasked", [OK, b"garbage", b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\n"])
@pytest.mark.parametrize("when", ["with the answer", "later"])
def test_what_comes_unasked_is_nobodys_answer(on_uvloop, serve, unasked, when):
    """Bytes behind an answer, at once or later, change neither it nor the next one."""
    now = threading.Event()

    def script(peer: Peer) -> None:
        while peer.request():
            if peer.number > 1:
                peer.send(answer(b"second"))
            elif when == "later":
                peer.send(OK)
                now.wait(20)
                peer.send(unasked)
            else:
                peer.send(OK + unasked)

    server = serve(script)

    async def scenario():
        async with client() as http:
            first = await http.get(server.url)
            assert (first.status_code, first.text) == (200, "hello")
            now.set()
            await until(lambda: not http._transport._open)
            second = await http.get(server.url)
            assert (second.status_code, second.text, len(second.headers)) == (200, "second", 1)

    on_uvloop(scenario())
    assert len(server.peers) == 2


@pytest.mark.parametrize("tls", [False, True])
def test_stamps(run, serve, server_context, client_context, tls):
    """The life of an exchange is stamped in its order; the kernel's times come shortly before the loop's."""

    def script(peer: Peer) -> None:
        while peer.request():
            peer.send(CHUNKED)
            for _ in range(5):
                time.sleep(0.01)
                peer.send(b"5\r\nhello\r\n")
            peer.send(b"0\r\n\r\n")

    server = serve(script, context=server_context if tls else None)

    async def scenario():
        async with client(verify=client_context) as http:
            await http.get(server.url)
            before_ns = time.monotonic_ns()
            response = await http.get(server.url)
            after_ns = time.monotonic_ns()
            kept = stamps_of(response)
            assert (kept.connect_start_ns, kept.connected_ns) == (None, None)
            assert before_ns < kept.sent_ns < kept.reads[0].loop_ns
            assert sum(read.size for read in kept.reads) == len(CHUNKED) + 5 * 10 + 5
            times = [read.loop_ns for read in kept.reads]
            assert times == sorted(set(times))
            assert times[-1] < after_ns
            lags_ms = [(read.loop_ns - read.kernel_ns) / 1e6 for read in kept.reads]
            assert min(lags_ms) >= 0
            assert min(lags_ms) < 2
            assert kept.reads[-1].kernel_ns - kept.sent_ns > 50_000_000

    run(scenario())


@pytest.mark.parametrize("fallback", ["kernel_times", "epoll"])
def test_fallbacks(run, serve, monkeypatch, fallback):
    """Without receive times the stamps say so; without an epoll of ours all is as before."""
    monkeypatch.setenv("BENCHKIT_FALLBACKS", fallback)
    server = serve(Peer.answer_all)

    async def scenario():
        async with client() as http:
            for _ in range(3):
                await asyncio.sleep(0.02)
                response = await http.get(server.url)
                assert response.text == "hello"
            assert all(
                (read.kernel_ns is None) == (fallback != "epoll") for read in stamps_of(response).reads
            )

    run(scenario())
    assert len(server.peers) == 1
