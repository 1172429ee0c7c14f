"""What is shown of a server that a notebook started."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from benchkit.parameters import ServingParameters
from benchkit.report import service

EVIL = "<script>alert(1)</script>"


class _Answers(BaseHTTPRequestHandler):
    """A model whose name and words are HTML."""

    def _answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer({"data": [{"id": EVIL, "object": "model"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        usage = {"prompt_tokens": 5, "completion_tokens": 7}
        self._answer({"choices": [{"message": {"content": EVIL}, "finish_reason": "stop"}], "usage": usage})

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hostile() -> Iterator[Any]:
    """That model behind a real socket."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_words_of_a_model_are_shown_and_not_run(hostile: Any) -> None:
    """An answer that is HTML is text, and so is the model's name."""
    shown = service.one_request(hostile, f"Say {EVIL}")
    assert "<script" not in shown.html
    assert shown.html.count("&lt;script&gt;") == 3
    assert f"> Say {EVIL}\n{EVIL}" in shown.text
    assert "5 tokens in, 7 out" in shown.text


def test_a_start_is_told_in_stages(embedded: Any) -> None:
    """A cold and a warm time to first token, after the stages before them."""
    lines = service.start_up(embedded).text.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "its process exists",
        "it says that it is healthy",
        "its first token is here",
        "time to first token, cold",
        "time to first token, warm",
    ]


@pytest.mark.parametrize(
    ("mode", "stop_after_s", "end"),
    [
        ("owned", 0, "It ends with this notebook's kernel."),
        ("detached", 0, "It stays until: benchkit stop simulated-1."),
        (
            "detached",
            60,
            "It stays until: benchkit stop simulated-1; at the latest it ends 60 s after its start.",
        ),
    ],
)
def test_it_says_how_the_server_ends(mode: str, stop_after_s: float, end: str) -> None:
    """An owned server ends with its notebook, a detached one when it is told to or its time is over."""
    state = SimpleNamespace(name="simulated-1", mode=mode, stop_after_s=stop_after_s)
    told = service.how_to_use(SimpleNamespace(url="http://127.0.0.1:1", state=state)).text
    assert told.splitlines()[0] == f"It serves at http://127.0.0.1:1. {end}"
    assert "benchkit run -p url http://127.0.0.1:1" in told


def test_what_was_asked_for_is_shown_whole() -> None:
    """Every serving parameter has a line."""
    told = service.asked_for(ServingParameters(preset="simple")).text
    assert [line.split(" = ")[0] for line in told.splitlines()] == list(ServingParameters.model_fields)
    assert "preset = 'simple'" in told
