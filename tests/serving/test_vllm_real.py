"""Real vLLM on a tiny model: it starts, serves, is timed and leaves nothing."""

import os

import httpx
import psutil
import pytest

from benchkit.errors import ServerStartError
from benchkit.serving import process, start

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


def test_the_tiny_model_is_served():
    """tiny-random serves text and token ids of the wanted length; stopping ends all its processes."""
    with start(
        backend="vllm", served_model="tiny-random", server_args={"max_num_seqs": 8, "enforce_eager": True}
    ) as server:
        group = [pid for pid in psutil.pids() if os.getpgid(pid) == server.state.process_group]
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
            card = client.get("/v1/models").json()["data"][0]
            body = {"model": "tiny-random", "max_tokens": 5, "ignore_eos": True}
            text = client.post("/v1/completions", json=body | {"prompt": "import os"}).json()
            ids = client.post("/v1/completions", json=body | {"prompt": [9, 8, 7, 6]}).json()
            message = {"role": "user", "content": "import os"}
            chat = client.post("/v1/chat/completions", json=body | {"messages": [message]}).json()
            counted = client.post("/tokenize", json={"model": "tiny-random", "prompt": "import os"}).json()
        stages = server.startup

    assert (card["id"], card["max_model_len"]) == ("tiny-random", 2048)
    assert text["usage"]["prompt_tokens"] == counted["count"]
    assert ids["usage"]["prompt_tokens"] == 4
    assert {answer["usage"]["completion_tokens"] for answer in (text, ids, chat)} == {5}
    assert stages.process_s < stages.healthy_s < stages.first_token_s
    assert 0 < stages.warm_ttft_ms < stages.cold_ttft_ms
    assert len(group) > 2
    assert not [pid for pid in group if _lives(pid)]
    assert server.state not in process.list_servers()


def test_a_wrong_flag_shows_vllms_own_words():
    """A flag that vLLM does not have ends the start at once, with the end of its log in the error."""
    with pytest.raises(ServerStartError, match="unrecognized arguments: --no-such-flag"):
        start(backend="vllm", served_model="tiny-random", server_args={"no_such_flag": 1})


def _lives(pid):
    """Whether a process does anything any more; one that ended may wait for a moment to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
