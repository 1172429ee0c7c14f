"""Saturation, objective and memory as loads, prefix-cache hits, and answers from requests, on made-up runs."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchkit.analysis.capacity import Ask, capacity
from benchkit.analysis.limits_of_load import memory_wall, saturation_wall
from benchkit.analysis.load_levels import levels_of
from benchkit.analysis.points import LoadPoint
from benchkit.analysis.server_readings import prefix_hits_of, readings_of
from benchkit.objectives import parse
from benchkit.records.chunks import Chunks

P90 = [parse("p90 ttft < 100ms")]
_SECOND = 1_000_000_000


def _run(rate, ttft_ms, *, telemetry=(), cached=None, load="poisson", asked=None, concurrency=None, **more):
    """A point whose requests came evenly, half a second long, with what the server said of itself."""
    count = ttft_ms.size
    due = (np.arange(count) * _SECOND / rate).astype(np.int64)
    requests = pd.DataFrame(
        {"phase": "window", "outcome": "ok", "scheduled_ns": due, "sent_ns": due, "output_tokens": 2,
         "first_token_ns": due + (ttft_ms * 1e6).astype(np.int64), "prompt_tokens": 100,
         "cached_tokens": pd.array([cached] * count, dtype="Int64")}
    )  # fmt: skip
    requests["last_token_ns"] = requests["end_ns"] = requests["first_token_ns"] + 10_000_000
    window = {"start_ns": 0, "end_ns": int(count / rate * _SECOND)}
    none = np.empty(0, dtype=np.int64)
    chunks = Chunks(
        np.zeros(count + 1, dtype=np.int64), none, none, none.astype(np.int32), np.zeros(count, bool), none.astype(bool)
    )  # fmt: skip
    whole = {
        "metrics": {"ttft_ms": {"p90": float(np.percentile(ttft_ms, 90)), "count": count}},
        "rates": {"requests_per_s": {"value": rate}, "sent_per_s": {"value": rate}},
    }
    summary = {"requests": {"ok": count, "failed": 0, "shed": 0}, "windows": {"whole": whole}, "slo": []}
    table = pd.DataFrame(list(telemetry), columns=["time_ns", "source", "name", "labels", "value"])
    records = SimpleNamespace(
        manifest={"load": {"window": window, "windows": [window]}, "parameters": asked or {}},
        requests=requests, chunks=chunks, summary=summary, telemetry=table,
    )  # fmt: skip
    return LoadPoint(
        f"{rate}",
        load,
        summary,
        rate=None if concurrency else rate,
        concurrency=concurrency,
        records=records,
        **more,
    )


def _exponential(rate, share, count=1000, **more):
    """TTFTs of which that share lies above 100 ms, exactly, in an order that is nobody's."""
    ranks = (np.arange(count) + 0.5) / count
    values = -np.log(ranks) * 100.0 / -np.log(share)
    return _run(rate, np.random.default_rng(int(rate * 10)).permutation(values), **more)


def _said(name, *values, source="server", labels="{}"):
    """Readings of one metric, one each second."""
    return [(at * _SECOND, source, name, labels, value) for at, value in enumerate(values)]


def _cache(usage, waiting, preemptions=0):
    """What a server says in three readings."""
    return [
        *_said("vllm:kv_cache_usage_perc", usage / 2, usage, usage),
        *_said("vllm:num_requests_waiting", 0, waiting, waiting),
        *_said("vllm:num_preemptions_total", 0, 0, preemptions),
    ]


@pytest.fixture(scope="module")
def sweep():
    """Four loads; the share above 100 ms rises from 2 to 30 %."""
    return [_exponential(rate, share) for rate, share in ((8, 0.02), (10, 0.06), (11, 0.12), (12, 0.30))]


def test_requests_give_an_interval_and_its_lower_end_is_built_on(sweep):
    """The boundary lies where 10 % miss, and servers are counted with the lower end of its interval."""
    found = capacity(sweep, P90, Ask(target_rps=100))
    assert 10 < found.estimated.rate < 11
    assert found.estimated.low < found.estimated.rate < found.estimated.high
    assert found.estimated.sized_on == found.estimated.low
    assert found.estimated.fleet.carrying == int(np.ceil(100 / found.estimated.low))
    assert found.measured.rate == 10
    assert found.planned is found.estimated
    wall = found.carried.walls[1]
    assert (wall.low, wall.high, wall.reached) == (found.estimated.low, found.estimated.high, True)


def test_an_objective_that_no_load_reaches_is_no_limit():
    """All loads meet it: the estimate is withheld or said to be extrapolated, and the plan is what was measured."""
    found = capacity([_exponential(8, 0.01), _exponential(10, 0.03)], P90)
    assert found.planned is found.measured
    assert found.measured.rate == 10
    assert found.estimated is None or found.estimated.extrapolated
    assert not found.carried.walls[1].reached


def test_full_throughput_is_saturation_with_an_interval(sweep):
    """Its rate of answers in ten parts of the window gives the interval."""
    waits_ms = np.random.default_rng(5).uniform(0, 20_000, 1400)
    top = _run(14, waits_ms, load="throughput", concurrency=512)
    wall = saturation_wall(levels_of([*sweep, top], P90))
    assert wall.reached
    assert wall.low < wall.rate == 14 < wall.high
    assert wall.high - wall.low < 8


def test_repeats_give_saturation_its_interval():
    """Student's t of three repeats, wider than what one repeat shows of itself."""
    top = [_run(rate, np.full(1000, 50.0), load="throughput", concurrency=512) for rate in (12, 14, 13)]
    wall = saturation_wall(levels_of(top, P90))
    assert wall.rate == pytest.approx(13)
    assert wall.high - wall.low == pytest.approx(2 * 4.303 / np.sqrt(3), rel=1e-3)


def test_flat_closed_loops_are_saturation():
    """Twice the streams and no more answers."""
    loops = [
        _run(rate, np.full(600, 50.0), load="concurrent", concurrency=n)
        for n, rate in ((8, 6), (16, 10), (32, 10.1))
    ]
    wall = saturation_wall(levels_of(loops, P90))
    assert wall.reached
    assert "32 streams" in wall.evidence
    assert not saturation_wall(levels_of(loops[:2], P90)).reached


def test_an_overload_below_a_load_that_was_carried_is_none(sweep):
    """A trend seen by chance at a low load is no sign of saturation while higher ones are steady."""
    odd = _exponential(5, 0.01, saturated=True)
    assert not saturation_wall(levels_of([odd, *sweep], P90)).reached
    assert saturation_wall(levels_of([*sweep, _exponential(13, 0.6, saturated=True)], P90)).reached
    notes = capacity([odd, *sweep], P90).measured.notes
    assert any("piled up: 5 requests/s" in note for note in notes)


def test_full_throughput_is_no_miss_of_the_objective(sweep):
    """Where all steady loads meet it, full throughput that does not says only where throughput stops."""
    top = _run(14, np.full(1400, 5000.0), load="throughput", concurrency=512)
    found = capacity([*sweep[:2], top], P90)
    assert not found.carried.walls[1].reached
    assert found.carried.limit.kind == "saturation"
    assert any("below 14 requests/s" in note for note in found.measured.notes)
    alone = capacity([_run(14, np.full(1400, 50.0), load="throughput", concurrency=512)], P90)
    assert alone.measured.rate == 14
    assert not alone.carried.walls[1].reached


def test_one_load_does_not_tell_saturation(sweep):
    """Nothing rose or stopped rising."""
    wall = saturation_wall(levels_of(sweep[:1], P90))
    assert not wall.reached
    assert "one load" in wall.evidence


def test_memory_that_is_full_is_a_limit():
    """Between the last load without a sign of it and the first with one; the lowest limit is the capacity."""
    points = [
        _exponential(8, 0.02, telemetry=_cache(0.7, 0)),
        _exponential(10, 0.04, telemetry=_cache(1.0, 5)),
        _exponential(12, 0.15, telemetry=_cache(1.0, 50, preemptions=7)),
        _exponential(13, 0.35),
    ]
    wall = memory_wall(levels_of(points, P90))
    assert (wall.rate, wall.low, wall.high, wall.reached) == (10, 8, 10, True)
    found = capacity(points, P90)
    assert found.carried.limit.kind == "memory"
    assert (found.estimated.rate, found.estimated.low) == (10, 8)
    assert any("memory sets the limit" in note for note in found.estimated.notes)


def test_preemptions_alone_are_memory():
    """A request lost its place, however the readings fell."""
    points = [_exponential(8, 0.02, telemetry=_cache(0.5, 0, preemptions=3))]
    assert memory_wall(levels_of(points, P90)).reached


def test_memory_that_is_far_from_full():
    """In proportion to the peak use it would be full at twice the load, at the latest."""
    points = [
        _exponential(4, 0.02, telemetry=_cache(0.2, 0)),
        _exponential(8, 0.03, telemetry=_cache(0.5, 1)),
    ]
    wall = memory_wall(levels_of(points, P90))
    assert not wall.reached
    assert wall.rate == pytest.approx(16)
    assert "50 %" in wall.evidence


def test_readings_outside_of_the_window_do_not_count():
    """What the server said of the warm-up and the drain is no part of the load."""
    point = _exponential(
        100, 0.02, count=200, telemetry=_cache(1.0, 0) + _said("vllm:kv_cache_usage_perc", 0.1)
    )
    assert readings_of(point).cache_peak == 1.0
    assert readings_of(_exponential(100, 0.02, count=90, telemetry=_cache(1.0, 0))).cache_peak == 0.5
    assert readings_of(_exponential(100, 0.02)) is None


def test_hits_of_one_server_are_not_multiplied(sweep):
    """Half of the prompts came from this server's cache: no number, until it is said what routing does to that."""
    points = [_exponential(rate, share, cached=50) for rate, share in ((8, 0.02), (10, 0.06), (12, 0.3))]
    found = capacity(points, P90, Ask(target_rps=100))
    assert found.refused
    assert "50 % of prompt tokens" in found.refusals[0]
    assert "one in n" in found.refusals[0]
    assert found.carried.measured is not None
    said = capacity(points, P90, Ask(target_rps=100, routing="keeps_hits"))
    assert not said.refused
    assert any("not checked" in text for text in said.assumptions)
    assert not capacity(sweep, P90, Ask(target_rps=100)).refused


def test_a_prefix_that_all_prompts_share_is_on_every_server():
    """Hits that such a prefix explains are multiplied, and the assumption says so."""
    point = _exponential(8, 0.02, cached=50, asked={"prefix_tokens": 50})
    assert not prefix_hits_of(point).of_one_server
    found = capacity([point], P90, Ask(target_rps=100))
    assert not found.refused
    assert any("all prompts share" in text for text in found.assumptions)


def test_hits_by_the_servers_own_count():
    """Where answers do not say it, the counters of /metrics do; where neither does, nothing is known."""
    told = _said("vllm:prefix_cache_queries_total", 100, 1100) + _said(
        "vllm:prefix_cache_hits_total", 50, 300
    )
    assert prefix_hits_of(_exponential(8, 0.02, telemetry=told)).share == pytest.approx(0.25)
    assert prefix_hits_of(_exponential(8, 0.02)) is None


def test_two_kinds_of_work_are_refused():
    """What a server carries of short prompts says nothing of long ones."""
    short, long = ({"input_tokens": tokens, "output_tokens": 64} for tokens in (128, 1024))
    found = capacity([_exponential(8, 0.02, asked=short), _exponential(10, 0.3, asked=long)], P90)
    assert "2 kinds of work" in found.refusals[0]


def test_what_the_sources_lack_is_not_a_miss(sweep):
    """An objective that no point can be judged by is refused for that reason."""
    found = capacity(sweep, [parse("p99 tpot < 50ms")])
    assert "do not have what is bounded by p99 tpot < 50ms" in found.refusals[0]
    assert found.carried.limit is None or found.carried.limit.kind != "objective"


def test_an_answer_is_values_only(sweep):
    """Its limits can be written as JSON."""
    from dataclasses import asdict

    assert json.loads(json.dumps([asdict(wall) for wall in capacity(sweep, P90).carried.walls]))
