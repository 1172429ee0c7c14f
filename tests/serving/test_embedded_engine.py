"""The embedded server with an engine that batches, seen from a socket."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import yaml

from benchkit.errors import InvalidParameter, UnknownParameter
from benchkit.serving import simulated
from benchkit.serving.simulated.settings import settings_for
from benchkit.telemetry.prometheus import parse

FAST = {"step_base_us": 2_000, "step_prefill_us_per_token": 50, "step_decode_us_per_request": 10}
WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "for",
    "it",
    "as",
    "was",
    "with",
    "be",
    "by",
    "on",
    "not",
]


def complete(server, prompt, tokens=4, **more):
    body = {"prompt": prompt, "max_tokens": tokens, "ignore_eos": True} | more
    return httpx.post(f"{server.url}/v1/completions", json=body, trust_env=False, timeout=20)


def metric(server, name):
    page = httpx.get(f"{server.url}/metrics", trust_env=False).text
    return sum(reading.value for reading in parse(page) if reading.name == f"vllm:{name}")


@pytest.fixture(scope="module")
def cached():
    """A server with a cache of 64 blocks."""
    arguments = {**FAST, "kv_blocks": 64, "enable_prompt_tokens_details": True, "max_num_seqs": 4}
    with simulated.start(preset="simple", server_args=arguments) as server:
        yield server


def test_the_prefix_cache_is_seen_in_usage_and_metrics(cached):
    """A prompt that was there before is found, but for its last block; after a reset it is not."""
    prompt = " ".join(WORDS[at % 16] + str(at) for at in range(160))
    cold, warm = complete(cached, prompt).json(), complete(cached, prompt).json()
    assert cold["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
    assert warm["usage"]["prompt_tokens_details"] == {"cached_tokens": 144}
    assert metric(cached, "prefix_cache_queries_total") == 320
    assert metric(cached, "prefix_cache_hits_total") == 144
    assert httpx.post(f"{cached.url}/reset_prefix_cache", trust_env=False).status_code == 200
    again = complete(cached, prompt).json()
    assert again["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
    salted = complete(cached, prompt, cache_salt="another tenant").json()
    assert salted["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}


def test_a_conversation_finds_its_earlier_turns(cached):
    """The answer is part of what is known: the next turn computes little more than its own question."""
    messages = [{"role": "user", "content": " ".join(f"a{at}" for at in range(60))}]
    body = {"messages": messages, "max_tokens": 64, "ignore_eos": True}
    url = f"{cached.url}/v1/chat/completions"
    first = httpx.post(url, json=body, trust_env=False, timeout=20).json()
    messages += [first["choices"][0]["message"], {"role": "user", "content": "and now"}]
    second = httpx.post(url, json=body, trust_env=False, timeout=20).json()
    before = first["usage"]["prompt_tokens"] + 64
    assert before - 16 <= second["usage"]["prompt_tokens_details"]["cached_tokens"] <= before


def test_the_queue_and_the_cache_are_in_the_metrics(cached):
    """While more is asked for than fits, some wait; the cache's size is told as vLLM tells it."""
    with ThreadPoolExecutor(8) as pool:
        prompts = [" ".join(f"{who}w{at}" for at in range(30)) for who in range(8)]
        answers = [pool.submit(complete, cached, prompt, 200) for prompt in prompts]
        most = [0.0, 0.0]
        usage = 0.0
        while not all(answer.done() for answer in answers):
            seen = [metric(cached, f"num_requests_{state}") for state in ("running", "waiting")]
            most = [max(pair) for pair in zip(most, seen, strict=True)]
            usage = max(usage, metric(cached, "kv_cache_usage_perc"))
        assert all(answer.result().status_code == 200 for answer in answers)
    assert most[0] == 4
    assert 2 <= most[1] <= 4
    assert 0.1 < usage <= 1
    page = httpx.get(f"{cached.url}/metrics", trust_env=False).text
    assert 'block_size="16",num_gpu_blocks="64"' in page
    assert metric(cached, "kv_cache_usage_perc") == 0


def test_requests_above_a_queue_length_are_shed(cached):
    """With so many waiting the next one is answered 429 at once."""
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(complete, cached, f"x{who}", 200) for who in range(6)]
        while metric(cached, "num_requests_waiting") < 2:
            assert not all(answer.done() for answer in answers)
        shed = complete(cached, "late", benchkit_fault="shed_above:2")
        admitted = complete(cached, "late", benchkit_fault="shed_above:3")
        assert all(answer.result().status_code == 200 for answer in answers)
    assert shed.status_code == 429
    assert shed.json()["error"]["type"] == "RateLimitError"
    assert admitted.status_code == 200


def test_a_server_can_start_slowly_and_crash():
    """It is there and says 503 until its model is loaded; a crash takes the process with it."""
    with simulated.start(server_args={"startup_s": 1.0, "ttft_ms": 5, "gap_ms": 5}) as server:
        assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 200
        assert server.is_alive()
        with pytest.raises(httpx.RemoteProtocolError):
            complete(server, "a b", 10, stream=True, benchkit_fault="crash_after:3")
        deadline = time.monotonic() + 10
        while server.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not server.is_alive()
        assert "EngineCore died" in server.log_tail()


def test_a_preset_named_after_hardware_serves():
    """A published preset is started by its name, its settings laid over by vLLM's own flag names."""
    arguments = {"max-num-seqs": 2, "num_gpu_blocks_override": 4_000}
    with simulated.start(preset="h100-llama-3.1-8b", server_args=arguments) as server:
        began = time.monotonic()
        assert complete(server, "a b c", 10).status_code == 200
        assert 0.06 < time.monotonic() - began < 0.5
        page = httpx.get(f"{server.url}/metrics", trust_env=False).text
        assert 'num_gpu_blocks="4000"' in page
        models = httpx.get(f"{server.url}/v1/models", trust_env=False).json()
        assert models["data"][0]["max_model_len"] == 64_000


def preset_file(folder, **changes):
    path = folder / "mine.yaml"
    content = {
        "kind": "benchkit-preset",
        "version": 1,
        "name": "mine",
        "settings": {"engine": "vllm", **FAST},
    }
    path.write_text(yaml.safe_dump(content | changes), encoding="utf-8")
    return path


def test_a_preset_file_serves_from_anywhere(tmp_path, monkeypatch):
    """A relative path is taken from where the command is given; what is said beside the preset wins."""
    preset_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    with simulated.start(preset="mine.yaml", server_args={"prefix_caching": False}) as server:
        assert complete(server, "a b c").status_code == 200
    assert settings_for("mine.yaml", {"step_base_us": 7}).step_base_us == 7
    assert settings_for("mine.yaml", {}).step_base_us == 2_000


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"kind": "other"}, InvalidParameter, "benchkit calibrate"),
        ({"version": 9}, InvalidParameter, "version 9"),
        ({"settings": {"step_bas_us": 3}}, UnknownParameter, "mine.yaml.*did you mean 'step_base_us'"),
        ({"settings": {"step_base_us": -3}}, InvalidParameter, "mine.yaml.*above 0"),
        ({"settings": []}, InvalidParameter, "no mapping"),
    ],
)
def test_a_preset_file_that_says_nonsense_is_refused(tmp_path, changes, error, says):
    """The error names the file and the setting."""
    with pytest.raises(error, match=says):
        settings_for(str(preset_file(tmp_path, **changes)), {})
    with pytest.raises(InvalidParameter, match=r"nowhere\.yaml cannot be read"):
        settings_for("nowhere.yaml", {})


def test_a_context_that_does_not_fit_the_cache_is_refused():
    """Before anything starts, with the remedy."""
    with pytest.raises(InvalidParameter, match="lower max_model_len or raise kv_blocks"):
        settings_for("simple", {"kv_blocks": 10, "max_model_len": 200})
    assert settings_for("simple", {"kv_blocks": 10}).max_model_len == 160
