"""The test of this machine's client: what goes wrong with the client shows as its error, and only that."""

import asyncio
import signal
import time

import psutil
import pytest

from benchkit.analysis.client_error import Spread
from benchkit.errors import LoadError
from benchkit.experiments.selftest_load import loaded
from benchkit.serving import paced
from benchkit.serving.paced.pace import Stage

FIVE = {"load": "concurrent", "concurrency": 5, "warmup_s": 0.3, "duration_s": 1.5}


def _processes(module):
    """Those that this process has started to run a module."""
    children = psutil.Process().children(recursive=True)
    return [process for process in children if process.cmdline()[1:3] == ["-m", module]]


async def _until(found):
    """What it gives once it is something."""
    for _ in range(400):
        if it := await asyncio.to_thread(found):
            return it
        await asyncio.sleep(0.05)
    raise AssertionError("it never came")


async def _stopped_for_300_ms(module):
    """A load of 1,000 tokens/s in which a process was stopped; its stage, as a Spread of each kind of error."""
    with paced.start_stages([Stage(1000.0, 1.5)], ramp_s=0.3, answer_tokens=50) as server:
        load = asyncio.create_task(loaded(server, FIVE))
        await _until(lambda: server.log().stages_ns)
        (process,) = _processes(module)
        await asyncio.sleep(0.7)
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.3)
        process.send_signal(signal.SIGCONT)
        found = await load
    begin_ns = found.log.stages_ns[0]
    stage = (begin_ns, begin_ns + 1_500_000_000)
    return (
        Spread.of(found.beside.errors_ms("kernel", *stage)),
        Spread.of(found.beside.errors_ms("loop", *stage)),
        Spread.of(found.beside.server_ms(*stage)),
    )


@pytest.mark.slow
async def test_a_client_that_stands_still_is_found_out():
    """A worker that stood still for 300 ms errs by that in both views: what waited together shares a stamp."""
    kernel, loop, server = await _stopped_for_300_ms("benchkit.load.worker")
    assert 200 < loop.max < 900
    # Each stream has a token every 5 ms, and only the last of those that waited is stamped right by the kernel.
    assert 150 < kernel.max <= loop.max
    assert kernel.p50 < 20
    assert server.p50 < 20


@pytest.mark.slow
async def test_a_server_that_is_late_is_not_the_clients_fault():
    """What a stopped server sends late is late in its own log; the client's error counts from when it was sent."""
    kernel, _, server = await _stopped_for_300_ms("benchkit.serving.paced")
    assert server.max > 200
    assert kernel.p99 < 100


@pytest.mark.slow
async def test_a_load_that_breaks_gives_no_map():
    """When the worker dies, the test ends at once with an error, instead of with half a load."""
    with paced.start_stages([Stage(500.0, 9.0)], ramp_s=0.3) as server:
        load = asyncio.create_task(loaded(server, {**FIVE, "duration_s": 9}))
        await _until(lambda: server.log().requests)
        began = time.monotonic()
        _processes("benchkit.load.worker")[0].kill()
        with pytest.raises(LoadError):
            await load
        assert time.monotonic() - began < 7
