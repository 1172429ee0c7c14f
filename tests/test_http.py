"""Control calls against real servers, good and odd ones."""

import base64
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchkit.errors import InvalidParameter, Unauthorized, UnexpectedAnswer, Unreachable
from benchkit.http import ControlClient, ModelCard, api_key, normalise_url

KEY = "k-0123456789abcdef"


class Server:
    """Answers each path with what the test put there, and keeps what it was asked."""

    def __init__(self):
        self.routes = {}
        self.seen = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _handle(self):
                length = int(self.headers.get("content-length", 0))
                outer.seen.append(
                    (self.command, self.path, dict(self.headers.items()), self.rfile.read(length))
                )
                answer = outer.routes.get(self.path, (404, {}, b'{"detail": "Not Found"}'))
                if callable(answer):
                    answer(self)
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _handle  # noqa: N815  the library names them

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server():
    started = Server()
    yield started
    started.close()


@pytest.fixture
def open_client():
    clients = []

    def open_(url, **options):
        clients.append(ControlClient(url, **options))
        return clients[-1]

    yield open_
    for client in clients:
        client.close()


def raw_server(answer):
    """Listens, gives the first caller's socket to ``answer``, and returns the address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h:1", "http://h:1"),
        ("http://h:1/", "http://h:1"),
        ("http://h:1/v1", "http://h:1"),
        ("HTTP://h:1/v1/", "http://h:1"),
        ("https://h/openai/v1", "https://h/openai"),
        ("https://h/v1beta", "https://h/v1beta"),
        (" http://[::1]:8000/v1 ", "http://[::1]:8000"),
        ("https://h/v1?api-version=3#x", "https://h?api-version=3"),
    ],
)
def test_base_url_is_the_same_however_it_is_written(url, expected):
    """With or without /v1, slashes and capitals, one server has one base URL."""
    assert normalise_url(url) == expected
    assert normalise_url(expected) == expected


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://h", "http://", "http://h:99999", "http://h:x", "/v1"]
)
def test_what_is_no_address_is_refused(url):
    """An address that cannot be called is a bad parameter, and the message shows how to write one."""
    with pytest.raises(InvalidParameter, match=r"http://127\.0\.0\.1:8000"):
        normalise_url(url)


def test_key_comes_from_the_named_variable(monkeypatch):
    """The parameter names a variable; no name is no key, an unset variable is an error that names it."""
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    monkeypatch.delenv("OTHER_KEY", raising=False)
    assert api_key("MY_KEY") == KEY
    assert api_key("") is None
    with pytest.raises(InvalidParameter, match="OTHER_KEY"):
        api_key("OTHER_KEY")


def test_models_are_read_with_their_context(server, open_client):
    """Ids and context lengths come through; entries that are no models do not."""
    cards = [{"id": "a", "max_model_len": 2048}, {"id": "b", "max_model_len": "x"}, {"name": "c"}, 7]
    server.routes["/v1/models"] = (200, {}, json.dumps({"data": cards}).encode())
    assert open_client(server.url + "/v1").models() == [
        ModelCard("a", 2048, cards[0]),
        ModelCard("b", None, cards[1]),
    ]


def test_each_call_carries_key_and_headers(server, open_client, monkeypatch):
    """The key goes out as a bearer token beside the user's own headers, and compression is declined."""
    monkeypatch.setenv("MY_KEY", KEY)
    server.routes["/health"] = (200, {}, b"")
    assert open_client(server.url, api_key_env="MY_KEY", headers={"X-Tenant": "blue"}).health()
    headers = {name.lower(): value for name, value in server.seen[0][2].items()}
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["x-tenant"] == "blue"
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [401, 403])
def test_refused_key_is_named_and_never_shown(server, open_client, monkeypatch, status):
    """A server that repeats the key in its answer does not get it into our message."""
    monkeypatch.setenv("MY_KEY", KEY)
    body = json.dumps({"error": {"message": f"wrong key {KEY}"}}).encode()
    server.routes["/v1/models"] = (status, {}, body)
    with pytest.raises(Unauthorized, match="MY_KEY") as caught:
        open_client(server.url, api_key_env="MY_KEY").models()
    assert KEY not in str(caught.value)
    assert "<redacted>" in str(caught.value)


def test_missing_key_has_its_remedy(server, open_client):
    """Without a key the message says which parameter gives one."""
    server.routes["/v1/models"] = (401, {}, b'{"error": "Unauthorized"}')
    with pytest.raises(Unauthorized, match="api_key_env"):
        open_client(server.url).models()


def test_redirects_are_told_not_followed(server, open_client):
    """The load follows no redirects, so a control call must not hide one."""
    server.routes["/v1/models"] = (307, {"location": "http://other/v1/models?key=abc"}, b"")
    with pytest.raises(UnexpectedAnswer, match=r"redirects to http://other/v1/models\?key=<redacted>"):
        open_client(server.url).models()
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"content-type": "text/html"}, b"<html>login</html>"),
        (200, {"content-type": "application/json"}, b'{"models": []}'),
        (200, {"content-type": "application/json"}, b"[1]"),
        (404, {}, b"nothing here"),
        (500, {}, b'{"error": {"message": "boom"}}'),
    ],
)
def test_what_is_no_list_of_models_is_unexpected(server, open_client, answer):
    """HTML, other JSON and error statuses all say that this is not the API."""
    server.routes["/v1/models"] = answer
    with pytest.raises(UnexpectedAnswer, match="OpenAI-compatible"):
        open_client(server.url).models()


def test_nobody_there_is_unreachable(open_client):
    """A closed port gives the address and a question that leads on."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port}.*is the server running"):
        open_client(f"http://127.0.0.1:{port}").models()


def test_silence_is_unreachable_within_the_timeout(open_client):
    """A server that takes the request and says nothing does not hold us longer than the timeout."""
    url = raw_server(lambda connection: time.sleep(1))
    begin = time.monotonic()
    with pytest.raises(Unreachable, match="did not answer in time"):
        open_client(url, timeout_s=0.1).models()
    assert time.monotonic() - begin < 0.9


def test_what_does_not_speak_http_is_unexpected(open_client):
    """Bytes that are no HTTP answer lead to the scheme and the port."""
    url = raw_server(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"))
    with pytest.raises(UnexpectedAnswer, match="does not speak HTTP"):
        open_client(url).models()


def test_tls_against_plain_http_says_so(server, open_client):
    """TLS to a port of plain http is told as a matter of TLS."""
    with pytest.raises(Unreachable, match="TLS failed"):
        open_client(server.url.replace("http:", "https:")).models()


def test_proxies_of_the_environment_are_ignored(server, open_client, monkeypatch):
    """Control calls take the same way as the load: straight to the server."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.routes["/health"] = (200, {}, b"")
    assert open_client(server.url).health()


def test_paths_and_queries_of_the_address_are_kept(server, open_client):
    """A server below a path, or one that wants a query, is called there."""
    server.routes["/deep/health?api-version=1"] = (200, {}, b"")
    client = open_client(server.url + "/deep/v1?api-version=1")
    assert client.health()
    assert client.api_url("models").endswith("/deep/v1/models?api-version=1")


def test_optional_calls_are_silent_where_nothing_is(server, open_client):
    """No /version, no /tokenize: None, not an error."""
    client = open_client(server.url)
    assert client.version() is None
    assert client.tokenize("m", prompt="hello") is None
    assert not client.health()
    server.routes["/version"] = (200, {}, b'{"version": "0.32.0"}')
    server.routes["/tokenize"] = (200, {}, b'{"count": 2, "tokens": [5, 6]}')
    assert client.version() == "0.32.0"
    assert client.tokenize("m", messages=[{"role": "user", "content": "x"}]) == [5, 6]


def _chunked(handler, pieces, pause_s=0.0, whole=True):
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    for piece in pieces:
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        handler.wfile.flush()
        time.sleep(pause_s)
    if whole:
        handler.wfile.write(b"0\r\n\r\n")
    else:
        handler.close_connection = True


def test_streams_are_read_as_they_come(server, open_client):
    """Each read has its time, in order, spread as the server spread them; the body is whole."""
    pieces = [b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"]
    server.routes["/v1/completions"] = lambda handler: _chunked(handler, pieces, pause_s=0.03)
    streamed = open_client(server.url).stream({"model": "m"}, "completions")
    times = [read.time_ns for read in streamed.reads]
    assert streamed.answer.body == b"".join(pieces)
    assert [streamed.sent_ns, streamed.headers_ns, *times, streamed.end_ns] == sorted(
        [streamed.sent_ns, streamed.headers_ns, *times, streamed.end_ns]
    )
    assert times[-1] - times[0] > 50e6
    assert json.loads(server.seen[0][3]) == {"model": "m", "stream": True}


def test_streams_that_break_off_are_unexpected(server, open_client):
    """A body that ends without its last chunk is no answer."""
    server.routes["/v1/chat/completions"] = lambda handler: _chunked(handler, [b"data: 1\n\n"], whole=False)
    with pytest.raises(UnexpectedAnswer, match="broke off"):
        open_client(server.url).stream({"model": "m"}, "chat")


def test_error_statuses_of_completions_are_answers(server, open_client):
    """A refusal is something to read: status and words come back, shortened."""
    body = json.dumps({"error": {"message": "no " * 200}}).encode()
    server.routes["/v1/completions"] = (400, {}, body)
    client = open_client(server.url)
    assert client.stream({}, "completions").answer.status == 400
    said = client.complete({}, "completions").error_text()
    assert said.startswith("no no")
    assert len(said) == 200


def test_a_url_with_a_user_stands_for_a_header():
    """User name and password of a URL are the load's basic authorization, percent signs decoded."""
    from benchkit.target import basic_authorization

    assert basic_authorization("http://127.0.0.1:1/v1") == {}
    told = basic_authorization("http://us%40er:p%3Ass@127.0.0.1:1")
    assert base64.b64decode(told["authorization"].removeprefix("Basic ")) == b"us@er:p:ss"
