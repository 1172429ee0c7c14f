"""The result block and the HTML tables."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from benchkit.analysis.metrics import Window, build_summary
from benchkit.objectives import parse
from benchkit.records.chunks import Chunks
from benchkit.report import tables
from benchkit.report.result_block import result_block

ARTICLE = [
    "============ Serving Benchmark Result ============",
    "Successful requests:",
    "Benchmark duration (s):",
    "Total input tokens:",
    "Total generated tokens:",
    "Request throughput (req/s):",
    "Output token throughput (tok/s):",
    "Total token throughput (tok/s):",
    "---------------Time to First Token----------------",
    "Mean TTFT (ms):",
    "Median TTFT (ms):",
    "P99 TTFT (ms):",
    "-----Time per Output Token (excl. 1st token)------",
    "Mean TPOT (ms):",
    "Median TPOT (ms):",
    "P99 TPOT (ms):",
    "---------------Inter-token Latency----------------",
    "Mean ITL (ms):",
    "Median ITL (ms):",
    "P99 ITL (ms):",
    "==================================================",
]
"""The lines of ``vllm bench serve``, as the article shows them."""


def summary_of(count: int = 10, outcome: str = "ok", **load_facts):
    """A run of ten requests of three tokens: TTFT 50 ms, gaps of 20 ms, one a 100 ms, in a window of 1 s."""
    sent = np.arange(count) * 100_000_000
    times = sent[:, None] + np.array([50, 70, 90]) * 1_000_000
    requests = pd.DataFrame(
        {
            "phase": "window",
            "outcome": outcome,
            "error_kind": None if outcome == "ok" else "reset",
            "scheduled_ns": sent,
            "sent_ns": sent,
            "first_token_ns": times[:, 0],
            "last_token_ns": times[:, -1],
            "end_ns": times[:, -1],
            "prompt_tokens": 10,
            "output_tokens": 3,
        }
    )
    chunks = Chunks(
        offsets=np.arange(0, 3 * count + 1, 3),
        ns=times.ravel(),
        loop_ns=times.ravel(),
        tokens=np.ones(3 * count, np.int32),
        known=np.ones(count, bool),
        shared=np.zeros(3 * count, bool),
    )
    return build_summary(
        requests,
        chunks,
        window=Window(0, 1_000_000_000),
        objectives=[parse("p99 ttft < 80ms"), parse("attainment(ttft < 60ms) > 50%")],
        load_facts=load_facts,
        parameters={"load": "concurrent"},
    )


def value_of(block: str, label: str) -> str:
    """What stands behind a label."""
    return next(line for line in block.splitlines() if line.startswith(label))[len(label) :].strip()


def test_the_block_has_the_articles_lines_in_its_order():
    """Every line of vLLM's block is there once, in the same order; ours stand between and after."""
    lines = result_block(summary_of(), {}).splitlines()
    positions = [[at for at, line in enumerate(lines) if line.startswith(wanted)] for wanted in ARTICLE]
    assert [len(found) for found in positions] == [1] * len(ARTICLE)
    flat = [found[0] for found in positions]
    assert flat == sorted(flat)
    assert flat[-1] == len(lines) - 1


def test_the_block_is_laid_out_as_vllms():
    """Headings are 50 wide, values begin in column 42."""
    for line in result_block(summary_of(), {}).splitlines():
        if line.startswith(("-", "=")):
            assert len(line) == 50
        elif re.match(r"(Mean|Median|P\d+|Max|Longest) .*\(ms\):", line):
            assert re.match(r".{40} \S", line)


def test_the_blocks_values_agree_with_each_other():
    """Tokens over duration is throughput: 100 in and 30 out in 1 s."""
    block = result_block(summary_of(), {})
    assert value_of(block, "Successful requests:") == "10"
    assert value_of(block, "Benchmark duration (s):") == "1.00"
    assert value_of(block, "Total input tokens:") == "100"
    assert value_of(block, "Total generated tokens:") == "30"
    assert value_of(block, "Output token throughput (tok/s):") == "30.00"
    assert value_of(block, "Total token throughput (tok/s):") == "130.00"
    assert value_of(block, "Median TTFT (ms):") == "50.00 *"
    assert value_of(block, "Mean ITL (ms):") == "20.00 *"
    assert value_of(block, "Longest Pause (ms):") == "20.00"
    assert value_of(block, "P90 E2EL (ms):") == "90.00 *"


def test_a_percentile_beyond_its_sample_has_a_star():
    """Ten requests resolve nothing; 4,000 that are all alike resolve everything: their limits stand behind them."""
    block = result_block(summary_of(), {})
    assert value_of(block, "Median TTFT (ms):") == "50.00 *"
    assert value_of(block, "P99 TTFT (ms):") == "50.00 *"
    assert "* not resolved by its sample" in block
    many = result_block(summary_of(4000), {})
    assert value_of(many, "P99 TTFT (ms):").split() == ["50.00", "50.00", "to", "50.00"]


def test_the_verdict_and_the_objectives_close_the_block():
    """Reasons come with what to do; an objective with its verdict and why it is open."""
    block = result_block(summary_of(stopped_by="interrupt"), {"name": "night"})
    assert value_of(block, "Verdict:") == "suspect"
    assert value_of(block, "Run:") == "night"
    assert "suspect: the run was stopped before its end" in block
    assert "  do:  see `stopped_by` in the manifest; run it again" in block
    assert "p99 ttft < 80ms: undecided" in block
    assert "not enough data: 10 values" in block


def test_a_remedy_is_said_once():
    """Several signs of a starved client have one remedy; repeating it would bury the signs."""
    starved = {
        "kernel_times": True,
        "cpu_share": 0.9,
        "pickup_lag_p99_ns": 3_000_000,
        "loop_gap_max_ns": 10**8,
    }
    block = result_block(summary_of(workers=[starved]), {})
    assert block.count("suspect: ") == 3
    assert block.count("  do:  give the client a core of its own") == 1


def test_a_run_without_success_prints_without_numbers():
    """Nothing measured is n/a, never 0; kinds of failure are counted."""
    block = result_block(summary_of(outcome="failed"), {})
    assert value_of(block, "Mean TTFT (ms):") == "n/a"
    assert value_of(block, "Failed requests:") == "10"
    assert value_of(block, "  reset:") == "10"
    assert value_of(block, "Verdict:") == "invalid"


def test_control_characters_do_not_reach_a_terminal():
    """A name is shown without escape sequences."""
    assert "\x1b" not in result_block(summary_of(), {"name": "\x1b[31mred"})


def test_frames_hold_the_metrics_and_rates():
    """One row a metric and a rate, numbers as numbers."""
    frame = tables.summary_frame(summary_of())
    assert frame.loc["ttft_ms", "p50"] == 50.0
    assert np.isnan(frame.loc["connect_ms", "mean"])
    assert all(np.issubdtype(kind, np.number) for kind in frame.drop(columns="unit").dtypes)
    assert tables.rates_frame(summary_of()).loc["requests_per_s", "value"] == pytest.approx(10.0)


class _Checker(HTMLParser):
    """Collects tags, and that all of them close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_html_is_well_formed_and_escapes_every_text():
    """A name, an objective, a fallback or an error kind with markup in it stays text."""
    summary = summary_of()
    summary["slo"][0]["note"] = "<script>alert(1)</script>"
    summary["validity"]["reasons"].append(
        {
            "level": "suspect",
            "what": "<b>x</b>",
            "value": 1.0,
            "threshold": 0,
            "unit": "<i>",
            "reason": "&",
            "remedy": "<a>",
        }
    )
    manifest = {"name": "<img src=x onerror=alert(1)>", "load": {"fallbacks": ["<svg onload=alert(1)>"]}}
    checker = _Checker()
    checker.feed(tables.result_html(summary, manifest))
    checker.close()
    assert checker.open == []
    allowed = {"section", "h3", "h4", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    allowed |= {"details", "summary", "span", "div"}
    assert checker.seen <= allowed
    for text in ("<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "<svg onload=alert(1)>"):
        assert text in checker.text


def test_without_objectives_there_is_no_table_of_them():
    """An empty table would look like a missed objective."""
    assert tables.slo_html({"slo": []}) == ""
