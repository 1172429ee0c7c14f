"""HTTP/1.1 of the embedded server, byte by byte."""

import asyncio
import socket

import pytest

from benchkit.serving import simulated
from benchkit.serving.simulated.http_server import MAX_UNSENT_BYTES, Connection

BODY = b'{"prompt":"a","max_tokens":2,"ignore_eos":true}'
POST = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def connection(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as opened:
        yield opened


def read_until(connection, mark, count=1):
    data = b""
    while data.count(mark) < count:
        part = connection.recv(65_536)
        if not part:
            break
        data += part
    return data


def test_requests_in_pieces(connection):
    """A request that comes byte by byte is answered like any other."""
    for at in range(len(POST)):
        connection.sendall(POST[at : at + 1])

    assert read_until(connection, b'"usage"').startswith(b"HTTP/1.1 200 OK\r\n")


def test_pipelined_requests_are_answered_in_order(connection):
    """Requests that wait behind one under way get their answers after it, in order."""
    connection.sendall(POST + GET + b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    data = read_until(connection, b"HTTP/1.1 ", 3)

    assert [part[:3] for part in data.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"404"]
    assert data.index(b'"usage"') < data.rindex(b"HTTP/1.1 200")


def test_connections_close_when_asked(connection):
    """`Connection: close` is honoured and announced."""
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    data = read_until(connection, b"never")

    assert b"connection: close\r\n" in data


def test_garbage_is_refused(connection):
    """What is no HTTP gets a 400 and the connection's end."""
    connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")

    assert read_until(connection, b"never").startswith(b"HTTP/1.1 400 ")


def test_expect_continue(connection):
    """A client that waits for `100 Continue` gets it."""
    head, body = POST.split(b"\r\n\r\n")
    connection.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert read_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(body)

    assert read_until(connection, b'"usage"').startswith(b"HTTP/1.1 200 OK\r\n")


def test_chunked_request_bodies(connection):
    """A body may come in chunks."""
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.sendall(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))

    assert read_until(connection, b'"usage"').startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_slow_reader_gets_everything():
    """What the socket cannot take when it is sent waits, and arrives in order."""
    lines = [b"%07d\n" % number for number in range(1_000_000)]

    def answer(exchange):
        exchange.start_stream("text/plain")
        exchange.connection.send(b"%x\r\n" % (8 * len(lines)))
        for at in range(0, len(lines), 1_000):
            exchange.connection.send(b"".join(lines[at : at + 1_000]))
        exchange.connection.send(b"\r\n0\r\n\r\n")
        exchange.end_stream()

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(answer, set()), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname()[:2])
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(0.05)
    size = int(await reader.readline(), 16)
    data = await reader.readexactly(size)
    writer.close()
    listener.close()

    assert data == b"".join(lines)


async def test_a_reader_that_never_reads_is_cut():
    """A client that lets too much pile up loses its connection; the server's memory is bounded."""
    sent = []
    over = asyncio.Event()

    def answer(exchange):
        exchange.start_stream("text/plain")
        while exchange.connection.send(b"x" * 1_000_000):
            sent.append(1)
        over.set()

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(answer, set()), "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*listener.sockets[0].getsockname()[:2])
    writer.write(GET)
    await asyncio.wait_for(over.wait(), 5)
    writer.close()
    listener.close()

    assert len(sent) * 1_000_000 < 2 * MAX_UNSENT_BYTES


def test_idle_connections_may_be_closed():
    """With keep_alive_s a connection that idles is closed; one that waits for an answer is not."""
    with (
        simulated.start(server_args={"ttft_ms": 300, "keep_alive_s": 0.1}) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as opened,
    ):
        opened.sendall(POST)
        answer = read_until(opened, b'"usage"')
        rest = read_until(opened, b"never")

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest == b""
