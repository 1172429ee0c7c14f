"""The embedded server with an engine that batches, seen from a socket."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from benchkit.serving import simulated
from benchkit.telemetry.prometheus import parse

FAST = {"step_base_us": 2_000, "step_prefill_us_per_token": 50, "step_decode_us_per_request": 10}
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def cached():
    """A client of a server with a cache of 64 blocks."""
    arguments = {**FAST, "kv_blocks": 64, "enable_prompt_tokens_details": True, "max_num_seqs": 4}
    with (
        simulated.start(preset="simple", server_args=arguments) as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=20) as client,
    ):
        yield client


def complete(client, prompt, tokens=4, **more):
    body = {"prompt": prompt, "max_tokens": tokens, "ignore_eos": True} | more
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == 200
    return answer.json()


def metric(client, name):
    return sum(
        reading.value for reading in parse(client.get("/metrics").text) if reading.name == f"vllm:{name}"
    )


def cached_tokens(answer):
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_the_prefix_cache_is_seen_in_usage_and_metrics(cached):
    """A prompt that was there before is found, but for its last block; after a reset it is not."""
    prompt = " ".join(f"w{at}" for at in range(160))
    before = [metric(cached, f"prefix_cache_{name}_total") for name in ("queries", "hits")]

    assert cached_tokens(complete(cached, prompt)) == 0
    assert cached_tokens(complete(cached, prompt)) == 144
    after = [metric(cached, f"prefix_cache_{name}_total") for name in ("queries", "hits")]
    assert [b - a for a, b in zip(before, after, strict=True)] == [320, 144]
    assert cached.post("/reset_prefix_cache").json() == {"success": True}
    assert cached_tokens(complete(cached, prompt)) == 0
    assert cached_tokens(complete(cached, prompt, cache_salt="another tenant")) == 0


def test_usage_in_a_stream_tells_of_the_cache_at_its_end(cached):
    """As from vLLM, the events before it have counts alone."""
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 3, "stream_options": options}
    text = cached.post(CHAT, json=body | {"stream": True, "ignore_eos": True}).text
    assert text.count('"usage":') == 5
    assert text.count("cached_tokens") == 1
    assert "cached_tokens" in text.split("data: ")[-2]


def test_usage_says_nothing_of_the_cache_by_default(server):
    """vLLM tells it only where it was asked to."""
    answer = httpx.post(f"{server.url}/v1/completions", json={"prompt": "a b"}, trust_env=False)
    assert "prompt_tokens_details" not in answer.json()["usage"]


@pytest.mark.parametrize("stops", [False, True])
def test_a_conversation_finds_its_earlier_turns(cached, stops):
    """The answer is part of what is known: the next turn computes little more than its own question."""
    messages = [{"role": "user", "content": " ".join(f"a{at}" for at in range(60))}]
    body = {"max_tokens": 64, "ignore_eos": not stops, "benchkit_fault": "short:40" if stops else ""}
    first = cached.post(CHAT, json=body | {"messages": messages}).json()
    assert first["choices"][0]["finish_reason"] == ("stop" if stops else "length")
    messages += [first["choices"][0]["message"], {"role": "user", "content": "and now"}]
    second = cached.post(CHAT, json=body | {"messages": messages}).json()
    computed = first["usage"]["total_tokens"] - 1  # the last token is never computed itself
    assert cached_tokens(second) == computed // 16 * 16


def test_the_queue_and_the_cache_are_in_the_metrics(cached):
    """While more is asked for than fits, some wait; the cache's size is told as vLLM tells it."""
    with ThreadPoolExecutor(8) as pool:
        prompts = [" ".join(f"{who}w{at}" for at in range(30)) for who in range(8)]
        answers = [pool.submit(complete, cached, prompt, 200) for prompt in prompts]
        most = {"num_requests_running": 0.0, "num_requests_waiting": 0.0, "kv_cache_usage_perc": 0.0}
        refused = 0
        while not all(answer.done() for answer in answers):
            most = {name: max(value, metric(cached, name)) for name, value in most.items()}
            refused += cached.post("/reset_prefix_cache").json() == {"success": False}
        assert [answer.result()["usage"]["completion_tokens"] for answer in answers] == [200] * 8
    assert most["num_requests_running"] == 4
    assert 1 <= most["num_requests_waiting"] <= 4
    assert 0.1 < most["kv_cache_usage_perc"] <= 1
    assert refused, "blocks in use cannot be forgotten"
    assert metric(cached, "kv_cache_usage_perc") == 0
    assert 'block_size="16",num_gpu_blocks="64",enable_prefix_caching="True"' in cached.get("/metrics").text


def test_preemptions_are_counted(cached):
    """Answers that grow beyond the cache push one another out, and are complete all the same."""
    before = metric(cached, "num_preemptions_total")
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(complete, cached, f"grow{who}", 500) for who in range(4)]
        assert [answer.result()["usage"]["completion_tokens"] for answer in answers] == [500] * 4
    assert metric(cached, "num_preemptions_total") > before


def test_the_page_has_vllms_names_and_types(cached):
    """Every family that a dashboard of vLLM's reads, of its type."""
    page = cached.get("/metrics").text
    types = {family.name: family.type for family in text_string_to_metric_families(page)}
    gauges = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "cache_config_info")
    counters = ("prefix_cache_queries", "prefix_cache_hits", "num_preemptions", "prompt_tokens",
                "generation_tokens", "request_success", "admission_rejections")  # fmt: skip
    histograms = ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds",
                  "request_time_per_output_token_seconds", "request_queue_time_seconds",
                  "request_prefill_time_seconds", "request_decode_time_seconds",
                  "request_inference_time_seconds", "request_prompt_tokens",
                  "request_generation_tokens")  # fmt: skip
    expected = dict.fromkeys(gauges, "gauge") | dict.fromkeys(counters, "counter")
    expected |= dict.fromkeys(histograms, "histogram")
    expected = {f"vllm:{name}": kind for name, kind in expected.items()}
    assert types == expected | {"process_start_time_seconds": "gauge"}


def test_histograms_of_a_request_add_up(cached):
    """Its time in the batch is that of prefill and of decode; its tokens are what was asked for."""
    names = [f"request_{part}_time_seconds_sum" for part in ("inference", "prefill", "decode")]
    names += ["request_prompt_tokens_sum", "request_generation_tokens_sum", "request_generation_tokens_count"]
    names += ["request_time_per_output_token_seconds_sum"]
    before = [metric(cached, name) for name in names]
    complete(cached, "one two three", 21)
    moved = [metric(cached, name) - was for name, was in zip(names, before, strict=True)]
    assert moved[0] == pytest.approx(moved[1] + moved[2])
    assert moved[3:6] == [3, 21, 1]
    assert moved[6] == pytest.approx(moved[2] / 20)


def test_a_preset_named_after_hardware_serves():
    """A published preset is started by its name, its settings laid over by vLLM's own flag names."""
    arguments = {"max-num-seqs": 2, "num_gpu_blocks_override": 4_000}
    with (
        simulated.start(preset="h100-llama-3.1-8b", server_args=arguments) as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        began = time.monotonic()
        complete(client, "a b c", 10)
        assert time.monotonic() - began > 0.06
        assert 0.06 < metric(client, "e2e_request_latency_seconds_sum") < 0.12
        assert 'num_gpu_blocks="4000"' in client.get("/metrics").text
        assert client.get("/v1/models").json()["data"][0]["max_model_len"] == 64_000


def test_a_preset_file_serves_from_anywhere(tmp_path, monkeypatch):
    """A relative path is taken from where the command is given; what is said beside the preset wins."""
    content = {"kind": "benchkit-preset", "version": 1, "settings": {"engine": "vllm", **FAST}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with (
        simulated.start(preset="mine.yaml", server_args={"step_base_us": 30_000}) as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        complete(client, "a b c", 3)
        expected_s = (3 * 30_000 + 3 * 50 + 2 * 10) / 1e6
        assert metric(client, "e2e_request_latency_seconds_sum") == pytest.approx(expected_s, abs=1e-4)
