"""The pacer and its timer, in real time; and the log's bound."""

import asyncio
import time

import pytest

from benchkit import timer
from benchkit.serving.simulated.engines import FixedEngine
from benchkit.serving.simulated.pacer import Pacer
from benchkit.serving.simulated.send_log import SendLog
from benchkit.simulator.requests import EngineRequest

MS = 1_000_000


@pytest.fixture(params=["linux", "elsewhere"])
def platform(request, monkeypatch):
    """With timerfd where there is one, and with the loop's own timer."""
    if request.param == "elsewhere":
        monkeypatch.setattr(timer.sys, "platform", "elsewhere")
    return request.param


async def test_a_timer_fires_once_and_not_early(platform):
    """Set again it keeps only the later call's time; a time that has passed fires at once."""
    fired = []
    made = timer.make_timer(asyncio.get_running_loop(), lambda: fired.append(time.monotonic_ns()))
    due_ns = time.monotonic_ns() + 40 * MS
    made.set(time.monotonic_ns() + 5_000 * MS)
    made.set(due_ns)
    await asyncio.sleep(0.15)
    made.set(1)
    await asyncio.sleep(0.05)
    made.close()

    assert len(fired) == 2
    assert fired[0] >= due_ns - MS


async def test_emissions_are_delivered_when_due(platform):
    """Every token comes, in order, and none before its time."""
    delivered = []
    engine = FixedEngine(ttft_ns=20 * MS, gap_ns=5 * MS, max_num_seqs=8)
    pacer = Pacer(
        engine,
        lambda emission: delivered.append((time.monotonic_ns(), emission)),
        asyncio.get_running_loop(),
        quantum_ns=0,
    )
    requests = [EngineRequest(1, 4, time.monotonic_ns()) for _ in range(3)]
    for request in requests:
        pacer.submit(request)
    await asyncio.sleep(0.2)
    pacer.close()

    assert len(delivered) == 12
    assert all(at_ns >= emission.due_ns for at_ns, emission in delivered)
    due = [emission.due_ns for _, emission in delivered]
    assert due == sorted(due)


async def test_tokens_due_within_the_quantum_share_a_wakeup():
    """With a quantum, tokens that are due close together leave together and none is lost."""
    times = []
    pacer = Pacer(
        FixedEngine(ttft_ns=10 * MS, gap_ns=MS, max_num_seqs=8),
        lambda emission: times.append(time.monotonic_ns() - emission.due_ns),
        asyncio.get_running_loop(),
        quantum_ns=20 * MS,
    )
    pacer.submit(EngineRequest(1, 60, time.monotonic_ns()))
    await asyncio.sleep(0.2)
    pacer.close()

    assert len(times) == 60
    assert sorted(times)[30] >= 5 * MS


async def test_cancelling_while_delivering():
    """A client that is found gone while tokens are being delivered ends its request and no other's."""
    counts = {}
    engine = FixedEngine(ttft_ns=MS, gap_ns=MS, max_num_seqs=8)

    def deliver(emission):
        counts[id(emission.request)] = counts.get(id(emission.request), 0) + 1
        if emission.request is gone and emission.total == 2:
            pacer.cancel(gone)

    pacer = Pacer(engine, deliver, asyncio.get_running_loop(), quantum_ns=0)
    gone, stays = EngineRequest(1, 50, time.monotonic_ns()), EngineRequest(1, 20, time.monotonic_ns())
    pacer.submit(gone)
    pacer.submit(stays)
    await asyncio.sleep(0.15)
    pacer.close()

    assert counts[id(stays)] == 20
    assert engine.running == 0


def test_the_log_forgets_the_oldest():
    """Memory is bounded: beyond the number of stamps the oldest requests go."""
    log = SendLog(max_stamps=10)
    for number in range(5):
        log.open(f"r{number}", 0, 4)

    assert [record["request_id"] for record in log.records()] == ["r3", "r4"]
    log.clear()
    assert log.records() == []
