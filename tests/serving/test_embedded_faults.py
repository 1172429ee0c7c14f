"""The faults that the embedded server makes on request, seen from a socket."""

import json
import time

import httpx
import pytest

from benchkit.serving import simulated
from benchkit.serving.simulated.faults import Faults, parse_faults

BODY = {"prompt": "a b c", "max_tokens": 8, "stream": True, "ignore_eos": True}


def stream(server, fault, **body):
    """Text of a stream with that fault, and when each read came (s)."""
    times, text = [], ""
    began = time.monotonic()
    with (
        httpx.Client(trust_env=False, timeout=10) as client,
        client.stream(
            "POST", f"{server.url}/v1/completions", json=BODY | {"benchkit_fault": fault} | body
        ) as answer,
    ):
        assert answer.status_code == 200
        for part in answer.iter_text():
            text += part
            times.append(time.monotonic() - began)
    return text, times


def logged(server, fault):
    """The server's log of a stream with that fault."""
    headers = {"X-Benchkit-Log": "1", "X-Request-Id": fault, "X-Benchkit-Fault": fault}
    httpx.post(f"{server.url}/v1/completions", json=BODY, headers=headers, trust_env=False)
    log = httpx.get(f"{server.url}/benchkit/sends", trust_env=False).json()
    (record,) = [one for one in log if one["request_id"] == fault]
    return record


def tokens(text):
    return text.count('"text":"')


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", Faults()),
        ("429", Faults(status=429)),
        ("cut_after_5", Faults(cut_after=5)),
        ("stall_ms:250, ping", Faults(stall_ms=250, ping=True)),
        ("error_event", Faults(error_event=3)),
        ("short", Faults(short=3)),
    ],
)
def test_faults_are_written_as_a_list(text, faults):
    """Names with or without a number, apart by commas."""
    assert parse_faults(text) == faults


@pytest.mark.parametrize("text", ["nothing", "ping:3", "cut_after:x", "stall"])
def test_unknown_faults_are_refused(text):
    """A name that does not exist, or a number where none belongs, is an error that lists what there is."""
    with pytest.raises(ValueError, match="stall_ms"):
        parse_faults(text)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_status(server, status):
    """A number answers with that status and the API's error, by body or by header."""
    headers = {"X-Benchkit-Fault": str(status)}
    answer = httpx.post(f"{server.url}/v1/completions", json=BODY, headers=headers, trust_env=False)

    assert answer.status_code == status
    assert answer.json()["error"]["code"] == status


def test_cut_in_mid_stream(server):
    """The connection closes after the tokens, without the end of the message."""
    with pytest.raises(httpx.RemoteProtocolError):
        stream(server, "cut_after:5")


def test_error_event(server):
    """An error comes as an event of a stream that was 200, and ends it."""
    text, _ = stream(server, "error_event:4")

    assert tokens(text) == 4
    assert '"error":{"message":' in text
    assert text.endswith("data: [DONE]\n\n")


def test_malformed_event(server):
    """One event is no JSON, the stream goes on."""
    text, _ = stream(server, "malformed")
    bad = [line for line in text.split("\n") if line.startswith("data: {") and not line.endswith("}")]

    assert len(bad) == 1
    assert text.endswith("data: [DONE]\n\n")


def test_stall(server):
    """The stream pauses in the middle for the time and then goes on complete."""
    text, times = stream(server, "stall_ms:150")

    assert tokens(text) == 8
    assert times[-1] >= 0.18  # the fourth token after 35 ms, then 150


def test_slow_start(server):
    """Nothing leaves before the time is over, then all that was due."""
    text, times = stream(server, "slow_start:120")

    assert tokens(text) == 8
    assert times[0] >= 0.119


def test_buffered(server):
    """As behind a buffering proxy, everything comes at the end and at once."""
    text, times = stream(server, "buffer")

    assert tokens(text) == 8
    assert times[0] >= 0.055  # 20 ms, then 7 gaps of 5 ms
    assert len(set(logged(server, "buffer")["sent_ns"])) == 1


def test_merged_tokens(server):
    """Several tokens share an event, none is lost."""
    options = {"include_usage": True, "continuous_usage_stats": True}
    text, _ = stream(server, "merge:3", stream_options=options)
    lines = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: {")]

    assert [json.loads(line)["usage"]["completion_tokens"] for line in lines] == [1, 4, 7, 8, 8]


@pytest.mark.parametrize("fault", ["no_usage", "no_continuous_usage"])
def test_usage_withheld(server, fault):
    """Usage is missing altogether, or comes only at the end."""
    text, _ = stream(server, fault, stream_options={"include_usage": True, "continuous_usage_stats": True})

    assert text.count('"usage":{') == (0 if fault == "no_usage" else 1)


def test_no_end_marks(server):
    """A stream may end without [DONE] and without a finish reason."""
    text, _ = stream(server, "no_done,no_finish_reason")

    assert tokens(text) == 8
    assert "[DONE]" not in text
    assert '"finish_reason":"length"' not in text


def test_short_and_pings(server):
    """An answer may be shorter than asked for; comments may stand before its events."""
    text, _ = stream(server, "short:4,ping")

    assert tokens(text) == 4
    assert text.count(": ping\n") == 4


def test_held_events_are_logged_when_they_left(server):
    """The log has the times at which a stalled stream's events really went out."""
    record = logged(server, "stall_ms:100")
    late_ms = [(s - d) / 1e6 for d, s in zip(record["scheduled_ns"], record["sent_ns"], strict=True)]

    assert late_ms[4] >= 90
    assert len(set(record["sent_ns"][4:])) == 1


def test_a_server_can_have_a_fault_for_all(state_folder):
    """The setting `fault` holds for every request, and a cold server's first token comes late."""
    arguments = {
        "fault": "no_eos_control,no_token_ids",
        "mean_answer_tokens": 2,
        "cold_ms": 100,
        "ttft_ms": 1,
    }
    with simulated.start(server_args=arguments) as server, httpx.Client(trust_env=False) as client:
        answers = [
            client.post(f"{server.url}/v1/completions", json=BODY | {"stream": False, "prompt": f"p {at}"})
            for at in range(4)
        ]
        refused = client.post(f"{server.url}/v1/completions", json=BODY | {"prompt": [1, 2]})

    assert min(answer.json()["usage"]["completion_tokens"] for answer in answers) < 8
    assert answers[0].elapsed.total_seconds() > 0.1
    assert refused.status_code == 400
