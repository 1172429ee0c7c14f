"""The knee of a load curve and the front of two goods."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.analysis.knee import Output, knee
from benchkit.analysis.pareto import front

ARTICLE = [
    (1.00, 121.5),
    (141.45, 1374.0),
    (2.35, 265.6),
    (3.72, 408.9),
    (5.25, 560.7),
    (6.82, 702.8),
    (8.85, 849.0),
    (10.77, 996.3),
    (12.84, 1133.8),
    (15.34, 1275.0),
]


def test_the_articles_knee() -> None:
    """15.34 in flight: 1275² / 15.34 is the largest; the knee lies between its neighbours."""
    found = knee([Output(*pair) for pair in ARTICLE])
    assert (found.in_flight, found.per_s, found.low, found.high) == (15.34, 1275.0, 12.84, 141.45)
    assert found.reached
    assert found.share == pytest.approx(1275 / 1374)


def test_a_sweep_that_ends_early_has_not_reached_its_knee() -> None:
    """Without full throughput, more in flight was worth it to the end."""
    found = knee([Output(*pair) for pair in ARTICLE if pair[0] < 100])
    assert (found.in_flight, found.high, found.reached) == (15.34, None, False)


def test_a_saturated_load_counts_for_the_most_alone() -> None:
    """It proves that the knee was passed, and is never the knee itself."""
    outputs = [Output(1, 100), Output(4, 350), Output(9, 500, steady=False)]
    found = knee(outputs)
    assert (found.in_flight, found.most, found.high, found.reached) == (4, 500, None, True)


def test_the_knee_of_a_queue_is_where_power_peaks() -> None:
    """Of one server with random service, output X has X / (1 - X) in flight: power X (1 - X) peaks at one half."""
    loads = [step / 20 for step in range(1, 20)]
    found = knee([Output(x / (1 - x), x) for x in loads])
    assert (found.per_s, found.in_flight) == (0.5, 1.0)


@pytest.mark.parametrize(
    "outputs", [[], [Output(1, 1)], [Output(0, 5), Output(3, 0)], [Output(2, 5), Output(2, 6)]]
)
def test_one_level_has_no_knee(outputs: list[Output]) -> None:
    """Two levels of concurrency with output are the least."""
    assert knee(outputs) is None


@given(
    st.lists(st.tuples(st.floats(0.1, 1e3), st.floats(0.1, 1e5)), min_size=2, unique_by=lambda pair: pair[0]),
    st.floats(0.01, 100),
)
def test_the_knee_does_not_depend_on_units(pairs: list[tuple[float, float]], factor: float) -> None:
    """Tokens or requests, thousands or ones: the same load is it."""
    one = knee([Output(*pair) for pair in pairs])
    other = knee([Output(at, factor * per_s) for at, per_s in pairs])
    power = {at: per_s**2 / at for at, per_s in pairs}
    assert power[other.in_flight] == pytest.approx(power[one.in_flight])
    assert one.low is None or one.low < one.in_flight
    assert one.high is None or one.high > one.in_flight


def test_the_front_by_hand() -> None:
    """Whoever is beaten in one good and not better in the other is not on it."""
    assert front([(1, 9), (2, 8), (2, 7), (3, 8), (5, 1), (0, 9), (4, 0)]) == [0, 3, 4]
    assert front([(1, 1), (1, 1)]) == [0]
    assert front([]) == []


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=30))
def test_the_front_is_what_nobody_beats(goods: list[tuple[int, int]]) -> None:
    """On it nobody is beaten, off it everybody is beaten or equalled; it is ordered by the first good."""

    def beaten(place: int) -> bool:
        own = goods[place]
        return any(other[0] >= own[0] and other[1] >= own[1] and other != own for other in goods)

    found = front(goods)
    assert not any(beaten(place) for place in found)
    assert {goods[place] for place in found} == {
        goods[place] for place in range(len(goods)) if not beaten(place)
    }
    assert [goods[place][0] for place in found] == sorted({goods[place][0] for place in found})
