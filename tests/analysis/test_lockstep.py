"""The test for streams that start together."""

from __future__ import annotations

import numpy as np
import pytest

from benchkit.analysis.lockstep import FALSE_ALARMS, bunching


def closed_loop(rng, streams: int, latency, first, length: float = 30.0):
    """Starts of independent streams, each beginning its next request when the last one ends."""
    starts = []
    for at in first:
        now = at
        while now < length:
            starts.append(now)
            now += latency()
    return np.array(starts) * 1e9


@pytest.mark.parametrize("streams", [4, 8, 32])
@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_false_alarms_stay_below_their_stated_rate(streams, spread):
    """Independent streams with random phases, of constant or of scattered latencies: at most 1 % alarms.

    2,000 loops; with a true rate of 1 % at most 31 alarms are seen in 99 of 100 such tests.
    """
    rng = np.random.default_rng(streams)
    alarms = 0
    for _ in range(2000):
        first = rng.uniform(0, 1.0, streams)
        starts = closed_loop(
            rng, streams, lambda: rng.normal(1.0, spread * 0.3) if spread else 1.0, first, 6.0
        )
        alarms += bunching(starts, streams).chance < FALSE_ALARMS
    assert alarms <= 31


@pytest.mark.parametrize("streams", [5, 8, 64])
@pytest.mark.parametrize("period", [0.97, 1.0])
def test_waves_are_found_whatever_their_period(streams, period):
    """Streams that start within 2 % of a latency of each other, wave after wave."""
    rng = np.random.default_rng(7)
    waves = np.arange(0, 20) * period
    starts = (waves[:, None] + rng.uniform(0, 0.02, (20, streams))).ravel() * 1e9
    assert bunching(starts, streams).chance < FALSE_ALARMS


def test_streams_spread_evenly_over_a_latency_are_no_lockstep():
    """The way that benchkit starts a closed loop: one stream after the other over the warm-up."""
    starts = (np.arange(20)[:, None] + np.arange(8) / 8).ravel() * 1e9
    assert bunching(starts, 8).chance > 0.9


def test_a_spread_over_a_small_part_of_a_latency_is_found():
    """A warm-up of a tenth of a latency bunches the streams all the same."""
    starts = (np.arange(20)[:, None] + np.arange(8) / 80).ravel() * 1e9
    assert bunching(starts, 8).chance < FALSE_ALARMS


@pytest.mark.parametrize(("part", "concentration"), [(0.5, 0.637), (0.3, 0.858), (1e-6, 1.0)])
def test_the_concentration_tells_how_much_of_a_wave_is_used(part, concentration):
    """Starts that fill a part f of a wave evenly: sin(pi f) / (pi f)."""
    starts = (np.arange(20)[:, None] + part * np.arange(400) / 400).ravel() * 1e9
    assert bunching(starts, 400).concentration == pytest.approx(concentration, abs=2e-3)


@pytest.mark.parametrize(
    ("starts", "streams"),
    [
        (np.arange(100.0), 3),
        (np.arange(16.0), 8),
        (np.array([]), 8),
        (np.full(50, np.nan), 8),
        (np.zeros(40), 8),
    ],
)
def test_too_little_to_tell_gives_no_chance(starts, streams):
    """Fewer than four streams or two whole waves, no sends, or all in one instant."""
    assert bunching(starts * 1e9, streams) is None
