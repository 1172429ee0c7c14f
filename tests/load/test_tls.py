"""TLS by hand: handshakes, records and ends in every shape that a wire gives them."""

import asyncio
import socket
import ssl
import threading
import types
from collections.abc import Callable

import pytest
from raw_servers import OK, Peer, Rig

from benchkit.load.connection import Endpoint
from benchkit.load.tape import Kind
from benchkit.load.tls import make_context
from benchkit.records.kinds import ErrorKind

EOF_BODY = b"HTTP/1.1 200 OK\r\n\r\nhello"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class TlsPeer:
    """A server's end of TLS over a peer, which decides itself how its bytes are cut.

    Args:
        cut: what is to be sent -> the pieces in which it is sent.
    """

    def __init__(
        self, peer: Peer, context: ssl.SSLContext, cut: Callable[[bytes], list[bytes]] = lambda data: [data]
    ) -> None:
        self.peer, self.cut = peer, cut
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self._until_done(self.tls.do_handshake)

    def request(self) -> bytes:
        """The next request's bytes."""
        return self._until_done(lambda: self.tls.read(65_536))

    def send(self, *parts: bytes) -> None:
        """Sends each part as a record of its own, all of them cut as one."""
        for part in parts:
            self.tls.write(part)
        self.flush()

    def flush(self) -> None:
        """Sends what TLS has to send."""
        if self.outgoing.pending:
            for piece in self.cut(self.outgoing.read()):
                self.peer.send(piece)

    def say_goodbye(self) -> None:
        """Sends a close_notify."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.flush()

    def _until_done(self, step: Callable[[], bytes | None]) -> bytes:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self.flush()
                data = self.peer.sock.recv(65_536)
                if not data:
                    raise ConnectionError("the client left") from None
                self.incoming.write(data)
            else:
                self.flush()
                return done or b""


def bytewise(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


def in_sevens(data: bytes) -> list[bytes]:
    return [data[place : place + 7] for place in range(0, len(data), 7)]


@pytest.fixture(params=VERSIONS, ids=["1.2", "1.3"])
def version(request) -> ssl.TLSVersion:
    return request.param


@pytest.fixture
def contexts(version, server_context, client_context):
    """Both sides, of one version only."""
    client_context.minimum_version = client_context.maximum_version = version
    return server_context, client_context


def test_both_versions_carry_exchanges(run, serve, tmp_path, contexts, version):
    """TLS 1.2 and 1.3 work, with the session tickets that a server sends behind the handshake."""
    server_side, client_side = contexts
    spoken = []

    def script(peer: Peer) -> None:
        spoken.append(peer.sock.version())
        peer.answer_all()

    server = serve(script, context=server_side)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint], client_side) as rig:
            for key in (1, 2, 3):
                end = await rig.ask()
                assert (end.status, end.failure, end.exchange.attempt) == (200, None, 1)
                assert rig.wire(key) == OK

    run(scenario())
    assert len(server.peers) == 1
    assert spoken == [{ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]]


@pytest.mark.parametrize("cut", [bytewise, in_sevens])
def test_records_in_any_pieces(run, serve, tmp_path, contexts, cut):
    """Handshake, tickets and data may be cut anywhere: only whole records reach the tape."""
    server_side, client_side = contexts

    def script(peer: Peer) -> None:
        tls = TlsPeer(peer, server_side, cut)
        while tls.request():
            tls.send(OK[:20], OK[20:])

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint], client_side) as rig:
            for key in (1, 2):
                assert (await rig.ask()).status == 200
                assert rig.wire(key) == OK
                reads = [record.data for record in rig.taped(key) if record.kind == Kind.WIRE]
                assert set(reads) == {OK[:20], OK[20:]}

    run(scenario())


def test_many_records_in_one_read(run, serve, tmp_path, contexts):
    """Records that arrive together are taped each, with the one time at which they were read."""
    server_side, client_side = contexts
    parts = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        *[b"5\r\nhello\r\n"] * 500,
        b"0\r\n\r\n",
    ]

    def script(peer: Peer) -> None:
        tls = TlsPeer(peer, server_side)
        while tls.request():
            tls.send(*parts)

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint], client_side) as rig:
            for key in (1, 2):
                assert (await rig.ask()).status == 200
                reads = [record for record in rig.taped(key) if record.kind == Kind.WIRE]
                assert [record.data for record in reads] == parts
                assert len({record.loop_ns for record in reads}) < 20
                times = {}
                for record in reads:
                    assert times.setdefault(record.loop_ns, record.kernel) == record.kernel

    run(scenario())


ENDS = {
    "up to the end, in order": (EOF_BODY, True, None),
    "up to the end, without a word": (EOF_BODY, False, None),
    "whole, then the end": (OK, True, None),
    "cut, in order": (OK[:-1], True, ErrorKind.CUT),
    "cut, without a word": (OK[:-1], False, ErrorKind.CUT),
    "nothing, in order": (b"", True, ErrorKind.CUT),
}


@pytest.mark.parametrize("case", ENDS)
def test_ends(run, serve, tmp_path, contexts, case):
    """A close_notify is an end like that of TCP: of the body where nothing else ends it, else a cut."""
    server_side, client_side = contexts
    data, in_order, kind = ENDS[case]

    def script(peer: Peer) -> None:
        tls = TlsPeer(peer, server_side)
        tls.request()
        if data:
            tls.tls.write(data)
        tls.say_goodbye() if in_order else tls.flush()
        if in_order:
            # The end must be seen in the close_notify itself.
            over.wait(20)

    over = threading.Event()
    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint], client_side) as rig:
            end = await rig.ask()
            assert end.kind == kind
            assert rig.wire(1) == data
            assert not rig.sender._idle
            over.set()

    run(scenario())


def test_garbage_between_records(run, serve, tmp_path, contexts):
    """Bytes that are no TLS, in the middle of an answer, are a failure of TLS."""
    server_side, client_side = contexts

    def script(peer: Peer) -> None:
        tls = TlsPeer(peer, server_side)
        tls.request()
        tls.send(OK[:-1])
        peer.send(b"this is not a record" * 10)
        peer.wait_closed()

    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint], client_side) as rig:
            end = await rig.ask()
            assert (end.kind, end.status) == (ErrorKind.TLS, 200)
            assert rig.wire(1) == OK[:-1]

    run(scenario())


def plain_http(peer: Peer) -> None:
    peer.hear()
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    peer.wait_closed()


def hang_up(peer: Peer) -> None:
    peer.hear()


@pytest.mark.parametrize("script", [plain_http, hang_up])
def test_a_handshake_that_fails(run, serve, tmp_path, client_context, script):
    """Plain HTTP, or an end, instead of a handshake is a failure of TLS: nothing was sent."""
    server = serve(script)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint], client_context) as rig:
            end = await rig.ask()
            assert (end.kind, end.exchange.attempt) == (ErrorKind.TLS, 1)
            assert rig.story(1) == ["CONNECT"]

    run(scenario())


def test_a_certificate_that_does_not_fit(run, serve, tmp_path, server_context, client_context):
    """An unknown authority or another name is refused, and the server is told by an alert."""
    alerts = []

    def script(peer: Peer) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError)) as caught:
            TlsPeer(peer, server_context).request()
        alerts.append(str(caught.value))

    server = serve(script)
    cases = [
        (server.endpoint, make_context(verify=True), "certificate verify failed"),
        (server.endpoint._replace(host="example.org"), client_context, "example.org"),
        (server.endpoint._replace(host=""), client_context, "suits no certificate"),
    ]

    async def scenario():
        for number, (endpoint, context, words) in enumerate(cases):
            (tmp_path / str(number)).mkdir()
            async with Rig(tmp_path / str(number), [endpoint], context) as rig:
                end = await rig.ask()
                assert end.kind == ErrorKind.TLS
                assert words in end.failure.text

    run(scenario())
    server.close()
    assert sum("alert" in told for told in alerts) == 2


def test_the_servers_certificate_authority_may_be_set_outside(
    run, serve, tmp_path, monkeypatch, authority, server_context
):
    """`make_context` trusts what OpenSSL's own variable names, and without verification everything."""
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    server = serve(Peer.answer_all, context=server_context)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    trusting = make_context(verify=True)
    monkeypatch.delenv("SSL_CERT_FILE")

    async def scenario():
        for number, context in enumerate((trusting, make_context(verify=False))):
            folder = tmp_path / str(number)
            folder.mkdir()
            async with Rig(folder, [server.endpoint], context) as rig:
                assert (await rig.ask()).status == 200

    run(scenario())


def test_only_http_1_1_is_offered(on_uvloop, serve, tmp_path, authority):
    """A server that would rather speak HTTP/2 agrees on HTTP/1.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    agreed = []

    def script(peer: Peer) -> None:
        agreed.append(peer.sock.selected_alpn_protocol())
        peer.answer_all()

    server = serve(script, context=context)

    async def scenario():
        async with Rig(tmp_path, [server.endpoint], make_context(verify=False)) as rig:
            assert (await rig.ask()).status == 200

    on_uvloop(scenario())
    assert agreed == ["http/1.1"]


class NarrowSocket(socket.socket):
    """A socket whose buffer takes a hundred bytes at a time, and every other time none."""

    full = False

    def send(self, data, flags=0):
        self.full = not self.full
        if self.full:
            raise BlockingIOError
        return super().send(data[:100], flags)


@pytest.mark.parametrize("tls", ["plain", "1.2", "1.3"])
def test_short_sends_lose_nothing(run, serve, tmp_path, monkeypatch, authority, client_context, tls):
    """Handshakes and requests that are larger than the socket's buffer arrive whole and in order."""
    narrow = types.SimpleNamespace(**(vars(socket) | {"socket": NarrowSocket}))
    monkeypatch.setattr("benchkit.load.connection.socket", narrow)
    context = None
    if tls != "plain":
        # Both sides show a certificate, so that the client's second flight is long.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
        names = (f"{number}.example.org" for number in range(100))
        authority.issue_cert(*names).configure_cert(client_context)
        client_context.minimum_version = client_context.maximum_version = VERSIONS[tls == "1.3"]
    seen = []

    def script(peer: Peer) -> None:
        while request := peer.request():
            seen.append(request)
            peer.send(OK)

    server = serve(script, context=context)
    requests = [
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (size, bytes(range(250)) * (size // 250))
        for size in (0, 50_000, 250)
    ]

    async def scenario():
        async with Rig(tmp_path, [server.endpoint], client_context if context else None) as rig:
            for key, request in enumerate(requests, 1):
                end = await rig.ask(request)
                assert (end.status, end.failure) == (200, None)
                assert rig.story(key)[-3:] == ["SENT", "WIRE", "END"]

    run(scenario())
    assert seen == requests


def test_a_handshake_that_hangs_can_be_abandoned(run, tmp_path, client_context):
    """A server that accepts and says nothing keeps an exchange opening until it is dropped."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = Endpoint(socket.AF_INET, listener.getsockname(), "127.0.0.1")

        async def scenario():
            async with Rig(tmp_path, [silent], client_context) as rig:
                exchange, ended = rig.start()
                await asyncio.sleep(0.05)
                assert rig.story(1) == ["CONNECT"]
                rig.sender.abandon(exchange)
                await asyncio.sleep(0.02)
                assert not ended.done()
                assert not rig.sender._open_ones

        run(scenario())
