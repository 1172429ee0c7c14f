"""What a run does not show, derived from its manifest."""

from __future__ import annotations

import pytest

from benchkit.analysis.limits import limits, unresolved


def manifest(**changes):
    """A run against a remote server over TLS with real lengths, open loop: as little left open as can be."""
    parameters = {
        "url": "https://inference.example",
        "load": "poisson",
        "connections": "fresh",
        "prompt_form": "text",
        "endpoint": "chat",
        "input_tokens_spread": 0.5,
        "output_tokens_spread": 0.5,
        "prefix_tokens": 64,
        "ignore_eos": False,
        "temperature": 0.7,
        "repeats": 5,
    }
    loads = {"workers": [{"kernel_times": False}]}
    return {"parameters": parameters | changes.pop("parameters", {}), "load": loads} | changes


def summary(**changes):
    """A long window with intervals and a large sample."""
    whole = {
        "length_s": 600.0,
        "metrics": {"latency_ms": {"count": 9999, "ci95": {"mean": [1, 2]}}},
        "rates": {},
        "intervals": {"by": "repeats", "repeats_needed": None},
    }
    return {"windows": {"whole": whole | changes}}


BARE = limits(manifest(), summary())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parameters": {"url": ""}}, "No model was served"),
        ({"server": {"engine": "benchkit"}}, "No model was served"),
        ({"preflight": {"server": {"version": "benchkit-simulated 1"}}}, "No model was served"),
        ({"parameters": {"url": "http://127.0.0.1:8000"}}, "shared one machine"),
        ({"parameters": {"url": "http://localhost:8000"}}, "shared one machine"),
        ({"parameters": {"url": "http://10.0.0.8:8000"}}, "No TLS"),
        ({"parameters": {"load": "concurrent"}}, "Closed loop"),
        ({"parameters": {"connections": "reuse"}}, "Kept connections"),
        ({"parameters": {"dataset": "synthetic"}}, "random words"),
        ({"parameters": {"dataset": "synthetic"}}, "no conversations"),
        ({"parameters": {"prompt_form": "token_ids"}}, "no tokenizer and no chat template"),
        ({"parameters": {"endpoint": "completions"}}, "no chat template"),
        ({"parameters": {"input_tokens_spread": 0.0, "output_tokens_spread": 0.0}}, "Fixed lengths"),
        ({"parameters": {"prefix_tokens": 0}}, "No shared prefix"),
        ({"parameters": {"ignore_eos": True}}, "as long as asked for"),
        (
            {"parameters": {"ignore_eos": True}, "preflight": {"ignore_eos_honoured": False}},
            "ignores `ignore_eos`",
        ),
        ({"parameters": {"temperature": 0.0}}, "Greedy"),
        ({"plan_spec": {"vocabulary": {"source": "uncounted"}}}, "not counted by a tokenizer"),
        ({"parameters": {"repeats": 1}}, "One run"),
        ({"load": {"workers": [{"kernel_times": True}]}}, "network card"),
        ({"load": {"fallbacks": ["timerfd"]}}, "fallback: timerfd"),
    ],
)
def test_each_sentence_comes_from_its_fact_alone(changes, said):
    """With the fact the sentence is there; without it, it is not."""
    assert any(said in sentence for sentence in limits(manifest(**changes), summary()))
    assert not any(said in sentence for sentence in BARE)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"length_s": 30.0}, "A window of 30 s"),
        (
            {"intervals": None, "metrics": {"latency_ms": {"count": 130, "ci95": {"p50": [1, 2]}}}},
            "130 requests do not resolve p99, p99.9",
        ),
        ({"intervals": None}, "No intervals"),
        (
            {"metrics": {"ttft_ms": {"notes": {"p99": "not enough data"}}}},
            "Not resolved by this run: p99 of TTFT.",
        ),
        (
            {"intervals": {"by": "run", "repeats_needed": "all seats were taken"}},
            "Repeats needed: all seats were taken.",
        ),
    ],
)
def test_the_summary_limits_a_run_too(changes, said):
    """A short window, a small sample and missing intervals are said."""
    assert any(said in sentence for sentence in limits(manifest(), summary(**changes)))
    assert not any(said in sentence for sentence in BARE)


def test_one_address_is_always_said():
    """Replicas and balancers are beyond any run of one address."""
    assert BARE == ["One address: nothing about several replicas, or about the balancer in front of them."]


def test_an_empty_manifest_says_nothing():
    """A file without facts limits nothing and breaks nothing."""
    assert limits({}, {}) == []


def test_the_articles_130_requests_resolve_no_p99():
    """p99 needs 368 values, p99.9 3,688; 130 are enough for p95 (72)."""
    assert unresolved(130) == ("p99", "p99_9")
    assert unresolved(3688) == ()
    assert unresolved(5) == ("p50", "p90", "p95", "p99", "p99_9")
