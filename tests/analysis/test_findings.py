"""What is found in a run, from summaries and readings written by hand; whole texts are in the golden files."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.analysis.finding_causes import (
    pauses_with_prompts,
    same_step_ns,
    slower_in_company,
    waits_explained,
)
from benchkit.analysis.finding_readings import server_state
from benchkit.analysis.finding_server import why_queued
from benchkit.analysis.finding_words import listed, many, milliseconds, round_up, sentence, share
from benchkit.analysis.findings import MOST, ORDER, findings
from benchkit.analysis.intervals import Depth
from benchkit.analysis.measured import measure
from benchkit.analysis.slowest_neighbours import Neighbours
from benchkit.analysis.window import Window

NS = 1_000_000_000
WINDOW = Window(0, 60 * NS)


def _metric(p50: float, **more: Any) -> dict[str, Any]:
    return {"unit": "ms", "count": 500, "mean": p50, "p50": p50, "ci95": None, **more}


def _summary(**more: Any) -> dict[str, Any]:
    """A calm run of 500 requests."""
    summary: dict[str, Any] = {
        "requests": {"ok": 500, "shed": 0, "failed": 0, "incomplete": 0, "interrupted": 0, "by_kind": {}},
        "windows": {
            "whole": {
                "length_s": 60.0,
                "metrics": {
                    "ttft_ms": _metric(50.0),
                    "itl_ms": _metric(10.0),
                    "max_gap_ms": _metric(12.0),
                    "latency_ms": _metric(200.0, p95=300.0),
                },
                "rates": {
                    name: {"unit": unit, "value": value, "ci95": None}
                    for name, unit, value in (
                        ("requests_per_s", "requests/s", 8.0),
                        ("offered_per_s", "requests/s", 10.0),
                        ("output_tokens_per_s", "tokens/s", 160.0),
                    )
                },
            }
        },
        "slo": [],
        "validity": {"verdict": "valid", "reasons": [], "checked": []},
    }
    return summary | more


def _manifest(facts: dict[str, Any] | None = None, **parameters: Any) -> dict[str, Any]:
    asked = {"url": "http://10.0.0.7", "load": "poisson", "rate": 10.0, "duration_s": 60.0, "drain_s": 60.0}
    return {"parameters": asked | parameters, "server": {"engine": "vllm"}, "load": facts or {}}


def _found(summary: dict[str, Any], manifest: dict[str, Any] | None = None, **tables: Any) -> dict[str, Any]:
    told = findings(manifest or _manifest(), summary, **tables)
    assert len(told) <= MOST
    assert [ORDER.index(each.name) for each in told] == sorted(ORDER.index(each.name) for each in told)
    return {each.name: each for each in told}


def _reason(name: str, value: float, *, level: str = "invalid", unit: str = "ms") -> dict[str, Any]:
    words = {"what": name, "reason": "it matters", "remedy": "mend it"}
    return {"name": name, "level": level, "value": value, "unit": unit, "threshold": 1.0, **words}


def _said(*readings: dict[str, float]) -> pd.DataFrame:
    rows = [
        (at * NS, "server", f"vllm:{name}", "{}", float(value))
        for at, reading in enumerate(readings, start=1)
        for name, value in reading.items()
    ]
    return pd.DataFrame(rows, columns=["time_ns", "source", "name", "labels", "value"])


def test_a_summary_alone_has_findings_but_no_causes() -> None:
    """Without records nothing is said of why."""
    told = _found(_summary())
    assert set(told) == {"gave_out", "first_token", "flow"}
    assert not [each for each in told.values() if each.why]


def test_turned_away_requests_suggest_what_was_let_in() -> None:
    """The flag asks for nine tenths of the rate that was answered."""
    requests = {"ok": 400, "shed": 100, "failed": 0, "incomplete": 0, "by_kind": {"http_429": 100}}
    shed = _found(_summary(requests=requests))["shed"]
    assert shed.what == "The server turned away 100 of 500 requests (20 %) with status 429."
    assert shed.flags == ("-p rate 7.2",)


def test_nothing_answered_is_the_one_thing_to_say() -> None:
    """No latency is spoken of where no request came back; the kind of failure says what to do."""
    requests = {"ok": 0, "shed": 0, "failed": 20, "incomplete": 0, "by_kind": {"refused": 20}}
    invalid = {"verdict": "invalid", "reasons": [_reason("no_ok_request", 0, unit="requests")], "checked": []}
    told = _found(_summary(requests=requests, validity=invalid))
    assert list(told) == ["nothing_ok"]
    assert "nobody listened" in told["nothing_ok"].why
    assert "server is up" in told["nothing_ok"].next_step


def test_failures_are_named_by_kind_the_most_frequent_first() -> None:
    """The kinds stand beside their counts; refused ones (429) are no failures."""
    kinds = {"timeout": 3, "cut": 7, "http_429": 5}
    requests = {"ok": 485, "shed": 5, "failed": 10, "incomplete": 0, "by_kind": kinds}
    failures = _found(_summary(requests=requests))["failures"]
    assert failures.what == "10 of 500 requests failed (2 %): 7 cut and 3 timeout."


def test_unfinished_requests_ask_for_a_longer_wait() -> None:
    """Twice the time for answers after the window."""
    requests = {"ok": 490, "shed": 0, "failed": 0, "incomplete": 10, "by_kind": {}}
    assert _found(_summary(requests=requests))["incomplete"].flags == ("-p drain_s 120",)


def test_a_busy_client_is_told_to_share_its_work() -> None:
    """A second process only where the first one has work for two."""
    against = {"verdict": "invalid", "reasons": [_reason("lateness_p99", 200)], "checked": []}
    busy, idle = (
        _found(_summary(validity=against), _manifest({"workers": [{"cpu_share": share_}]}))["invalid"]
        for share_ in (0.97, 0.05)
    )
    assert (busy.flags, idle.flags) == (("-p workers 2",), ())
    assert "the client's own" in busy.meaning


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("httpx_transport", "-p transport stamped"),
        ("throttled", "-p max_in_flight 0"),
        ("lockstep", "-p output_tokens_spread 0.3"),
        ("prefix_hits", "-p seed 1"),
        ("drift", "-p warmup_s 10"),
    ],
)
def test_reasons_with_a_parameter_that_mends_them_name_it(name: str, flag: str) -> None:
    """What to copy stands beside the reason."""
    against = {"verdict": "invalid", "reasons": [_reason(name, 2)], "checked": []}
    assert _found(_summary(validity=against))["invalid"].flags == (flag,)


def test_an_invalid_run_says_nothing_of_its_objectives() -> None:
    """Neither met nor missed may be concluded from numbers that are not the server's."""
    objective = {"text": "p50 ttft < 80ms", "verdict": "meets", "value": 50.0, "ci95": [49, 51], "unit": "ms"}
    against = {"verdict": "invalid", "reasons": [_reason("lateness_p99", 200)], "checked": []}
    told = _found(_summary(validity=against, slo=[objective]))
    assert "objectives_met" not in told
    assert told["first_token"].meaning.startswith("Not the server's alone")


def test_objectives_met_name_the_closest() -> None:
    """By the worse end of its interval, as a part of its bound."""
    slo = [
        {"text": text, "verdict": "meets", "value": value, "ci95": limits, "unit": "ms"}
        for text, value, limits in (
            ("p50 ttft < 80ms", 50.0, [49.0, 51.0]),
            ("mean latency < 210ms", 200.0, [195.0, 205.0]),
        )
    ]
    met = _found(_summary(slo=slo))["objectives_met"]
    assert met.what == (
        "It meets both of its objectives: p50 ttft < 80ms (50.0 ms, 49.0 to 51.0) and mean latency < 210ms (200.0 ms, "
        "195.0 to 205.0)."
    )
    assert met.meaning == "The closest, mean latency < 210ms, is met narrowly."


def test_a_missed_objective_gives_the_command_that_finds_the_load_which_meets_it() -> None:
    """Of an open loop; quoted, so that it can be pasted. A closed loop has no rate to search."""
    slo = [{"text": "p99 ttft < 40ms", "verdict": "fails", "value": 50.0, "ci95": None, "unit": "ms"}]
    missed = _found(_summary(slo=slo))["objectives_missed"]
    assert missed.flags == (
        "benchkit sweep -p url http://10.0.0.7 -p sweep adaptive -p slo 'p99 ttft < 40ms'",
    )
    assert not _found(_summary(slo=slo), _manifest(load="concurrent"))["objectives_missed"].flags


def test_an_undecided_objective_asks_for_as_long_as_its_percentile_needs() -> None:
    """Four times as much, or what the percentile needs of independent requests, whichever is more."""
    slo = [{"text": "p99 ttft < 80ms", "verdict": "undecided", "value": 50.0, "ci95": None, "unit": "ms"}]
    summary = _summary(slo=slo)
    tenth = Depth(1.0, 1.0).needed(0.99) / 10
    summary["windows"]["whole"]["intervals"] = {"by": "run", "requests": 500, "effective_requests": tenth}
    undecided = _found(summary)["objectives_undecided"]
    # Ten times as many independent requests are needed, and a fifth to spare.
    assert undecided.flags == ("-p duration_s 720", "-p repeats 5")


def test_a_run_on_the_embedded_server_says_so_before_its_numbers() -> None:
    """Nobody takes them for a model's."""
    assert next(iter(_found(_summary(), _manifest(url="")))) == "embedded"


@pytest.mark.parametrize(("by", "words"), [("interrupt", "from outside"), ("disk_full", "the disk was full")])
def test_a_stopped_run_says_by_what(by: str, words: str) -> None:
    """And how much of its window there is; what a sweep gave up for saturation has a finding of its own."""
    assert words in _found(_summary(), _manifest({"stopped_by": by}))["stopped"].what
    assert "stopped" not in _found(_summary(), _manifest({"stopped_by": "saturated"}))


def test_seats_that_are_always_taken_are_seen_in_the_readings() -> None:
    """While requests wait, the same number is computed: twice as many seats are worth a try."""
    state = server_state(
        _said(
            *({"num_requests_running": 16, "num_requests_waiting": waiting} for waiting in (0, 3, 5, 4, 9))
        ),
        WINDOW,
    )
    assert state is not None
    assert (state.seats, state.waiting_most, state.waiting_share, state.queued) == (16, 9, 0.8, True)
    assert why_queued(state).flags == ("--max-num-seqs 32",)


def test_no_more_seats_than_the_cache_holds_are_suggested() -> None:
    """With the cache at 60 % there is room for half as many more."""
    reading = {"num_requests_running": 16, "num_requests_waiting": 3, "kv_cache_usage_perc": 0.6}
    state = server_state(_said(*[reading] * 4), WINDOW)
    assert state is not None
    assert why_queued(state).flags == ("--max-num-seqs 24",)


def test_a_queue_without_full_seats_or_cache_has_no_cause() -> None:
    """The number computed at once varied: what they waited for is not seen, and not invented."""
    running = (3, 16, 7, 2, 11)
    state = server_state(
        _said(*({"num_requests_running": each, "num_requests_waiting": 2} for each in running)), WINDOW
    )
    assert state is not None
    assert why_queued(state) == ("", "", ())


@pytest.mark.parametrize("readings", [0, 2])
def test_a_few_readings_tell_nothing(readings: int) -> None:
    """Two moments are not a run."""
    assert server_state(_said(*[{"num_requests_running": 1}] * readings), WINDOW) is None


def test_a_full_cache_is_named_with_what_it_cost(row: Any, records: Any) -> None:
    """Preemptions, peak use and the flags against them."""
    readings = [
        {
            "num_requests_running": 20,
            "num_requests_waiting": 4,
            "kv_cache_usage_perc": 0.995,
            "num_preemptions_total": at,
        }
        for at in range(5)
    ]
    tables = records([row(0, [(50, 1), (60, 1)])])
    manifest = _manifest({"window": {"start_ns": 0, "end_ns": 60 * NS}}, load="concurrent", concurrency=32)
    told = _found(
        _summary(), manifest, requests=tables.requests, chunks=tables.chunks, telemetry=_said(*readings)
    )
    cache = told["server_cache"]
    assert "4 requests lost their place in it" in cache.what
    assert "up to 99.5 % of it was in use" in cache.what
    assert cache.flags == ("--gpu-memory-utilization 0.95", "--max-num-seqs 16")
    assert not told["closed_loop"].why


def test_a_shared_prefix_that_is_never_found_asks_for_the_cache(row: Any, records: Any) -> None:
    """Prompts share 256 tokens, and the server counts look-ups without a hit."""
    reading = {"num_requests_running": 1, "num_requests_waiting": 0, "prefix_cache_queries_total": 0}
    tables = records([row(0, [(50, 1), (60, 1)])])
    manifest = _manifest({"window": {"start_ns": 0, "end_ns": 60 * NS}}, prefix_tokens=256)
    told = _found(
        _summary(), manifest, requests=tables.requests, chunks=tables.chunks, telemetry=_said(*[reading] * 4)
    )
    assert told["first_token"].flags == ("--enable-prefix-caching",)


def test_connections_that_cost_are_a_finding() -> None:
    """Where most requests open one, and it takes a part of the time to first token worth a word."""
    summary = _summary()
    summary["windows"]["whole"]["metrics"]["connect_ms"] = _metric(20.0)
    told = _found(summary, _manifest(connections="fresh"))
    assert told["connections"].flags == ("-p connections reuse",)
    summary["windows"]["whole"]["metrics"]["connect_ms"] = _metric(0.2)
    assert "connections" not in _found(summary, _manifest(connections="fresh"))


def _measured(tables: Any) -> tuple[Any, Neighbours]:
    measured = measure(tables.requests, tables.chunks, WINDOW)
    return measured, Neighbours(tables.requests, measured.columns)


def test_pauses_in_which_prompts_are_read(row: Any, records: Any) -> None:
    """Each answer pauses once, for as long as its neighbour's prompt takes; other gaps hold none."""
    rows = []
    for at in range(40):
        start = 1_000.0 * at
        chunks = [start + 50 + 10 * token for token in range(5)]
        rows.append(row(start, [(each, 1) for each in [*chunks, chunks[-1] + 200, chunks[-1] + 210]]))
        rows.append(row(start + 60, [(chunks[-1] + 200.5, 1)], prompt_tokens=4_000))
    measured, neighbours = _measured(records(rows))
    found = pauses_with_prompts(measured, neighbours)
    assert found is not None
    assert (found.share, found.tokens) == (1.0, 4_000)
    assert found.by_chance == pytest.approx(1 / 6)
    assert same_step_ns(measured) == 2_000_000


def test_long_prompts_in_visible_pauses_suggest_smaller_portions(row: Any, records: Any) -> None:
    """Half of the prompt tokens in a pause, as a power of two."""
    rows = []
    for at in range(40):
        start = 1_000.0 * at
        chunks = [start + 50, start + 60, start + 70, start + 270, start + 280]
        rows.append(row(start, [(each, 1) for each in chunks]))
        rows.append(row(start + 60, [(start + 270.5, 1)], prompt_tokens=5_000))
    tables = records(rows)
    summary = _summary()
    summary["windows"]["whole"]["metrics"]["max_gap_ms"] = _metric(200.0)
    manifest = _manifest({"window": {"start_ns": 0, "end_ns": 60 * NS}})
    told = _found(summary, manifest, requests=tables.requests, chunks=tables.chunks)
    assert told["stalls"].flags == ("--max-num-batched-tokens 2048",)


def test_tokens_that_take_longer_in_company(row: Any, records: Any) -> None:
    """Ten at once take twice as long for a token as one alone."""
    alone = [row(1_000.0 * at, [(1_000.0 * at + 50 + 10 * n, 1) for n in range(21)]) for at in range(20)]
    together = [
        row(30_000.0 + 1_000 * at, [(30_050.0 + 1_000 * at + 20 * n, 1) for n in range(21)])
        for at in range(5)
        for _ in range(10)
    ]
    found = slower_in_company(*_measured(records([*alone, *together])))
    assert found is not None
    assert (found.few_ms, found.many_ms, found.many) == (10.0, 20.0, 10.0)


@pytest.mark.parametrize(("slope", "known"), [(0.1, True), (0.0, False)])
def test_waits_that_go_with_the_prompt(row: Any, records: Any, slope: float, known: bool) -> None:
    """A wait that grows with the prompt is told with its slope; one that does not is left alone."""
    rows = [
        row(1_000.0 * at, [(1_000.0 * at + 20 + slope * 10 * at + at % 2, 1)], prompt_tokens=10 * at)
        for at in range(1, 41)
    ]
    found = waits_explained(*_measured(records(rows)))
    assert (found is not None) is known
    if found is not None:
        assert (found.by, round(found.slope, 2)) == ("own", 0.1)


def test_findings_of_another_tools_records_need_no_manifest(row: Any, records: Any) -> None:
    """A manifest without load, window or parameters concludes nothing and breaks nothing."""
    tables = records([row(100.0 * at, [(100.0 * at + 50, 1), (100.0 * at + 60, 1)]) for at in range(60)])
    run = SimpleNamespace(manifest={}, requests=tables.requests, chunks=tables.chunks)
    told = _found(_summary(), run.manifest, requests=run.requests, chunks=run.chunks)
    assert set(told) == {"gave_out", "first_token", "flow"}


@given(st.floats(1e-3, 1e9))
def test_rounding_up_keeps_two_digits_and_never_falls_short(value: float) -> None:
    """At most a tenth is added."""
    assert value * (1 - 1e-6) <= round_up(value) <= 1.1 * value * (1 + 1e-6)
    assert len(f"{round_up(value):.6e}".split("e")[0].rstrip("0").replace(".", "")) <= 2


@given(st.floats(0, 1))
def test_a_share_is_all_or_nothing_only_when_it_is(value: float) -> None:
    """What is shown as 0 % is none, and 100 % is all."""
    assert (share(value) == "0 %") == (value == 0)
    assert (share(value) == "100 %") == (value == 1)


def test_words() -> None:
    """Counts, lists, times and sentences as people write them."""
    assert [many(1, "request"), many(1_080, "request"), many(2, "process", "processes")] == [
        "1 request",
        "1,080 requests",
        "2 processes",
    ]
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert [milliseconds(9.5), milliseconds(11_078)] == ["9.5 ms", "11.1 s"]
    assert [sentence("so it is"), sentence("Is it?"), sentence(" ")] == ["So it is.", "Is it?", ""]
