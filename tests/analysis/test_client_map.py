"""A map of cells gives the limits that were put into it, and keeps them through JSON."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.analysis.client_error import Spread
from benchkit.analysis.client_map import Cell, ClientMap, limit

RATES = (1000.0, 2000.0, 4000.0, 8000.0)


def spread(p99, low=None, high=None):
    """A spread of that 99th percentile."""
    return Spread(1000, p99 and p99 / 2, p99, low, high, p99 and 2 * p99)


def cell(rate, p99, *, streams=10, loop=None, kind="streams", lateness=None):
    """A cell that reached its rate."""
    both = (rate, rate / 200) if kind == "streams" else (4 * rate, rate)
    late = None if lateness is None else spread(lateness)
    return Cell(kind, streams, rate, *both, spread(p99), spread(loop or p99), late, spread(0.1), 0.0)


def client_map(cells, **facts):
    """A map of these cells."""
    told = {
        "made": "2026-01-01T00:00:00+00:00",
        "workers": 1,
        "arrive": "evenly",
        "answer_tokens": 200,
        "seconds": 1.0,
        "busy_percent": 0.0,
        "environment": {"cpu_model": "a", "python": "b"},
    }
    return ClientMap(**(told | facts), cells=tuple(cells))


def grown(slope, at, per=1.0):
    """Cells whose error is ``per`` at the rate ``at`` and grows with a power of the rate."""
    return [cell(rate, per * (rate / at) ** slope) for rate in RATES]


@given(st.floats(0.2, 4), st.floats(1001, 7999), st.sampled_from([1.0, 5.0]))
def test_a_power_law_is_cut_where_it_passes_the_bound(slope, at, bound):
    """Where the error is a power of the rate, the limit is exact between any two cells."""
    found = limit(grown(slope, at, bound), bound, "kernel")
    assert not found.open
    assert not found.below
    assert found.rate == pytest.approx(at, rel=1e-6)


def test_what_was_not_reached_is_said():
    """A limit beyond the last cell is at least that cell's rate, one before the first less than that one's."""
    above, under = limit(grown(1, 1e6), 1.0, "kernel"), limit(grown(1, 10), 1.0, "kernel")
    assert (above.rate, above.open, above.below) == (pytest.approx(8000), True, False)
    assert (under.rate, under.open, under.below) == (pytest.approx(1000), False, True)
    assert str(above) == "at least 8,000"
    assert str(under) == "less than 1,000"


def test_one_bad_second_at_a_low_rate_does_not_end_the_map():
    """A cell that failed below cells that held is taken together with them, not for the limit."""
    good = limit(
        [cell(rate, p99) for rate, p99 in zip(RATES, (0.01, 0.01, 0.01, 8), strict=True)], 1.0, "kernel"
    )
    bumpy = limit(
        [cell(rate, p99) for rate, p99 in zip(RATES, (0.01, 2, 0.01, 8), strict=True)], 1.0, "kernel"
    )
    assert bumpy.rate == pytest.approx(good.rate, rel=0.25)
    assert bumpy.rate > 4000


def test_tokens_that_were_never_read_are_worse_than_any_bound():
    """A cell without a 99th percentile ends the map, in both views where both lack it."""
    cells = [cell(1000, 0.1), cell(2000, None)]
    assert 1000 < limit(cells, 5.0, "kernel").rate < 2000


def test_a_rate_of_requests_is_judged_by_its_sends_as_well():
    """Stamps that are true do not help requests that leave late."""
    cells = [cell(rate, 0.01, kind="requests", lateness=rate / 1000) for rate in (100, 10_000)]
    assert client_map(cells).requests_limit(1.0).rate == pytest.approx(1000, rel=1e-6)
    assert client_map([]).requests_limit(1.0) is None


def test_views_are_kept_apart():
    """The kernel's times and the event loop's have limits of their own."""
    cells = [cell(rate, 0.01, loop=rate / 3000) for rate in RATES]
    made = client_map(cells)
    assert made.events_limit(10, 1.0).open
    assert made.events_limit(10, 1.0, "loop").rate == pytest.approx(3000, rel=1e-6)


def test_between_two_numbers_of_streams_the_limit_lies_between():
    """Half way between 10 and 1,000 streams on a logarithmic axis is 100, and so are the limits."""
    cells = [
        cell(rate, rate / at, streams=streams) for streams, at in ((10, 4000), (1000, 1600)) for rate in RATES
    ]
    made = client_map(cells)
    assert made.columns == (10, 1000)
    assert made.events_limit(100, 1.0).rate == pytest.approx(math.sqrt(4000 * 1600), rel=1e-6)
    assert made.events_limit(1, 1.0) == made.events_limit(10, 1.0)
    assert made.events_limit(1001, 1.0) is None


def test_a_limit_that_was_reached_is_not_open_for_its_neighbour():
    """100 streams that passed the bound have a limit, whatever 10 streams never reached; between them it is open."""
    never, passed = (
        [cell(rate, 1e-3) for rate in RATES],
        [cell(rate, rate / 4000, streams=100) for rate in RATES],
    )
    made = client_map([*never, *passed])
    assert made.events_limit(10, 1.0).open
    assert not made.events_limit(100, 1.0).open
    assert made.events_limit(50, 1.0).open


@pytest.mark.parametrize(
    ("low", "high", "state"),
    [(0.1, 0.9, "holds"), (1.1, 1.3, "fails"), (0.9, 1.1, "unsure"), (None, None, "unsure")],
)
def test_a_cell_is_judged_by_both_ends_of_its_interval(low, high, state):
    """A 99th percentile is below a bound when all of its interval is."""
    base = cell(1000, 1.0)
    sure = Cell(**{name: getattr(base, name) for name in base.__slots__} | {"kernel": spread(1.0, low, high)})
    assert sure.state("kernel", 1.0) == state


def test_a_map_survives_json():
    """What is stored is what was measured, cells without sends or without stamps among it."""
    made = client_map([*grown(1, 3000), cell(100, None, kind="requests", lateness=0.2)])
    assert ClientMap.of(json.loads(json.dumps(made.as_dict()))) == made


def test_another_machine_is_told_by_what_differs():
    """Facts that the client's speed hangs on are compared, others are not."""
    made = client_map([cell(1000, 0.1)])
    assert made.foreign({"cpu_model": "a", "python": "b", "git_commit": "other"}) == []
    assert made.foreign({"cpu_model": "z", "python": "b"}) == ["cpu_model"]
