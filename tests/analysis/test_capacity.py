"""How many servers: the article's example, and what an answer has to say about itself."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.analysis.capacity import Ask, capacity
from benchkit.analysis.capacity_sensitivity import scaled, sensitivity
from benchkit.analysis.dispersion import dispersion_of
from benchkit.analysis.fleet_size import Redundancy, cost, headroom_for, size
from benchkit.analysis.imported import import_points
from benchkit.analysis.points import LoadPoint
from benchkit.analysis.what_if import what_if
from benchkit.errors import InvalidParameter
from benchkit.objectives import parse, singles
from benchkit.records.project import project_root

ARTICLE = project_root(Path(__file__).parent) / "params" / "article_sweep.csv"
P99 = [parse("p99 ttft < 80ms")]


@pytest.fixture(scope="module")
def article():
    """The article's ten points."""
    return import_points(ARTICLE)


def _point(rate, p99, *, ok=1000, saturated=None, load="poisson", **more):
    """A stated point."""
    whole = {
        "metrics": {"ttft_ms": {"p99": p99, "count": ok}, "latency_ms": {"mean": 2000.0, "count": ok}},
        "rates": {"requests_per_s": {"value": rate}, "output_tokens_per_s": {"value": 100.0 * rate}},
    }
    summary = {"requests": {"ok": ok, "failed": 0, "shed": 0}, "windows": {"whole": whole}, "slo": []}
    return LoadPoint(f"at {rate}", load, summary, rate=rate, saturated=saturated, **more)


def test_the_articles_example(article):
    """From its table, p99 TTFT below 80 ms and 50 requests/s: 4.43 and 12 as measured; about 4.6 and 11 estimated."""
    found = capacity(article, P99, Ask(target_rps=50))
    measured, estimated = found.options
    assert (measured.basis, measured.rate, measured.fleet.servers) == ("as measured", 4.43, 12)
    assert estimated.basis == "estimated"
    assert estimated.rate == pytest.approx(4.598, abs=0.001)
    assert estimated.fleet.servers == 11
    assert (estimated.low, estimated.high) == (None, None)
    assert any("without an interval" in note for note in estimated.notes)
    assert any("133 of 368 requests" in note for note in measured.notes)
    assert not measured.resolved


def test_the_articles_walls(article):
    """Saturation stands at the throughput point, the objective below it sets the limit, memory is not told."""
    found = capacity(article, P99).carried
    saturation, objective, memory = found.walls
    assert (saturation.rate, saturation.reached) == (5.37, True)
    assert objective.rate == pytest.approx(4.598, abs=0.001)
    assert found.limit is objective
    assert saturation.distance_from(objective.rate) == pytest.approx(0.168, abs=0.001)
    assert (memory.rate, memory.reached) == (None, False)
    assert "do not say" in memory.evidence


def test_the_load_at_which_one_more_server_is_due(article):
    """Twelve servers of 4.43 carry 53.16 requests/s, and one more is needed just above that."""
    answer = capacity(article, P99, Ask(target_rps=50))
    due = answer.measured.fleet.next_server_at
    assert due == pytest.approx(53.16)
    assert what_if(answer, target_rps=due).measured.fleet.servers == 12
    assert what_if(answer, target_rps=due * 1.001).measured.fleet.servers == 13


def test_costs(article):
    """Price over what is served: 48 an hour for 180,000 requests of 256 tokens."""
    paid = capacity(article, P99, Ask(target_rps=50, price_per_hour=4)).measured.cost
    assert paid.per_hour == 48
    assert paid.per_1000_requests == pytest.approx(48 / 180)
    assert paid.per_million_output_tokens == pytest.approx(48 / (0.18 * 255.94), rel=1e-4)
    assert paid.per_1000_requests_full < paid.per_1000_requests


def test_users(article):
    """1,000 people who think 20 s and wait 2.9 s send 43.7 requests/s: 101 of them fill a server."""
    found = capacity(article, P99, Ask(target_users=1000, think_time_s=20)).measured
    assert found.load == pytest.approx(1000 / 22.9)
    assert found.users == pytest.approx(4.43 * 22.9)
    assert found.fleet.servers == math.ceil(1000 / found.users)


def test_it_refuses_when_no_point_meets_the_objectives(article):
    """An objective below the lowest load's value gives no number of servers, and says what to do."""
    found = capacity(article, [parse("p99 ttft < 20ms")], Ask(target_rps=50))
    assert found.refused
    assert found.options == ()
    assert "0.47 requests/s" in found.refusals[0]
    assert "relax" in found.refusals[0]


def test_no_objective_is_refused(article):
    """Without an objective any load is carried."""
    with pytest.raises(InvalidParameter, match="'slo' is empty"):
        capacity(article, [])


def test_saturated_points_do_not_count():
    """A point in which requests pile up is never the highest that meets, however good its figures."""
    points = [_point(2, 50), _point(4, 60), _point(6, 70, saturated=True)]
    assert capacity(points, P99).measured.rate == 4


def test_a_highest_load_that_meets_is_a_lower_limit():
    """Where nothing failed it says that a server may carry more, and estimates nothing."""
    found = capacity([_point(2, 50), _point(4, 60)], P99)
    assert any("one server may carry more" in note for note in found.measured.notes)
    assert found.estimated is None


def test_a_lower_load_that_missed_is_named():
    """A load that misses below one that meets is said, since one of the two is chance."""
    found = capacity([_point(2, 50), _point(3, 90), _point(4, 60), _point(5, 95)], P99)
    assert found.measured.rate == 4
    assert any("3 requests/s" in note for note in found.measured.notes)


def test_saturation_below_the_boundary_is_the_limit():
    """The estimate stops where throughput does."""
    points = [
        _point(2, 50),
        _point(4, 60),
        _point(8, 100),
        LoadPoint("t", "throughput", _point(5, 500).summary),
    ]
    found = capacity(points, P99)
    assert found.estimated.rate == pytest.approx(6.0)
    top = LoadPoint("t", "throughput", _point(9, 500).summary)
    assert capacity([_point(2, 50), _point(4, 60), _point(8, 100), top], P99).estimated.rate == pytest.approx(
        6.0
    )
    flat = [
        _point(2, 50),
        _point(4, 60),
        _point(4.2, 70, load="throughput"),
        _point(4.1, 300, saturated=True),
    ]
    assert capacity(flat, [parse("p99 ttft < 80ms")]).carried.limit.kind == "saturation"


def test_repeats_of_a_load_are_one_level():
    """The rate is their mean; one repeat that misses makes the level miss."""
    points = [_point(2, 50), _point(4, 60), LoadPoint("again", "poisson", _point(4.4, 90).summary, rate=4)]
    levels = capacity(points, P99).carried.levels
    assert [level.requests_per_s for level in levels] == [2, pytest.approx(4.2)]
    assert [level.meets for level in levels] == [True, False]


@pytest.mark.parametrize(
    ("redundancy", "carrying", "servers"),
    [
        (Redundancy(), 12, 12),
        (Redundancy(spare=1), 12, 13),
        (Redundancy(zones=3), 12, 18),
        (Redundancy(zones=2), 12, 24),
        (Redundancy(zones=3, spare=8), 12, 20),
        (Redundancy(headroom=0.2), 14, 14),
    ],
)
def test_redundancy(redundancy, carrying, servers):
    """50 requests/s on servers of 4.43, with what they must stand: one failure at a time."""
    fleet = size(50, 4.43, redundancy)
    assert (fleet.carrying, fleet.servers) == (carrying, servers)


@settings(deadline=None)
@given(
    st.floats(0.01, 1e4),
    st.floats(0.01, 100),
    st.builds(Redundancy, st.floats(0, 2), st.integers(0, 5), st.integers(1, 6)),
)
def test_a_fleet_is_large_enough_and_not_larger(load, per_server, redundancy):
    """What is left after the worst failure carries the load with its headroom; one server fewer would not."""
    fleet = size(load, per_server, redundancy)
    wanted = load * (1 + redundancy.headroom)
    assert redundancy.left_of(fleet.servers) * per_server >= wanted * (1 - 1e-6)
    if fleet.carrying > 1:
        assert redundancy.left_of(fleet.servers - 1) < fleet.carrying
        assert (fleet.carrying - 1) * per_server < wanted * (1 + 1e-6)
    assert fleet.next_server_at >= load * (1 - 1e-6)


def test_headroom_covers_what_it_says():
    """Poisson arrivals within the lead time exceed the headroom of 99 % about one time in a hundred."""
    rate, lead_s = 50.0, 60.0
    headroom = headroom_for(rate, 1.0, lead_s)
    counts = np.random.default_rng(1).poisson(rate * lead_s, 20_000)
    assert (counts > rate * lead_s * (1 + headroom)).mean() == pytest.approx(0.01, abs=0.003)
    assert headroom_for(rate, 4.0, lead_s) == pytest.approx(2 * headroom)


def test_headroom_from_burstiness(article):
    """With a dispersion the answer's headroom follows from the start-up time, and without that it is refused."""
    found = capacity(article, P99, Ask(target_rps=50, dispersion=4, start_up_s=120)).measured
    assert found.redundancy.headroom == pytest.approx(headroom_for(50, 4, 120))
    with pytest.raises(InvalidParameter, match="start_up_s"):
        capacity(article, P99, Ask(target_rps=50, dispersion=4))


def test_dispersion():
    """1 for Poisson arrivals, 0 for a clock, k for arrivals that come k at a time, and nothing from too few windows."""
    rng = np.random.default_rng(3)
    poisson = np.cumsum(rng.exponential(0.1, 40_000))
    assert dispersion_of(poisson, 10.0) == pytest.approx(1.0, abs=0.25)
    assert dispersion_of(np.arange(0, 1000, 0.1), 10.0) == pytest.approx(0.0, abs=0.01)
    assert dispersion_of(np.repeat(poisson, 5), 10.0) == pytest.approx(5.0, abs=1.2)
    assert dispersion_of(poisson[:100], 10.0) is None
    assert dispersion_of([], 1.0) is None


def test_sensitivity(article):
    """More load and stricter objectives never need fewer servers; the middle is the answer itself."""
    found = sensitivity(capacity(article, P99).carried, Ask(target_rps=50))
    by = {(each.objective_factor, each.target_factor): each.servers for each in found}
    assert by[1, 1] == 11
    for tightness in {key[0] for key in by}:
        row = [by[key] for key in sorted(key for key in by if key[0] == tightness)]
        assert row == sorted(row)
    strict, loose = by[0.5, 1], by[2, 1]
    assert strict > by[1, 1] >= loose
    assert {each.basis for each in found if each.objective_factor == 2} == {"as measured"}


def test_scaling_an_objective():
    """Bounds in time are multiplied, shares and rates are not."""
    half = scaled(*singles(parse("p99 ttft < 100ms + 0.2ms/token")), 0.5)
    assert (half.bound, half.per_token) == (50, 0.1)
    good = scaled(*singles(parse("attainment(ttft < 200ms) > 99%")), 0.5)
    assert (good.bound, good.terms[0].bound) == (0.99, 100)
    errors = singles(parse("error_rate < 1%"))[0]
    assert scaled(errors, 0.5) == errors


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input_tokens": 9}, "was fixed when the load was measured"),
        ({"sloo": "x"}, "there are: slo, target_rps"),
        ({"slo": "p99 max_gap < 1s"}, "none of the 10 points has what it bounds"),
    ],
)
def test_what_the_records_cannot_answer_is_refused(article, changes, said):
    """Another kind of work, an unknown name, a metric that the table lacks."""
    with pytest.raises(InvalidParameter, match=said):
        what_if(capacity(article, P99), **changes)


def test_what_if(article):
    """Other objectives, targets and prices are answered from the same points."""
    answer = capacity(article, P99, Ask(target_rps=50))
    assert what_if(answer, slo="p99 ttft < 60ms").measured.rate == 3.32
    assert what_if(answer, slo=["p99 ttft < 80ms", "mean latency < 2.7s"]).measured.rate == 3.32
    assert what_if(answer, price_per_hour=2).measured.cost.per_hour == 24
    people = what_if(answer, target_users=100, think_time_s=10)
    assert people.measured.load == pytest.approx(100 / 12.9)
    assert what_if(people, target_rps=50).measured.fleet.servers == 12


def test_costs_without_lengths():
    """Where the source does not say how long answers are there is no price of a token."""
    paid = cost(size(50, 5, Redundancy()), 2.0, None)
    assert paid.per_million_output_tokens is None
    assert paid.per_1000_requests == pytest.approx(20 / 180)
