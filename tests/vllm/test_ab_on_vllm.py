"""`benchkit ab` on a real vLLM."""

import time

import pytest

from benchkit.experiments.sweeping import SweepHooks
from benchkit.report.ab import ab

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


def test_a_real_server_with_itself(vllm_server, tmp_path):
    """One vLLM on both sides: pairs of one start, which it tells, with equal lengths and other prompts."""
    done = ab(
        url=vllm_server.url,
        url_b=vllm_server.url,
        pairs=2,
        concurrency=2,
        warmup_s=0.5,
        duration_s=0.0,
        requests=8,
        input_tokens=64,
        output_tokens=32,
        output_tokens_spread=0.5,
        numbers=["mean itl"],
        out=str(tmp_path),
        hooks=SweepHooks(),
    )

    (start,) = {run["started_at"] for run in done.manifest["runs"]}
    assert 0 < time.time() - start < 3600
    for base, new in zip(done.base, done.new, strict=True):
        wanted = [run.requests.sort_values("index") for run in (base, new)]
        wanted = [rows[rows.phase == "window"].wanted_output_tokens.tolist() for rows in wanted]
        shared = min(map(len, wanted))
        assert shared == 8
        assert wanted[0][:shared] == wanted[1][:shared]
        assert not set(base.requests.prompt_hash) & set(new.requests.prompt_hash)
    told = done.look["numbers"]["mean itl"]
    assert 0.2 < told["ratio"] < 5
    assert told["note"] == ""
