"""What a report says first: golden texts of several kinds of outcome, drawn from an engine in virtual time.

`BENCHKIT_RENEW_GOLDEN=1 pytest tests/report/test_answer.py` writes the texts anew: read the difference before you
keep it.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from benchkit.analysis.metrics import Window, build_summary
from benchkit.objectives import parse
from benchkit.parameters import resolve
from benchkit.records.chunks import Chunks
from benchkit.records.schema import REQUESTS
from benchkit.records.stored import requests_frame
from benchkit.report.answer import answer, found_in
from benchkit.report.answer_method import method
from benchkit.report.slowest_section import slowest
from benchkit.simulator.config import EngineConfig
from benchkit.simulator.engine import VllmEngine
from benchkit.simulator.requests import EngineRequest
from benchkit.simulator.step_time import LinearStepTime

GOLDEN = Path(__file__).parent / "golden"
NS = 1_000_000_000
STEP = LinearStepTime(base_us=6_000, prefill_us_per_token=25, decode_us_per_request=120, kv_us_per_token=0)


@dataclass
class Drawn:
    """A run in memory, as what shows runs takes it."""

    manifest: dict[str, Any]
    requests: pd.DataFrame
    chunks: Chunks
    telemetry: pd.DataFrame
    summary: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ask:
    """What a run is drawn from."""

    rate: float = 8.0
    seconds: int = 90
    warmup_s: int = 3
    seats: int = 64
    kv_blocks: int = 4_000
    tokens: int = 24
    prompt: int = 400
    slo: tuple[str, ...] = ()
    streams: int = 0
    url: str = "http://10.0.0.7:8000"
    engine: str = "vllm"
    stopped_by: str | None = None
    worker: tuple[tuple[str, Any], ...] = ()


def _served(ask: Ask) -> tuple[dict[EngineRequest, list[int]], list[tuple[int, EngineRequest]]]:
    """The times of all tokens by request, and the requests in order of arrival."""
    draw = np.random.default_rng(11)
    end_ns = (ask.warmup_s + ask.seconds) * NS
    due = np.cumsum(draw.exponential(1 / ask.rate, round(3 * ask.rate * (ask.warmup_s + ask.seconds))))
    engine = VllmEngine(
        EngineConfig(
            step_time=STEP, max_num_seqs=ask.seats, max_num_batched_tokens=2_048, kv_blocks=ask.kv_blocks
        )
    )
    tokens: dict[EngineRequest, list[int]] = {}
    sent: list[tuple[int, EngineRequest]] = []

    def submit(at_ns: int) -> None:
        prompt, answer_tokens = (int(draw.integers(n // 2, n * 3 // 2)) for n in (ask.prompt, ask.tokens))
        request = EngineRequest(prompt, answer_tokens, at_ns, ())
        sent.append((at_ns, request))
        tokens[request] = []
        engine.submit(request, at_ns)

    def advance(now_ns: int) -> None:
        for request, due_ns, _, _, finished in engine.advance(now_ns):
            tokens[request].append(due_ns)
            if finished and ask.streams and now_ns < end_ns:
                submit(now_ns)

    arrivals = [0] * ask.streams or [int(at) for at in due * NS if at < end_ns]
    for at in arrivals:
        while (step := engine.next_ns()) is not None and step <= at and not ask.streams:
            advance(step)
        submit(at)
    while (step := engine.next_ns()) is not None:
        advance(step)
    return tokens, sent


def _table(columns: dict[str, Any], n: int) -> pa.Table:
    arrays = [
        pa.array(list(columns[each.name]), each.type) if each.name in columns else pa.nulls(n, each.type)
        for each in REQUESTS
    ]
    return pa.table(arrays, schema=REQUESTS)


def _columns(ask: Ask) -> dict[str, Any]:
    tokens, sent = _served(ask)
    at = np.array([each for each, _ in sent])
    times = [np.array(tokens[request]) for _, request in sent]
    n = len(sent)
    return {
        "index": np.arange(n),
        "repeat": np.zeros(n, np.int32),
        "phase": np.where(at < ask.warmup_s * NS, "warmup", "window"),
        "attempt": np.ones(n, np.int32),
        "worker": np.zeros(n, np.int32),
        "outcome": np.full(n, "ok", dtype=object),
        "error_kind": np.full(n, None, dtype=object),
        "scheduled_ns": at,
        "sent_ns": at + 20_000,
        "first_token_ns": [int(each[0]) for each in times],
        "last_token_ns": [int(each[-1]) for each in times],
        "end_ns": [int(each[-1]) + 50_000 for each in times],
        "waited_ns": np.zeros(n, np.int64),
        "prompt_tokens": [request.prompt_tokens for _, request in sent],
        "output_tokens": [len(each) for each in times],
        "wanted_output_tokens": [len(each) for each in times],
        "token_source": ["chunk_usage"] * n,
        "pickup_lag_max_ns": np.full(n, 90_000),
        "chunk_ns": times,
        "chunk_loop_ns": [each + 60_000 for each in times],
        "chunk_tokens": [np.ones(len(each), np.int32) for each in times],
        "chunk_shared": [np.zeros(len(each), bool) for each in times],
        "admitted_ns": [int(request.admitted_ns) for _, request in sent],
    }


def _telemetry(columns: dict[str, Any], ask: Ask) -> pd.DataFrame:
    """What the engine would have said of itself, twice a second."""
    arrived, admitted, ended = (
        np.asarray(columns[name]) for name in ("scheduled_ns", "admitted_ns", "last_token_ns")
    )
    first = np.asarray(columns["first_token_ns"])
    queued, read = (admitted - arrived) / 1e9, (first - admitted) / 1e9
    blocks = np.ceil((np.asarray(columns["prompt_tokens"]) + ask.tokens) / 16)
    rows = []
    for at in range(0, int((ask.warmup_s + ask.seconds + 1) * NS), NS // 2):
        running = (admitted <= at) & (at < ended)
        done = ended <= at
        told = {
            "vllm:num_requests_running": running.sum(),
            "vllm:num_requests_waiting": ((arrived <= at) & (at < admitted)).sum(),
            "vllm:kv_cache_usage_perc": min(1.0, float(blocks[running].sum()) / ask.kv_blocks),
            "vllm:num_preemptions_total": 0,
            "vllm:prefix_cache_queries_total": 0,
            "vllm:request_queue_time_seconds_sum": queued[done].sum(),
            "vllm:request_queue_time_seconds_count": done.sum(),
            "vllm:request_prefill_time_seconds_sum": read[done].sum(),
            "vllm:request_prefill_time_seconds_count": done.sum(),
        }
        rows += [(at, "server", name, "{}", float(value)) for name, value in told.items()]
    return pd.DataFrame(rows, columns=["time_ns", "source", "name", "labels", "value"])


def _judged(run: Drawn, ask: Ask) -> Drawn:
    window = run.manifest["load"]["window"]
    run.summary = build_summary(
        run.requests,
        run.chunks,
        window=Window(window["start_ns"], window["end_ns"]),
        objectives=[parse(text) for text in ask.slo],
        load_facts=run.manifest["load"],
        parameters=run.manifest["parameters"],
        telemetry=run.telemetry,
        preflight=run.manifest["preflight"],
    )
    return run


def _run(ask: Ask, change: Callable[[dict[str, Any]], None] | None = None) -> Drawn:
    """A run on a simulated engine; `change` may spoil its columns first."""
    columns = _columns(ask)
    telemetry = _telemetry(columns, ask)
    if change is not None:
        change(columns)
    n = len(columns["index"])
    table = _table({name: values for name, values in columns.items() if name != "admitted_ns"}, n)
    load = (
        {"load": "concurrent", "concurrency": ask.streams}
        if ask.streams
        else {"load": "poisson", "rate": ask.rate}
    )
    asked = resolve(
        {
            "url": ask.url,
            "warmup_s": ask.warmup_s,
            "duration_s": ask.seconds,
            "input_tokens": ask.prompt,
            "output_tokens": ask.tokens,
            "input_tokens_spread": 0.5,
            "output_tokens_spread": 0.5,
            "slo": list(ask.slo),
            **load,
        }
    )
    window = {"start_ns": ask.warmup_s * NS, "end_ns": (ask.warmup_s + ask.seconds) * NS}
    worker = {
        "worker": 0,
        "kernel_times": True,
        "realtime": True,
        "loop_gap_max_ns": 900_000,
        "cpu_share": 0.05,
        "pickup_lag_p99_ns": 150_000,
        "gc_collections": 0,
    } | dict(ask.worker)
    manifest = {
        "name": "drawn",
        "status": "complete",
        "created": "2026-01-01T00:00:00+00:00",
        "benchkit_version": "0.1.0",
        "parameters": asked.model_dump(mode="json"),
        "plan": {"sha256": "0123456789abcdef" * 4},
        "server": {"url": ask.url, "engine": ask.engine, "version": "0.24.0"},
        "preflight": {"model": "a-model", "ignore_eos_honoured": True, "findings": []},
        "load": {
            "window": window,
            "windows": [window],
            "workers": [worker],
            "stopped_by": ask.stopped_by,
            "fallbacks": [],
        },
    }
    return _judged(Drawn(manifest, requests_frame(table), Chunks.from_table(table), telemetry), ask)


def _fail(columns: dict[str, Any]) -> None:
    """For four seconds the server cuts three of four answers."""
    at = np.asarray(columns["scheduled_ns"])
    cut = (at > 40 * NS) & (at < 44 * NS) & (np.arange(len(at)) % 4 > 0)
    columns["outcome"][cut] = "failed"
    columns["error_kind"][cut] = "cut"


def _late(columns: dict[str, Any]) -> None:
    """The client stands still for 150 ms every half second, and sends late what was due in it."""
    at = np.asarray(columns["scheduled_ns"])
    into = at % (NS // 2)
    columns["sent_ns"] = np.where(into < 300_000_000, at - into + 300_000_000, at + 20_000)
    late = columns["sent_ns"] - at
    for name in ("first_token_ns", "last_token_ns", "end_ns"):
        columns[name] = np.asarray(columns[name]) + late
    for name in ("chunk_ns", "chunk_loop_ns"):
        columns[name] = [times + by for times, by in zip(columns[name], late, strict=True)]


def _unfinished(ask: Ask) -> Callable[[dict[str, Any]], None]:
    """Whatever has not ended five seconds after the window is given up."""

    def change(columns: dict[str, Any]) -> None:
        given_up = (ask.warmup_s + ask.seconds + 5) * NS
        for row in np.flatnonzero(np.asarray(columns["end_ns"]) > given_up):
            kept = np.asarray(columns["chunk_ns"][row]) <= given_up
            for name in ("chunk_ns", "chunk_loop_ns", "chunk_tokens", "chunk_shared"):
                columns[name][row] = np.asarray(columns[name][row])[kept]
            times = columns["chunk_ns"][row]
            columns["outcome"][row] = "incomplete"
            columns["end_ns"][row] = given_up
            columns["output_tokens"][row] = len(times)
            columns["first_token_ns"][row] = int(times[0]) if len(times) else None
            columns["last_token_ns"][row] = int(times[-1]) if len(times) else None

    return change


FINE = Ask(slo=("p95 ttft < 200ms", "error_rate < 2%"))
OUTCOMES: dict[str, Callable[[], Drawn]] = {
    "fine": lambda: _run(FINE),
    "queueing": lambda: _run(replace(FINE, rate=28.0, seats=8, slo=("p95 ttft < 120ms",))),
    "saturated": lambda: _run(replace(FINE, rate=48.0, seats=8, seconds=40)),
    "failing": lambda: _run(FINE, _fail),
    "invalid": lambda: _run(
        replace(FINE, worker=(("loop_gap_max_ns", 310_000_000), ("cpu_share", 0.98))), _late
    ),
    "incomplete": lambda: _run(
        unfinished := replace(FINE, slo=(), rate=2.0, seconds=25, tokens=1_500), _unfinished(unfinished)
    ),
    "embedded": lambda: _run(
        replace(FINE, url="", engine="benchkit", streams=8, seconds=12, slo=("p99 latency < 400ms",))
    ),
}


@functools.cache
def drawn(name: str) -> Drawn:
    """A run of one outcome."""
    return OUTCOMES[name]()


@pytest.mark.parametrize("name", list(OUTCOMES))
def test_a_report_says_what_it_said(name: str) -> None:
    """Verdict, findings, limits, the slowest requests and the method of each kind of outcome are as they were read."""
    run = drawn(name)
    parts = (
        answer(run).text,
        "## Why was this request slow?",
        slowest(run).text,
        "## Method",
        method(run).text,
    )
    text = "\n\n".join(parts) + "\n"
    kept = GOLDEN / f"{name}.md"
    if os.environ.get("BENCHKIT_RENEW_GOLDEN") == "1":
        kept.write_text(text, encoding="utf-8")
    assert text == kept.read_text("utf-8")


@pytest.mark.parametrize("name", list(OUTCOMES))
def test_there_are_three_to_five_findings(name: str) -> None:
    """Each outcome has enough to say, and not more than is kept in mind."""
    assert 3 <= found_in(drawn(name)).html.count('<li class="bk-finding">') <= 5


def test_the_answer_is_in_the_order_in_which_it_is_needed() -> None:
    """The verdict, what was found, and beside it what the run does not show; flags are to be copied."""
    html = answer(drawn("saturated")).html
    places = [html.index(text) for text in ("Verdict:", "What was found", "What this run does not show")]
    assert places == sorted(places)
    assert "<code>--max-num-seqs 16</code>" in html
    assert "<code>duration_s</code>" in html


def test_what_servers_and_users_say_is_escaped() -> None:
    """An address, a kind of failure and what stopped the run cannot bring a tag into the page or the Markdown."""
    evil = "<script>alert(1)</script>"
    run = drawn("saturated")
    manifest = {**run.manifest, "load": {**run.manifest["load"], "stopped_by": evil}}
    manifest["parameters"] = {**run.manifest["parameters"], "url": f"http://h/`{evil}"}
    requests = {**run.summary["requests"], "failed": 3, "by_kind": {evil: 3}}
    shown = answer(
        Drawn(manifest, run.requests, run.chunks, run.telemetry, {**run.summary, "requests": requests})
    )
    assert "<script" not in shown.html
    assert "&lt;script&gt;alert(1)" in shown.html
    assert "<script" not in re.sub("`[^`]*`", "", shown.text)


def test_each_slow_request_has_a_row_of_numbers_and_one_of_words() -> None:
    """Twenty requests, each with why below its numbers."""
    html = slowest(drawn("queueing")).html
    assert html.count('class="bk-why"') == 20
    assert html.count("<tr>") == 1 + 2 * 20
    assert "server&#x27;s queue" in html


def test_where_nothing_stands_out_it_says_so() -> None:
    """A run without requests has no table."""
    run = drawn("fine")
    empty = Drawn(run.manifest, run.requests[:0], run.chunks, run.telemetry, run.summary)
    assert slowest(empty).text == "No request stands out: there are no records of single requests."
