"""A small embedded server, and a scripted one that answers as a test tells it to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchkit.parameters import RunParameters
from benchkit.serving import simulated


@pytest.fixture(scope="session")
def small_server():
    """An embedded server of little context, whose own answers are short; faults come by a header."""
    settings = {"ttft_ms": 20, "gap_ms": 3, "max_model_len": 2048, "mean_answer_tokens": 2}
    with simulated.start(server_args=settings) as started:
        yield started


@pytest.fixture
def parameters():
    """Gives resolved parameters with small lengths."""

    def make(**values):
        return RunParameters.model_validate({"input_tokens": 64, "output_tokens": 16, **values})

    return make


class Scripted:
    """A little OpenAI-like server; each attribute can be replaced by a test.

    ``complete(body)`` gives a status and either the body's bytes or a list of events.
    """

    def __init__(self):
        self.models = (200, {"data": [{"id": "tiny", "max_model_len": 4096}]})
        self.headers = {}
        self.complete = self.answer
        self.tokenize = lambda body: None
        self.count = lambda text: len(text.split())
        self.overhead = 3
        self.bodies = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                if self.path == "/v1/models":
                    self._send(outer.models[0], outer.models[1])
                else:
                    self._send(404, {"detail": "Not Found"})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.path == "/tokenize":
                    tokens = outer.tokenize(body)
                    self._send(*((404, {}) if tokens is None else (200, {"tokens": tokens})))
                    return
                outer.bodies.append(body)
                status, answer = outer.complete(body)
                if isinstance(answer, list):
                    self._stream(answer)
                else:
                    self._send(status, answer)

            def _send(self, status, value):
                raw = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                kind = "text/html" if raw.startswith(b"<") else "application/json"
                for name, text in (
                    {"content-type": kind, "content-length": str(len(raw))} | outer.headers
                ).items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(raw)

            def _stream(self, events):
                self.send_response(200)
                for name, text in ({"content-type": "text/event-stream"} | outer.headers).items():
                    self.send_header(name, text)
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for event in [*(f"data: {json.dumps(event)}\n\n" for event in events), "data: [DONE]\n\n"]:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event.encode()))
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, body):
        """Answers with max_tokens words, ``usage`` as far as stream_options ask."""
        prompt = body["messages"][0]["content"] if "messages" in body else body["prompt"]
        size = len(prompt) if isinstance(prompt, list) else self.count(prompt) + self.overhead
        options = body.get("stream_options", {})
        events = []
        for made in range(1, body["max_tokens"] + 1):
            finish = "length" if made == body["max_tokens"] else None
            choice = {"index": 0, "text": " x", "delta": {"content": " x"}, "finish_reason": finish}
            usage = {"prompt_tokens": size, "completion_tokens": made}
            events.append(
                {"choices": [choice]} | ({"usage": usage} if options.get("continuous_usage_stats") else {})
            )
        if options.get("include_usage"):
            usage = {"prompt_tokens": size, "completion_tokens": body["max_tokens"]}
            events.append({"choices": [], "usage": usage})
        return 200, events

    def refuse(self, name, words):
        """Refuses requests that hold a field, as servers that check their input do."""

        def complete(body):
            if name in json.dumps(body):
                return 400, {"error": {"message": words}}
            return self.answer(body)

        self.complete = complete

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def scripted():
    server = Scripted()
    yield server
    server.close()
