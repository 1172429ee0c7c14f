"""The paced server keeps its schedule and its log tells the truth; the bare client counts right."""

import http.client
import json
import subprocess
import time

import numpy as np
import pytest
from compiled import NoCompilerError, compiled
from paced import PacedServer, paced_server


@pytest.fixture
def server():
    try:
        with paced_server(ttft_ms=30, gap_ms=5, tokens=4) as running:
            yield running
    except NoCompilerError as reason:
        pytest.skip(str(reason))


def post(server: PacedServer, body: dict, headers: dict | None = None, times: int = 1) -> list[bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    bodies = []
    for _ in range(times):
        connection.request("POST", "/v1/completions", json.dumps(body), headers or {})
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("content-type")) == (200, "text/event-stream; charset=utf-8")
        bodies.append(answer.read())
    connection.close()
    return bodies


def test_stream_is_vllms_format(server):
    """A stream is one JSON event a token with running usage, a finish reason on the last, then [DONE]."""
    [body] = post(server, {"prompt": "x", "stream": True})
    *events, done, rest = body.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    parsed = [json.loads(event.removeprefix("data: ")) for event in events]
    assert [event["usage"]["completion_tokens"] for event in parsed] == [1, 2, 3, 4]
    assert [event["choices"][0]["finish_reason"] for event in parsed] == [None, None, None, "length"]
    assert len({event["id"] for event in parsed}) == 1
    assert all(220 <= len(event) <= 300 for event in events)


def test_log_names_requests_and_reuses_connections(server):
    """Requests on one connection are logged in order, under their X-Request-Id or their number."""
    post(server, {"max_tokens": 2}, {"X-Request-Id": "mine"}, times=2)
    post(server, {})
    log = server.log()
    assert log.ids == ["mine", "mine", "2"]
    assert log.requests["connection"].tolist() == [0, 0, 1]
    assert log.requests["written"].tolist() == log.requests["planned"].tolist() == [2, 2, 4]
    assert log.positions().tolist() == [0, 1, 0, 1, 0, 1, 2, 3]


def test_schedule_is_absolute(server):
    """No token leaves before it is due, and lateness does not add up over a long response."""
    before_ns = time.monotonic_ns()
    post(server, {"max_tokens": 100})
    after_ns = time.monotonic_ns()
    log = server.log()
    late_ns = log.before_ns - log.arrived_ns[0] - 30_000_000 - np.arange(100) * 5_000_000
    assert (late_ns == log.lateness_ns()).all()
    assert late_ns.min() >= 0
    # The best of the last tokens, since a busy machine may delay any of them.
    assert late_ns[50:].min() < 3_000_000
    assert before_ns < log.arrived_ns[0] < log.after_ns[-1] < log.requests["ended_ns"][0] < after_ns
    assert (log.after_ns >= log.before_ns).all()


def test_large_body_arrives_whole_before_the_answer(server):
    """Arrival is the time of the body's last byte, however long the body takes to come."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    body = json.dumps({"prompt": list(range(100_000)), "max_tokens": 3}).encode()
    connection.putrequest("POST", "/v1/chat/completions")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:-1])
    time.sleep(0.1)
    last_ns = time.monotonic_ns()
    connection.send(body[-1:])
    assert connection.getresponse().read().count(b'"text":" word"') == 3
    connection.close()
    assert server.log().arrived_ns[0] >= last_ns


def test_cut_request_is_logged_as_such(server):
    """A client that leaves in mid-stream has its request logged without an end, and others are unharmed."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/v1/completions", json.dumps({"max_tokens": 1000}))
    connection.getresponse().read(600)
    connection.close()
    post(server, {})
    cut, whole = server.log().requests
    assert 0 < cut["written"] < 1000
    assert cut["ended_ns"] == 0
    assert whole["ended_ns"] > 0


@pytest.mark.usefixtures("server")
def test_slow_reader_loses_nothing():
    """What a full socket doesn't take is kept, counted as blocked, and arrives in order."""
    with paced_server(ttft_ms=0, gap_ms=0, tokens=60_000) as fast:
        connection = http.client.HTTPConnection("127.0.0.1", fast.port, timeout=10)
        connection.request("POST", "/v1/completions", "{}")
        answer = connection.getresponse()
        time.sleep(0.5)
        events = answer.read().split(b"\n\n")
        connection.close()
    assert len(events) == 60_002
    assert json.loads(events[-3].removeprefix(b"data: "))["usage"]["completion_tokens"] == 60_000
    assert fast.log().requests["blocked"][0] > 0


@pytest.mark.parametrize("path", ["/health", "/version", "/v1/models"])
def test_preflight_is_answered(server, path):
    """What clients ask before a run has a JSON answer; what they should not ask, a 404."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 200
    assert isinstance(json.loads(answer.read()), dict)
    connection.request("GET", "/nothing")
    assert connection.getresponse().status == 404
    connection.close()


def test_bare_client_agrees_with_the_server(server):
    """The bare client counts the requests and tokens that the server logged, and measures its schedule."""
    client = [compiled("epoll_client"), "127.0.0.1", str(server.port), "3", "0.6", "4"]
    result = json.loads(subprocess.run(client, check=True, capture_output=True, timeout=20).stdout)
    log = server.log()
    # A response may have ended at the server and not yet at the client when that leaves.
    assert 3 <= result["requests"] <= int((log.requests["ended_ns"] > 0).sum()) <= result["requests"] + 3
    assert 4 * result["requests"] <= result["chunks"] <= len(log.before_ns)
    assert np.median(log.ttft_true_ns()) / 1e6 - 1 < result["ttft_p50_ms"] < 60
    assert abs(np.median(log.gaps_ns()) / 1e6 - result["gap_p50_ms"]) < 2
    assert result["cpu_us_per_chunk"] > 0
