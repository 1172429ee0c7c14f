"""The sampler, the host's readings and their table."""

import asyncio
import json
import time
from itertools import pairwise

import pytest

from benchkit.records.schema import TELEMETRY
from benchkit.telemetry.host import HostReader, host_sampler
from benchkit.telemetry.sample import Reading, Sample, to_table
from benchkit.telemetry.sampler import GIVES_UP_AFTER, Sampler


async def test_a_block_has_samples_at_both_its_ends():
    """The first sample is there on entry, the last is taken on exit, times count from the run's start."""
    started_ns = time.monotonic_ns()
    async with Sampler(
        lambda: [Reading("a", "{}", 1.0)], "host", started_ns=started_ns, interval_s=60
    ) as sampler:
        assert len(sampler.samples) == 1
        await asyncio.sleep(0.05)
    first, last = sampler.samples

    assert 0 <= first.time_ns < last.time_ns <= time.monotonic_ns() - started_ns
    assert last.time_ns - first.time_ns >= 50_000_000
    assert first[1:] == ("host", "a", "{}", 1.0)


async def test_slow_readings_skip_beats():
    """A reading that takes longer than the interval is not followed by a burst that makes up for it."""
    taken = []

    def read():
        taken.append(time.monotonic())
        time.sleep(0.05)
        return []

    async with Sampler(read, "server", started_ns=0, interval_s=0.02):
        await asyncio.sleep(0.3)

    assert 2 <= len(taken) <= 9
    assert min(later - earlier for earlier, later in pairwise(taken)) >= 0.045


async def test_a_source_that_fails_is_left_alone():
    """Errors are counted and kept as text; after a few in a row the source is not asked any more."""
    asked = []

    def read():
        asked.append(1)
        raise ConnectionRefusedError("nobody there")

    async with Sampler(read, "server", started_ns=0, interval_s=0.001) as sampler:
        await asyncio.sleep(0.2)

    assert len(asked) == sampler.failures == GIVES_UP_AFTER
    assert sampler.last_error == "ConnectionRefusedError: nobody there"
    assert sampler.samples == []


async def test_a_source_may_recover():
    """One failure among readings loses just that reading."""
    answers = iter([1.0, None, 2.0])

    def read():
        value = next(answers)
        if value is None:
            raise OSError("once")
        return [Reading("a", "{}", value)]

    sampler = Sampler(read, "server", started_ns=0)
    for _ in range(3):
        await sampler._sample()

    assert [sample.value for sample in sampler.samples] == [1.0, 2.0]
    assert sampler.failures == 1


async def test_the_end_does_not_wait_for_a_source_that_hangs(monkeypatch):
    """A last reading that does not come is given up after its time."""
    monkeypatch.setattr("benchkit.telemetry.sampler.LAST_SAMPLE_S", 0.05)
    naps = iter([0, 0.3])

    def read():
        time.sleep(next(naps))
        return []

    began = time.monotonic()
    async with Sampler(read, "server", started_ns=0, interval_s=60):
        pass

    assert time.monotonic() - began < 0.25


def test_the_hosts_readings():
    """Busy and stolen shares are within 0 and 100 %, for all cores and for each."""
    reader = HostReader()
    states = {reading.name for reading in reader()}
    deadline = time.monotonic() + 0.1
    while time.monotonic() < deadline:
        pass
    readings = list(reader())
    by_name = {(r.name, r.labels): r.value for r in readings}
    cores = [value for (name, labels), value in by_name.items() if name == "cpu_percent" and labels != "{}"]

    assert states == {"memory_available_bytes", "memory_percent", "load_1min"}
    assert cores
    assert all(0 <= value <= 100 for value in cores)
    assert 0 < by_name["cpu_percent", "{}"] <= 100
    assert 0 <= by_name["steal_percent", "{}"] <= 100
    assert by_name["context_switches_per_s", "{}"] > 0
    assert by_name["memory_available_bytes", "{}"] > 1e6


async def test_the_host_is_sampled_cheaply():
    """A reading of the host takes little of the processor: it runs beside a measurement."""
    async with host_sampler(started_ns=time.monotonic_ns(), interval_s=60) as sampler:
        before = time.process_time()
        for _ in range(20):
            await sampler._sample()
        spent_s = (time.process_time() - before) / 20
        await asyncio.sleep(0.05)  # processor times come in steps of 10 ms

    assert spent_s < 0.02
    assert {"cpu_percent", "steal_percent"} <= {sample.name for sample in sampler.samples}


@pytest.mark.parametrize("count", [0, 3])
def test_samples_make_a_table(count):
    """The table has the schema of telemetry.parquet and is in the order of time."""
    samples = [Sample(count - at, "server", "a", json.dumps({"x": "1"}), float(at)) for at in range(count)]
    table = to_table(samples)

    assert table.schema.equals(TELEMETRY, check_metadata=True)
    assert table.column("time_ns").to_pylist() == sorted(sample.time_ns for sample in samples)
