"""Prints how fast the engine is in virtual time: 256 requests running, prompts of 512 tokens, answers of 256.

python tests/benchmarks/simulator_speed.py
"""

import time

from benchkit.simulator.config import EngineConfig
from benchkit.simulator.engine import VllmEngine
from benchkit.simulator.simulate import SimulatedRequest, simulate

REQUESTS, STREAMS, PROMPT, ANSWER = 1_500, 256, 512, 256


def main() -> None:
    """One line for no cache, a cache, and a cache with prefixes looked up and steps scheduled ahead."""
    blocks = (PROMPT + ANSWER) // 16
    for name, kv_blocks, hashed, ahead in (
        ("no cache limit", 0, False, False),
        ("cache", 40_000, False, False),
        ("cache, hashes, ahead", 40_000, True, True),
    ):
        engine = VllmEngine(EngineConfig(kv_blocks=kv_blocks, schedule_ahead=ahead))
        work = [
            SimulatedRequest(0, PROMPT, ANSWER, range(at * 1_000, at * 1_000 + blocks) if hashed else ())
            for at in range(REQUESTS)
        ]
        began = time.perf_counter()
        simulate(engine, work, concurrency=STREAMS)
        took_s = time.perf_counter() - began
        scheduled, made = REQUESTS * (PROMPT + ANSWER) / took_s, REQUESTS * ANSWER / took_s
        print(f"{name:<22}{made:>12,.0f} output tokens/s {scheduled:>12,.0f} scheduled tokens/s")


if __name__ == "__main__":
    main()
