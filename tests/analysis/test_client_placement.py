"""A run is placed by its busiest second, and not at all where the map does not speak of it."""

import numpy as np
import pytest

from benchkit.analysis.client_error import Spread
from benchkit.analysis.client_map import Cell, ClientMap
from benchkit.analysis.client_placement import RunLoad, place, run_load
from benchkit.analysis.window import Window

SECOND = 1_000_000_000


def spread(p99):
    """A spread of that 99th percentile."""
    return Spread(1000, p99 / 2, p99, None, None, 2 * p99)


def cell(rate, p99, *, loop=None, kind="streams", lateness=0.0):
    """A cell of 10 streams that reached its rate."""
    both = (rate, rate / 200) if kind == "streams" else (4 * rate, rate)
    return Cell(kind, 10, rate, *both, spread(p99), spread(loop or p99), spread(lateness), spread(0.1), 0.0)


def client_map(cells):
    """A map of these cells, made with one worker and answers of 200 tokens."""
    return ClientMap("2026-01-01T00:00:00+00:00", 1, "evenly", 200, 1.0, 0.0, {}, tuple(cells))


def made():
    """10 streams hold 4,000 tokens/s at 1 ms; 500 requests/s leave on time."""
    tokens = [cell(rate, rate / 4000) for rate in (1000.0, 8000.0)]
    sends = [cell(rate, 0.01, kind="requests", lateness=rate / 500) for rate in (100.0, 1000.0)]
    return client_map([*tokens, *sends])


def test_tokens_and_requests_add_up():
    """A half of what it holds in tokens and a quarter in requests are three quarters of one client."""
    # 2,000 tokens/s of answers of 200 tokens are 10 requests/s, which the tokens' part has in it.
    found = place(RunLoad(streams=10, events_per_s=2000, requests_per_s=135), made())
    assert found.share == pytest.approx(0.75, rel=1e-6)
    assert str(found).startswith("at 75 % of what this client holds at 1 ms")


def test_two_workers_are_a_half_each():
    """A map of one worker is taken for each of several alone, and that is said."""
    found = place(RunLoad(streams=20, events_per_s=4000, requests_per_s=20, workers=2), made())
    assert found.share == pytest.approx(0.5, rel=1e-6)
    assert "2 workers" in found.note


def test_a_limit_that_was_not_reached_makes_the_share_a_most():
    """Where the test saw no limit, a run takes at most that share of it."""
    found = place(RunLoad(10, 4000, 0), client_map([cell(8000.0, 0.01)]))
    assert (found.share, found.at_most) == (pytest.approx(0.5), True)
    assert "or less" in str(found)


def test_a_client_that_held_nothing_makes_the_share_a_least():
    """Where already the slowest load was too much, a run takes that share or more."""
    found = place(RunLoad(10, 4000, 0), client_map([cell(8000.0, 9.0)]))
    assert (found.share, found.at_least) == (pytest.approx(0.5), True)


@pytest.mark.parametrize(
    ("load", "why"),
    [
        (RunLoad(11, 1, 1), "streams are more than the map has (10)"),
        (RunLoad(1, 1, 1, transport="httpx"), "another transport"),
    ],
)
def test_what_the_map_does_not_speak_of_has_no_place(load, why):
    """More streams than were tried and another transport are refused, with the remedy where there is one."""
    found = place(load, made())
    assert found.share is None
    assert why in str(found)


def test_without_kernel_times_the_event_loop_counts():
    """A run whose stamps are its event loop's is held against the loop's limits."""
    cells = [cell(rate, 0.01, loop=rate / 1000) for rate in (500.0, 8000.0)]
    blind = place(RunLoad(10, 500, 0, kernel_times=False), client_map(cells))
    seeing = place(RunLoad(10, 500, 0), client_map(cells))
    assert blind.share == pytest.approx(0.5, rel=1e-6)
    assert seeing.share < 0.1


def test_a_run_counts_by_its_busiest_second():
    """Stamps outside the window, and the quiet seconds of it, do not count."""
    chunks = np.concatenate(
        [np.arange(50) * 1e6, SECOND + np.arange(300) * 1e6, 9 * SECOND + np.arange(900) * 1e5]
    )
    manifest = {
        "load": {"workers": [{"worker": 0}, {"worker": 1, "kernel_times": False}, {"worker": 0}]},
        "parameters": {"transport": "stamped"},
    }
    found = run_load(manifest, 7, chunks, np.array([0.1, np.nan, 1.2, 1.3]) * SECOND, [Window(0, 3 * SECOND)])
    assert (found.streams, found.events_per_s, found.requests_per_s) == (7, 300, 2)
    assert (found.workers, found.kernel_times) == (2, False)


def test_a_window_of_less_than_a_second_is_taken_whole():
    """A short window gives its rate, not its count."""
    found = run_load({}, 1, np.arange(50) * 1e6, np.array([0.0]), [Window(0, SECOND // 2)])
    assert (found.events_per_s, found.requests_per_s) == (100, 2)
