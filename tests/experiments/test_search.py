"""Searching the highest load that meets objectives, with loads of known behaviour in place of a server."""

import asyncio
import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchkit.analysis.points import LoadPoint
from benchkit.errors import InvalidParameter, ObjectiveSyntaxError
from benchkit.experiments.search import SearchAsk, beside, forecast, search, search_async
from benchkit.experiments.search_levels import Level, bracket
from benchkit.experiments.search_simulated import SimulatedServer
from benchkit.objectives import parse, singles
from benchkit.parameters import resolve
from benchkit.records.chunks import Chunks
from benchkit.serving.simulated.settings import settings_for

BOUND = "p95 ttft < 100ms"


def recorded(rate, ttft_ms, seed, streams=None):
    """A point of Poisson arrivals with those TTFTs."""
    gaps = np.random.default_rng(seed).exponential(1e9 / rate, ttft_ms.size)
    due = np.cumsum(gaps).astype(np.int64)
    requests = pd.DataFrame({"phase": "window", "outcome": "ok", "scheduled_ns": due, "sent_ns": due,
                             "output_tokens": 2})  # fmt: skip
    requests["first_token_ns"] = due + (ttft_ms * 1e6).astype(np.int64)
    requests["last_token_ns"] = requests["end_ns"] = requests.first_token_ns + 1_000_000
    offsets, none = np.zeros(due.size + 1, dtype=np.int64), np.empty(0, dtype=np.int64)
    chunks = Chunks(offsets, none, none, none.astype(np.int32), np.zeros(due.size, bool), none.astype(bool))
    window = {"start_ns": 0, "end_ns": int(due[-1]) + 1}
    whole = {
        "metrics": {"ttft_ms": {"mean": float(ttft_ms.mean())}},
        "rates": {"requests_per_s": {"value": rate}},
    }
    summary = {"requests": {"ok": due.size, "failed": 0, "shed": 0}, "windows": {"whole": whole}}
    records = SimpleNamespace(
        manifest={"load": {"window": window}}, requests=requests, chunks=chunks, summary=summary
    )
    return LoadPoint(
        name=f"{rate}", load="concurrent" if streams else "poisson", summary=summary,
        rate=None if streams else rate, concurrency=streams, records=records,
    )  # fmt: skip


class Server:
    """Exponential TTFTs whose mean grows with the load; p95 reaches 100 ms at load 10."""

    def __init__(self, power=3.0, *, streams=False):
        self.power, self.streams = power, streams
        self.asked = []

    def __call__(self, load, duration_s, seed):
        self.asked.append((load, duration_s, seed))
        rate = 2.0 * load if self.streams else load
        mean = 100 / -math.log(0.05) * (load / 10.0) ** self.power
        ttft = np.random.default_rng(seed).exponential(mean, max(2, int(rate * duration_s)))
        return recorded(rate, ttft, seed, streams=int(load) if self.streams else None)


def ask(slo=BOUND, start=3.0, **more):
    """An ask with a large budget."""
    return SearchAsk.of(slo, start, **{"budget_s": 50_000.0, "overhead_s": 1.0, **more})


@pytest.mark.parametrize("start", [0.7, 9.0, 60.0])
def test_it_finds_the_boundary_from_wherever_it_begins(start):
    """Below, near or above the truth, a search ends at it with an interval as narrow as asked."""
    result = search(Server(), ask(start=start))
    assert result.resolved
    assert result.boundary.rate == pytest.approx(10.0, rel=0.1)
    assert result.boundary.low < 10.0 < result.boundary.high
    assert result.boundary.half_width <= 0.10
    assert result.spent_s < 50_000


def test_the_elasticity_is_printed():
    """A p95 that grows with the third power of the load is said to grow by 3 % with 1 % more load."""
    result = search(Server(), ask())
    assert result.boundary.elasticity == pytest.approx(3.0, abs=1.0)
    assert f"1 % more load there, {result.boundary.elasticity:.2g} % more p95 ttft" in str(result)


def test_no_two_measurements_send_the_same():
    """Each measurement has a seed of its own: equal contents would lie in the server's cache."""
    server = Server()
    search(server, ask())
    seeds = [seed for _, _, seed in server.asked]
    assert len(set(seeds)) == len(seeds)


def test_the_async_search_takes_the_same_steps():
    """Awaited or not, the same measurements lead to the same answer."""
    plain, awaited = Server(), Server()

    async def measure(load, duration_s, seed):
        await asyncio.sleep(0)
        return awaited(load, duration_s, seed)

    by_await = asyncio.run(search_async(measure, ask()))
    assert by_await.boundary == search(plain, ask()).boundary
    assert awaited.asked == plain.asked


def test_a_spent_budget_is_said():
    """What a small budget cannot resolve is called so, and the budget is kept."""
    result = search(Server(), ask(budget_s=50.0))
    assert not result.resolved
    assert result.spent_s <= 50.0
    assert any("budget" in note for note in result.notes)
    assert str(result).startswith(("not resolved", "no boundary"))


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"highest": 6.0}, "the highest load that was allowed, meets"),
        ({"lowest": 20.0, "start": 30.0}, "does not meet"),
    ],
)
def test_limits_of_load_are_kept_and_said(limits, said):
    """A search does not leave the loads that it may try, and says when the boundary lies beyond them."""
    server = Server()
    result = search(server, ask(**limits))
    loads = [load for load, _, _ in server.asked]
    assert limits.get("lowest", 0) <= min(loads)
    assert max(loads) <= limits.get("highest", math.inf)
    assert any(said in note for note in result.notes)
    assert not result.resolved


def test_without_a_boundary_the_loads_that_meet_are_named():
    """A search that ends before any load fails says up to where the objective was met."""
    text = str(search(Server(), ask(highest=4.0, start=4.0)))
    assert text.startswith("no boundary found: 4 requests/s meets")


def test_of_several_objectives_the_one_that_limits_counts():
    """The boundary is the lowest, and the others are named beside it."""
    result = search(Server(), ask(["p95 ttft < 100ms", "p50 ttft < 60ms"]))
    lowest = min(result.boundaries, key=lambda each: each.rate)
    assert result.boundary == lowest
    assert lowest.objective == "p95 ttft < 100ms"
    assert len(result.boundaries) == 2
    assert "beyond it: p50 ttft < 60ms" in str(result)


def test_a_mean_is_bracketed_without_an_interval():
    """A mean has no misses: its boundary is interpolated in a narrow bracket, without an interval, and said so."""
    result = search(Server(), ask("mean ttft < 40ms"))
    truth = 10.0 * (40.0 / (100 / -math.log(0.05))) ** (1 / 3)
    assert result.boundary.rate == pytest.approx(truth, rel=0.08)
    assert result.boundary.low is None
    assert not result.resolved
    assert result.bracket.ratio < 1.2
    assert any("no interval" in note for note in result.notes)


def test_streams_are_whole_numbers():
    """A search over streams asks for whole ones, and its boundary is said in streams."""
    server = Server(streams=True)
    result = search(server, ask(start=2, streams=True))
    assert all(load == int(load) for load, _, _ in server.asked)
    assert result.unit == result.boundary.unit == "streams"
    assert result.boundary.rate == pytest.approx(10.0, rel=0.15)


def test_after_its_twin_a_search_begins_beside_the_answer():
    """What the twin said is where the server is first measured; no load far away is."""
    twin, server = search(Server(), ask()), Server(power=3.2)
    result = search(server, ask(), twin=twin)
    loads = [load for load, _, _ in server.asked]
    assert min(loads) > 6.0
    assert max(loads) < 16.0
    assert result.twin is twin
    assert "its twin said" in str(result)
    assert "twin" in result.forecast.basis
    assert beside(ask(), dataclasses.replace(twin, boundary=None)) == ask()


def test_a_wrong_twin_misleads_only_the_start():
    """A server that carries half of what its twin said is found all the same."""
    twin = search(Server(), ask())
    twin = dataclasses.replace(twin, boundary=dataclasses.replace(twin.boundary, rate=20.0))
    assert search(Server(), ask(), twin=twin).boundary.rate == pytest.approx(10.0, rel=0.1)


def test_the_forecast_says_the_cost_beforehand():
    """Half the half-width costs four times as much; a budget below the low guess is said to be too small."""
    wide, narrow = forecast(ask(half_width=0.10)), forecast(ask(half_width=0.05))
    assert narrow.requests[0] == 4 * wide.requests[0]
    assert wide.seconds[0] == wide.requests[0] / 3.0
    assert "of server time" in str(wide)
    assert "the budget is less" in str(forecast(ask(budget_s=10.0)))
    assert forecast(ask(streams=True)).seconds is None


def test_the_result_is_for_a_manifest():
    """A result without its points is JSON."""
    stored = json.loads(json.dumps(search(Server(), ask(budget_s=300.0)).as_dict()))
    assert stored["unit"] == "requests/s"
    assert stored["spent_s"] <= 300.0


@pytest.mark.parametrize(
    ("slo", "more", "error"),
    [
        ([], {}, InvalidParameter),
        (BOUND, {"start": 0.0}, InvalidParameter),
        (BOUND, {"half_width": 0.0}, InvalidParameter),
        (BOUND, {"step": 1.0}, InvalidParameter),
        ("p95 ttfd < 100ms", {}, ObjectiveSyntaxError),
    ],
)
def test_senseless_asks_are_refused(slo, more, error):
    """An ask that cannot be searched for is refused before anything is measured."""
    with pytest.raises(error):
        ask(slo, **more)


def test_a_level_is_open_until_it_carries_enough():
    """Twenty memories of the run, and five misses at the allowed share, before a verdict is believed."""
    objectives = singles(parse(BOUND))
    level = Level(8.0)
    level.take(Server()(8.0, 5.0, 1), objectives)
    assert level.wanted(objectives) == pytest.approx(100)
    assert level.verdict(objectives) == "open"
    level.take(Server()(8.0, 60.0, 2), objectives)
    assert level.verdict(objectives) == "meets"
    assert bracket([level], objectives).low == 8.0


def test_a_load_far_too_high_fails_at_once():
    """Where nearly all miss, nothing more is asked of a load."""
    objectives = singles(parse(BOUND))
    level = Level(40.0)
    level.take(Server()(40.0, 5.0, 1), objectives)
    assert level.verdict(objectives) == "fails"


WORK = {
    "input_tokens": 256,
    "output_tokens": 16,
    "input_tokens_spread": 0.5,
    "warmup_s": 2,
    "load": "poisson",
}
PRESET = {"max_num_seqs": 8, "max_num_batched_tokens": 512, "kv_blocks": 0}


def simulated(**more):
    """A small simulated server."""
    return SimulatedServer(settings_for("l4-llama-3.2-1b", PRESET), resolve(WORK), **more)


def test_a_simulated_load_is_a_point_like_a_measured_one():
    """It has its rate, its requests in the window and the warm-up, and a summary; the same seed gives the same."""
    point = simulated()(20.0, 10.0, 3)
    again = simulated()(20.0, 10.0, 3)
    assert point.summary == again.summary
    assert point.rate == 20.0
    assert point.requests_per_s == pytest.approx(20.0, rel=0.2)
    assert point.statistic("tpot_ms", "mean") == pytest.approx(12.5, rel=0.2)
    assert set(point.records.requests.phase) == {"warmup", "window"}
    assert simulated()(20.0, 10.0, 4).summary != point.summary


def test_simulated_streams_keep_their_number():
    """In a closed loop as many requests are under way as there are streams, and none begins after the window."""
    point = simulated(streams=True)(4, 10.0, 1)
    assert point.concurrency == 4
    assert point.statistic("in_flight", "mean") == pytest.approx(4.0, abs=0.01)
    assert point.records.requests.sent_ns.max() < 12e9


def test_events_are_kept_where_gaps_are_asked_for():
    """With all events every token has its time, and the first and last ones are those kept without."""
    with_events, without = simulated(keep_events=True)(10.0, 5.0, 1), simulated()(10.0, 5.0, 1)
    assert len(with_events.records.chunks) == int(with_events.records.requests.output_tokens.sum())
    assert with_events.statistic("tpot_ms", "mean") == pytest.approx(without.statistic("tpot_ms", "mean"))
    assert with_events.statistic("max_gap_ms", "max") < without.statistic("max_gap_ms", "max")


def test_a_search_in_virtual_time_brackets_its_boundary():
    """On a simulated server the loads beside the answer, measured anew, meet and fail as it says."""
    server = simulated()
    result = search(server, ask("p90 ttft < 150ms", start=20.0, probe_s=10.0, overhead_s=2.0, budget_s=400.0))
    at = result.boundary.rate
    lower, higher = server(0.85 * at, 150.0, 991), server(1.15 * at, 150.0, 992)
    assert lower.statistic("ttft_ms", "p90") < 150 < higher.statistic("ttft_ms", "p90")
