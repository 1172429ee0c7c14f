"""The embedded server's API, over a real socket."""

import json
import socket

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchkit.serving import simulated


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, trust_env=False, timeout=10) as opened:
        yield opened


def complete(client, path="completions", **body):
    defaults = {"prompt": "hello dear world"} if path == "completions" else {"messages": [USER]}
    return client.post(f"/v1/{path}", json=defaults | {"max_tokens": 4, "ignore_eos": True} | body)


def events(answer):
    """The events of a stream; its end must be [DONE]."""
    lines = [line for line in answer.text.split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


USER = {"role": "user", "content": "hello dear world"}


def test_control_endpoints(client):
    """Health, version and models answer as vLLM's do; the model card has the context length."""
    assert client.get("/health").status_code == 200
    assert client.get("/version").json()["version"]
    card = client.get("/v1/models").json()["data"][0]
    assert (card["id"], card["max_model_len"]) == ("simulated", 2048)


def test_completion_in_one_piece(client):
    """Without streaming the answer has the wanted tokens, the usage and a finish reason."""
    answer = complete(client).json()

    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert answer["choices"][0]["finish_reason"] == "length"
    assert client.post("/tokenize", json={"prompt": answer["choices"][0]["text"]}).json()["count"] == 4


def test_chat_in_one_piece(client):
    """A chat's answer is the assistant's message; its prompt counts the template."""
    answer = complete(client, "chat/completions").json()

    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["usage"]["prompt_tokens"] == 10
    assert client.post("/tokenize", json={"messages": [USER]}).json()["count"] == 10


def test_streamed_completion(client):
    """One event a token, the finish reason in the last, and the same text as in one piece."""
    streamed = events(complete(client, stream=True))

    assert [event["choices"][0]["finish_reason"] for event in streamed] == [None, None, None, "length"]
    text = "".join(event["choices"][0]["text"] for event in streamed)
    assert text == complete(client).json()["choices"][0]["text"]


def test_streamed_chat_opens_with_the_role(client):
    """A chat's stream starts with a role without content, then one event a token."""
    streamed = events(complete(client, "chat/completions", stream=True))

    deltas = [event["choices"][0]["delta"] for event in streamed]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert all(delta["content"] for delta in deltas[1:])
    assert len(deltas) == 5


@pytest.mark.parametrize("path", ["completions", "chat/completions"])
def test_usage_in_streams(client, path):
    """Usage comes in no event, in a last one without choices, or in every one, as asked."""
    none = events(complete(client, path, stream=True))
    final = events(complete(client, path, stream=True, stream_options={"include_usage": True}))
    options = {"include_usage": True, "continuous_usage_stats": True}
    continuous = events(complete(client, path, stream=True, stream_options=options))

    assert [event.get("usage") for event in none] == [None] * len(none)
    assert [bool(event.get("usage")) for event in final] == [False] * len(none) + [True]
    assert final[-1]["choices"] == []
    counts = [event["usage"]["completion_tokens"] for event in continuous]
    assert counts[-6:] == [0, 1, 2, 3, 4, 4][-len(counts) :]


@pytest.mark.parametrize("prompt", [[11, 12, 13], [[11, 12, 13]], ["one two three"]])
def test_prompts_may_be_ids_or_lists_of_one(client, prompt):
    """Token ids count one each; a list of one prompt is that prompt."""
    assert complete(client, prompt=prompt).json()["usage"]["prompt_tokens"] == 3


def test_answers_may_stop_by_themselves(client):
    """Without ignore_eos an answer has a length of its own, the same each time, not below min_tokens."""
    lengths = {}
    for number in range(5):
        body = {"prompt": f"prompt {number}", "ignore_eos": False, "max_tokens": 30}
        first, again = complete(client, **body).json(), complete(client, **body).json()
        assert first["usage"] == again["usage"]
        lengths[first["usage"]["completion_tokens"]] = first["choices"][0]["finish_reason"]
    least = complete(client, ignore_eos=False, max_tokens=30, min_tokens=29).json()

    assert len(lengths) > 1
    assert all((reason == "length") == (length == 30) for length, reason in lengths.items())
    assert least["usage"]["completion_tokens"] in (29, 30)


def test_context_length(client):
    """A prompt that fills the context is refused; one that nearly does cuts the answer short."""
    refused = complete(client, prompt=[7] * 2048)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert "maximum context length is 2048 tokens" in error["message"]
    assert (error["type"], error["param"], error["code"]) == ("BadRequestError", "input_tokens", 400)
    cut = complete(client, prompt=[7] * 2046, max_tokens=4).json()
    assert (cut["usage"]["completion_tokens"], cut["choices"][0]["finish_reason"]) == (2, "length")


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"model": "other"}, 404, "The model `other` does not exist. Valid aliases: simulated."),
        ({"max_tokens": 3000}, 400, "max_tokens=3000 cannot be greater than max_model_len=2048"),
        ({"max_tokens": 0}, 400, "max_tokens must be at least 1"),
        ({"max_tokens": "4"}, 400, "valid integer"),
        ({"prompt": ""}, 400, "empty"),
        ({"prompt": None}, 400, "prompt"),
        ({"prompt": ["a", "b"]}, 400, "prompt"),
        ({"prompt": [1, 99_999_999]}, 400, "out of vocabulary"),
        ({"n": 2}, 400, "n must be 1"),
        ({"benchkit_fault": "cut_of"}, 400, "no fault"),
    ],
)
def test_bad_requests_are_refused(client, body, status, says):
    """What cannot be served is refused with the API's error, which says why."""
    answer = complete(client, **body)

    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b""])
def test_bodies_that_are_no_object_are_refused(client, body):
    """A body that is no JSON object is a 400, and the connection goes on."""
    assert client.post("/v1/completions", content=body).status_code == 400
    assert client.get("/health").status_code == 200


def test_unknown_paths_and_methods(client):
    """Other paths are 404, other methods 405 with what is allowed."""
    assert client.get("/v1/other").status_code == 404
    answer = client.get("/v1/completions")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_metrics_have_vllms_names(client):
    """The page parses, and its counters move by what a request has cost."""

    def read():
        samples = {}
        for family in text_string_to_metric_families(client.get("/metrics").text):
            for sample in family.samples:
                of_process = sample.name.startswith("process_")
                assert sample.labels.get("model_name") == (None if of_process else "simulated")
                if "le" not in sample.labels and "finished_reason" not in sample.labels:
                    samples[sample.name] = sample.value
        return samples

    before = read()
    complete(client, max_tokens=5)
    after = read()
    moved = {name: after[name] - before[name] for name in after if after[name] != before[name]}

    assert moved["vllm:prompt_tokens_total"] == 3
    assert moved["vllm:generation_tokens_total"] == 5
    assert moved["vllm:time_to_first_token_seconds_count"] == 1
    assert moved["vllm:time_to_first_token_seconds_sum"] == pytest.approx(0.020, abs=1e-9)
    assert moved["vllm:inter_token_latency_seconds_count"] == 4
    assert moved["vllm:inter_token_latency_seconds_sum"] == pytest.approx(0.020, abs=1e-9)
    assert moved["vllm:e2e_request_latency_seconds_sum"] == pytest.approx(0.040, abs=1e-9)
    assert moved["vllm:request_decode_time_seconds_sum"] == pytest.approx(0.020, abs=1e-9)
    assert {"vllm:num_requests_running", "vllm:num_requests_waiting"} <= after.keys()


def test_true_send_times_are_logged_on_request(client):
    """A request that asks for it leaves its arrival, and when each token was due and sent."""
    client.delete("/benchkit/sends")
    complete(client, stream=True)
    headers = {"X-Benchkit-Log": "1", "X-Request-Id": "mine"}
    body = {"prompt": "a", "max_tokens": 3, "stream": True, "ignore_eos": True}
    client.post("/v1/completions", json=body, headers=headers)
    (record,) = client.get("/benchkit/sends").json()

    assert record["request_id"] == "mine"
    due = [round((time - record["arrived_ns"]) / 1e6, 3) for time in record["scheduled_ns"]]
    assert due == [20.0, 25.0, 30.0]
    assert all(
        sent >= planned for sent, planned in zip(record["sent_ns"], record["scheduled_ns"], strict=True)
    )


def test_a_client_that_leaves_frees_its_place(client, server):
    """When a connection is closed in mid-answer the engine stops computing for it."""
    with socket.create_connection(("127.0.0.1", server.port)) as gone:
        body = json.dumps({"prompt": "a", "max_tokens": 2000, "stream": True, "ignore_eos": True}).encode()
        gone.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        gone.recv(100)
        assert 'num_requests_running{engine="0",model_name="simulated"} 1.0' in client.get("/metrics").text
    for _ in range(100):
        page = client.get("/metrics").text
        if 'num_requests_running{engine="0",model_name="simulated"} 0.0' in page:
            break

    assert 'num_requests_running{engine="0",model_name="simulated"} 0.0' in page


def test_a_key_is_asked_for_where_one_is_set(monkeypatch):
    """With api_key_env, /v1 answers 401 without the key; health needs none; the state file has no key."""
    monkeypatch.setenv("EMBEDDED_KEY", "sesame")
    with simulated.start(api_key_env="EMBEDDED_KEY", server_args={"ttft_ms": 1}) as guarded:
        assert httpx.get(f"{guarded.url}/health", trust_env=False).status_code == 200
        assert httpx.get(f"{guarded.url}/v1/models", trust_env=False).status_code == 401
        headers = {"Authorization": "Bearer sesame"}
        assert httpx.get(f"{guarded.url}/v1/models", headers=headers, trust_env=False).status_code == 200
        assert "sesame" not in str(guarded.state.as_dict())
