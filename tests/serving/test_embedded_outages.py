"""Troubles of the whole embedded server: overload, slow start, a hanging engine, a crash."""

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import pairwise

import httpx
import pytest

from benchkit.serving import simulated
from benchkit.telemetry.prometheus import parse

BODY = {"prompt": "a b c", "max_tokens": 100, "stream": True, "ignore_eos": True}
MS = 1_000_000


def wait_for_death(server):
    deadline = time.monotonic() + 10
    while server.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not server.is_alive()


@pytest.fixture
def full():
    """A client of a server with one request running, two waiting, and room for no more."""
    arguments = {"max_num_seqs": 1, "max_queue": 2, "ttft_ms": 600_000}
    with ExitStack() as stack:
        server = stack.enter_context(simulated.start(server_args=arguments))
        client = stack.enter_context(httpx.Client(base_url=server.url, trust_env=False, timeout=10))
        for _ in range(3):
            answer = stack.enter_context(client.stream("POST", "/v1/completions", json=BODY))
            assert answer.status_code == 200
        yield client


def test_requests_beyond_the_longest_queue_are_refused(full):
    """The next one is answered 429 at once, in the API's shape, and counted; the queue is as it was."""
    refused = full.post("/v1/completions", json=BODY)
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("RateLimitError", 429)
    assert "2 wait already" in error["message"]
    readings = {reading.name: reading.value for reading in parse(full.get("/metrics").text)}
    assert readings["vllm:admission_rejections_total"] == 1
    assert readings["vllm:num_requests_waiting"] == 2


@pytest.mark.parametrize(("above", "status"), [(1, 429), (2, 429), (3, 200)])
def test_a_request_can_ask_to_be_shed_above_a_queue_length(full, above, status):
    """What the request says goes before the server's setting."""
    headers = {"X-Benchkit-Fault": f"shed_above:{above}"}
    with full.stream("POST", "/v1/completions", json=BODY, headers=headers) as answer:
        assert answer.status_code == status


def test_a_slow_start_says_503_until_it_is_over():
    """The server is there at once, but neither healthy nor of use before its time."""
    command = [sys.executable, "-m", "benchkit.serving.simulated", "--startup-s", "1.5", "--ttft-ms", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        try:
            url = json.loads(run.stdout.readline())["url"]
            with httpx.Client(base_url=url, trust_env=False) as client:
                listening = time.monotonic()
                assert client.get("/health").status_code == 503
                answer = client.post("/v1/completions", json=BODY | {"stream": False})
                assert (answer.status_code, answer.json()["error"]["type"]) == (503, "ServiceUnavailable")
                while client.get("/health").status_code != 200:
                    assert time.monotonic() < listening + 10
                    time.sleep(0.02)
                assert time.monotonic() - listening > 1
                assert client.post("/v1/completions", json=BODY | {"max_tokens": 1}).status_code == 200
        finally:
            run.terminate()


def test_a_started_server_is_waited_for_however_slowly_it_starts():
    """The time to become healthy counts from the end of its slow start."""
    began = time.monotonic()
    with simulated.start(server_args={"startup_s": 2.0}, timeout_s=1.9) as server:
        assert time.monotonic() - began > 2
        assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 200


@pytest.mark.parametrize("streamed", [True, False])
def test_a_crash_takes_all_streams_with_it(streamed):
    """After its tokens the process is gone with a traceback, and so is another client's stream."""
    with (
        simulated.start(server_args={"ttft_ms": 5, "gap_ms": 5}) as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
        client.stream("POST", "/v1/completions", json=BODY | {"max_tokens": 5_000}) as other,
    ):
        with pytest.raises(httpx.TransportError):
            client.post(
                "/v1/completions", json=BODY | {"benchkit_fault": "crash_after:3", "stream": streamed}
            )
        with pytest.raises(httpx.TransportError):
            other.read()
        wait_for_death(server)
        log = server.log_tail()
    assert "Traceback (most recent call last):" in log
    assert "EngineDeadError: EngineCore encountered an issue" in log


def test_a_crash_comes_after_the_tokens_asked_for():
    """What was sent before it has arrived."""
    parts = []
    with (
        simulated.start(server_args={"ttft_ms": 5, "gap_ms": 20}) as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
        client.stream("POST", "/v1/completions", json=BODY | {"benchkit_fault": "crash_after:4"}) as answer,
    ):
        with pytest.raises(httpx.TransportError):
            parts.extend(answer.iter_text())
        wait_for_death(server)
    assert "".join(parts).count('"text":"') == 4


def test_a_server_can_crash_by_itself():
    """With crash_after_s it dies so long after it has become healthy."""
    began = time.monotonic()
    with simulated.start(server_args={"crash_after_s": 1.0, "startup_s": 0.3}) as server:
        wait_for_death(server)
        assert time.monotonic() - began > 1.3
        assert "EngineDeadError" in server.log_tail()


@pytest.mark.parametrize(
    ("preset", "settings"),
    [("fixed", {"ttft_ms": 5, "gap_ms": 5}), ("simple", {"step_base_us": 5_000})],
)
def test_a_hanging_engine_stops_all_streams(preset, settings):
    """A stream's tokens all come, with one gap that is as long as the engine hung; then it goes on as before."""
    with (
        simulated.start(preset=preset, server_args=settings) as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        headers = {"X-Benchkit-Log": "1", "X-Request-Id": "other"}
        with client.stream("POST", "/v1/completions", json=BODY, headers=headers) as other:
            lines = other.iter_lines()
            next(lines)
            fault = {"X-Benchkit-Fault": "engine_stall_ms:250"}
            hung = client.post("/v1/completions", json=BODY | {"max_tokens": 2}, headers=fault)
            assert hung.text.count('"text":"') == 2
            assert 1 + sum('"text":"' in line for line in lines) == 100
        (record,) = client.get("/benchkit/sends").json()
    due = record["scheduled_ns"]
    gaps = sorted(later - earlier for earlier, later in pairwise(due))
    assert 250 * MS < gaps[-1] < 260 * MS
    assert gaps[-2] < 10 * MS
    assert record["sent_ns"][-1] - record["sent_ns"][0] > 250 * MS
