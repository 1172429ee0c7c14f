"""The engines that the coverage table steps side by side are the simulator's."""

import numpy as np
import pytest
from many_engines import Engines

from benchkit.simulator.config import EngineConfig
from benchkit.simulator.engine import VllmEngine
from benchkit.simulator.simulate import SimulatedRequest, simulate
from benchkit.simulator.step_time import LinearStepTime


@pytest.mark.parametrize(("rate", "streams"), [(12.0, 0), (60.0, 0), (0.0, 5), (0.0, 12)])
def test_every_request_has_the_simulators_times(rate, streams):
    """Arrivals, first tokens and ends agree to the nanosecond: half idle, overloaded, and in a closed loop."""
    random = np.random.default_rng(3)
    runs, count = 3, 400
    prompts, outputs = random.integers(1, 200, (runs, count)), random.integers(1, 60, (runs, count))
    arrived = np.cumsum(random.exponential(1e9 / (rate or 1.0), (runs, count)), axis=1).astype(np.int64)
    model = LinearStepTime()
    found = Engines(8, prompts, outputs, None if streams else arrived, streams).run(10**15, model)
    config = EngineConfig(max_num_seqs=8, max_num_batched_tokens=1 << 20, step_time=model)
    for run in range(runs):
        work = [
            SimulatedRequest(
                0 if streams else int(arrived[run, row]), int(prompts[run, row]), int(outputs[run, row])
            )
            for row in range(count)
        ]
        told = simulate(VllmEngine(config), work, concurrency=streams, keep_gaps=True)
        assert np.array_equal(told.arrived_ns, found.arrived_ns[run])
        assert np.array_equal(told.first_token_ns, found.first_token_ns[run])
        assert np.array_equal(told.end_ns, found.end_ns[run])
        gaps = np.diff(found.step_ns[:, run], prepend=0)
        ours = np.repeat(gaps, found.decoded[:, run])
        assert np.array_equal(np.sort(ours), np.sort(told.gaps_ns))
        assert found.begun[:, run].sum() == count


def test_what_did_not_come_is_unknown():
    """Steps end where they are told to: a request that has not ended by then has no end."""
    ones = np.full((1, 2), 50)
    found = Engines(8, ones, ones, np.array([[0, 10**12]])).run(10**8, LinearStepTime())
    assert found.first_token_ns[0, 0] == 10_000_000
    assert found.end_ns[0, 0] > 10**15
    assert found.first_token_ns[0, 1] > 10**15
