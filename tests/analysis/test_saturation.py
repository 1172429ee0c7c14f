"""Whether requests piled up: trends on batches."""

import numpy as np
import pandas as pd
import pytest

from benchkit.analysis.saturation import saturation, trend
from benchkit.simulator.config import EngineConfig
from benchkit.simulator.engine import VllmEngine
from benchkit.simulator.simulate import SimulatedRequest, simulate
from benchkit.simulator.step_time import LinearStepTime


class Recorded:
    """The records of a simulated run, as far as trends need them."""

    def __init__(self, result, load, warmup_s, duration_s):
        start, end = int(warmup_s * 1e9), int((warmup_s + duration_s) * 1e9)
        phase = np.where(result.arrived_ns < start, "warmup", "window")
        self.requests = pd.DataFrame(
            {
                "scheduled_ns": result.arrived_ns,
                "sent_ns": result.arrived_ns,
                "first_token_ns": result.first_token_ns,
                "end_ns": result.end_ns,
                "phase": phase,
                "outcome": "ok",
            }
        )
        # What had not ended when the window did is not known to have.
        self.requests.loc[self.requests.end_ns > end, ["end_ns"]] = np.nan
        self.requests.loc[self.requests.end_ns.isna(), "outcome"] = "incomplete"
        self.manifest = {
            "parameters": {"load": load},
            "load": {"window": {"start_ns": start, "end_ns": end}, "windows": []},
        }


def poisson(rate, seed, *, duration_s=60.0, warmup_s=5.0, seats=8):
    """A simulated open loop on an engine that carries about 16 requests/s."""
    random = np.random.default_rng(seed)
    times = np.cumsum(random.exponential(1 / rate, int(3 * rate * (duration_s + warmup_s))))
    times = times[times < duration_s + warmup_s]
    engine = VllmEngine(
        EngineConfig(
            step_time=LinearStepTime(10_000, 20, 100, 0.0), max_num_seqs=seats, max_num_batched_tokens=512
        )
    )
    work = [SimulatedRequest(int(at * 1e9), 100, int(random.integers(20, 60))) for at in times]
    return Recorded(simulate(engine, work), "poisson", warmup_s, duration_s)


@pytest.mark.parametrize("seed", range(8))
def test_a_rate_above_the_capacity_is_saturated(seed):
    """Requests that come faster than they can be answered pile up, and the sentence says by how much."""
    found = saturation(poisson(26, seed))
    assert found.state == "saturated"
    assert found.saturated is True
    assert "grew by" in found.reason
    assert found.answered_per_s < 0.95 * found.offered_per_s


def test_a_rate_well_below_the_capacity_is_steady():
    """At half the capacity no more than one run in twenty looks as if requests piled up."""
    states = [saturation(poisson(8, seed)).state for seed in range(40)]
    assert states.count("saturated") <= 2
    assert states.count("steady") >= 36


def test_a_closed_loop_never_piles_up():
    """A closed loop sends only when an answer has come."""
    recorded = poisson(26, 1)
    recorded.manifest["parameters"]["load"] = "concurrent"
    assert saturation(recorded).saturated is False


def test_a_short_window_is_unclear():
    """A window of hardly more than one latency shows no trend either way."""
    found = saturation(poisson(8, 3, duration_s=1.0, warmup_s=1.0))
    assert found.state == "unclear"
    assert found.saturated is None
    assert found.reason


def test_the_worst_repeat_counts():
    """Of several repeats one that piles up is enough."""
    recorded = poisson(26, 2)
    start, end = recorded.manifest["load"]["window"].values()
    recorded.manifest["load"]["windows"] = [
        {"start_ns": 0, "end_ns": start // 2},
        {"start_ns": start, "end_ns": end},
    ]
    assert saturation(recorded).state == "saturated"


def test_the_trend_of_a_line():
    """A straight line has its slope, its growth over the span, and no chance of being none."""
    found = trend(np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10.001]), 10.0)
    assert found.slope_per_s == pytest.approx(1.0, rel=1e-3)
    assert found.growth == pytest.approx(10 / 5.5, rel=1e-3)
    assert found.p < 1e-6
    assert found.batches == 10


def test_the_trend_of_noise_alarms_as_often_as_it_says():
    """Of series without a trend about 2.5 % have a p below 0.025."""
    random = np.random.default_rng(5)
    alarms = sum(trend(random.normal(5, 1, 10), 10.0).p < 0.025 for _ in range(2_000))
    assert 25 <= alarms <= 80


def test_too_few_batches_have_no_trend():
    """Five known means of ten say nothing."""
    assert trend(np.array([1.0, 2, 3, 4, 5, *[np.nan] * 5]), 10.0) is None
    assert trend(np.full(10, 3.0), 10.0).p == 1.0
