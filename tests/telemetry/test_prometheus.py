"""Parsing /metrics, and the server's own means over a window."""

import asyncio
import time
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.serving import simulated
from benchkit.telemetry.prometheus import (
    metrics_sampler,
    parse,
    series,
    start_in,
    window_increase,
    window_mean,
)
from benchkit.telemetry.sample import Reading, Sample

PAGE = """# HELP vllm:num_requests_running Requests in the batch.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m {x}"} 3.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.01",model_name="m {x}"} 1.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="m {x}"} 4.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m {x}"} 0.5
vllm:time_to_first_token_seconds_created{engine="0",model_name="m {x}"} 1.7e+09
python_gc_objects_collected_total{generation="0"} 5.0
process_resident_memory_bytes 1e+08
"""


def histogram(*points, name="h", labels="{}"):
    """Samples of a histogram: (time, count, sum)."""
    samples = []
    for time_ns, count, total in points:
        samples.append(Sample(time_ns, "server", f"{name}_count", labels, count))
        samples.append(Sample(time_ns, "server", f"{name}_sum", labels, total))
    return samples


def test_a_page_is_read_without_its_buckets():
    """Gauges, counters, sums and counts stay, with labels as sorted JSON; buckets and the rest go."""
    labels = '{"engine": "0", "model_name": "m {x}"}'

    assert list(parse(PAGE)) == [
        Reading("vllm:num_requests_running", labels, 3.0),
        Reading("vllm:time_to_first_token_seconds_count", labels, 4.0),
        Reading("vllm:time_to_first_token_seconds_sum", labels, 0.5),
        Reading("process_resident_memory_bytes", "{}", 1e8),
    ]


def test_the_mean_of_a_window():
    """Change of sum over change of count, between the samples that surround the window."""
    samples = histogram((0, 0, 0.0), (10, 4, 2.0), (20, 8, 12.0), (30, 10, 13.0), (40, 90, 99.0))

    mean = window_mean(samples, "h", 12, 28)

    assert mean == ((13.0 - 2.0) / 6, 6, 10, 30)


def test_the_outermost_samples_serve_a_wider_window():
    """A window beyond the samples uses all of them."""
    samples = histogram((5, 1, 1.0), (10, 3, 5.0))

    assert window_mean(samples, "h", 0, 100) == (2.0, 2, 5, 10)


def test_series_are_added_up():
    """Engines of one server that differ in labels count together."""
    samples = histogram((0, 0, 0.0), (10, 2, 2.0), labels='{"engine": "0"}')
    samples += histogram((0, 0, 0.0), (10, 2, 6.0), labels='{"engine": "1"}')

    assert window_mean(samples, "h", 0, 10) == (2.0, 4, 0, 10)
    assert series(samples, "h_count") == {0: 0.0, 10: 4.0}
    assert window_increase(samples, "h_count", 0, 10) == 4.0


@pytest.mark.parametrize(
    "samples",
    [
        [],
        histogram((0, 5, 1.0)),
        histogram((0, 5, 1.0), (10, 5, 1.0)),
        histogram((0, 5, 1.0), (10, 2, 0.4)),
        histogram((0, 5, 1.0), (10, 7, 3.0))[:-1],
    ],
)
def test_no_mean_where_there_is_none(samples):
    """No samples, one, nothing observed, a restarted server, a sum that is missing: None."""
    assert window_mean(samples, "h", 0, 10) is None


@given(st.dictionaries(st.integers(0, 1000), st.floats(0.001, 1.0), min_size=1, max_size=20))
def test_the_mean_lies_between_what_was_observed(observed):
    """Whatever is observed between samples, the mean is within its range and the counts add up."""
    points, count, total = [(-1, 0, 0.0)], 0, 0.0
    for time_ns, value in sorted(observed.items()):
        count, total = count + 1, total + value
        points.append((time_ns, count, total))
    mean = window_mean(histogram(*points), "h", -1, 1000)

    assert mean.observations == len(observed)
    values = observed.values()
    assert min(values) - 1e-9 <= mean.mean <= max(values) + 1e-9


async def test_the_embedded_servers_own_ttft(tmp_path, monkeypatch):
    """Sampled beside requests, the server's mean TTFT is the one that it was told to have."""
    monkeypatch.setenv("BENCHKIT_STATE_DIR", str(tmp_path))
    with simulated.start(server_args={"ttft_ms": 30, "gap_ms": 1}) as server:

        def fetch():
            with urllib.request.urlopen(f"{server.url}/metrics", timeout=5) as answer:
                return answer.read().decode()

        def ask():
            body = b'{"prompt": "a", "max_tokens": 4, "ignore_eos": true}'
            request = urllib.request.Request(f"{server.url}/v1/completions", body)
            with urllib.request.urlopen(request, timeout=5) as answer:
                answer.read()

        started_ns = time.monotonic_ns()
        async with metrics_sampler(fetch, started_ns=started_ns, interval_s=0.05) as sampler:
            for _ in range(5):
                await asyncio.to_thread(ask)
            ended_ns = time.monotonic_ns() - started_ns
    ttft = window_mean(sampler.samples, "vllm:time_to_first_token_seconds", 0, ended_ns)
    latency = window_mean(sampler.samples, "vllm:e2e_request_latency_seconds", 0, ended_ns)

    assert (ttft.observations, latency.observations) == (5, 5)
    assert ttft.mean == pytest.approx(0.030, abs=1e-6)
    assert latency.mean == pytest.approx(0.033, abs=1e-6)
    assert window_increase(sampler.samples, "vllm:generation_tokens_total", 0, ended_ns) == 20
    assert len(series(sampler.samples, "vllm:num_requests_running")) >= 4
    assert sampler.failures == 0


def test_a_page_tells_when_its_server_began():
    """The start of the server's process is read from its page; of several processes the first; else it is unknown."""
    page = "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1.7e+09\n"
    assert start_in(parse(page)) == 1.7e9
    assert (
        start_in(parse('process_start_time_seconds{pid="2"} 9.0\nprocess_start_time_seconds{pid="1"} 8.0\n'))
        == 8.0
    )
    assert start_in(parse("other 1.0\n")) is None
