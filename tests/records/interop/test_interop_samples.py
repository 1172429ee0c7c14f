"""Every number that an importer derives and the file also states agrees with it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchkit.analysis.definitions import per_request
from benchkit.analysis.imported import ImportedRun, import_points
from benchkit.records.interop import recognise

DATA = Path(__file__).parents[2] / "data"
VLLM, VLLM_SUMMARY = DATA / "vllm_bench" / "detailed.json", DATA / "vllm_bench" / "summary.json"
GUIDELLM = DATA / "guidellm" / "benchmarks.json"
AIPERF = DATA / "aiperf" / "profile_export_aiperf.json"
RATES = {
    "request_throughput": "requests_per_s",
    "output_throughput": "output_tokens_per_s",
    "total_token_throughput": "total_tokens_per_s",
    "request_goodput": "goodput_per_s",
}


def load(path):
    return json.loads(path.read_text())


def statistics_of(point, metric):
    return point.summary["windows"]["whole"]["metrics"][metric]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("ttft", "ttft_ms"),
        ("itl", "chunk_gap_ms"),
        ("e2el", "latency_ms"),
        ("e2el_including_client_queue", "latency_from_schedule_ms"),
    ],
)
def test_vllm_statistics_are_derived_from_the_requests(theirs, ours):
    """Mean, median, percentiles and standard deviation of vLLM's file follow from the requests in it."""
    stated, [point] = load(VLLM), import_points(VLLM)
    found = statistics_of(point, ours)
    assert "source" not in found
    for key, statistic in {"mean": "mean", "median": "p50", "p50": "p50", "p95": "p95", "p99": "p99"}.items():
        assert found[statistic] == pytest.approx(stated[f"{key}_{theirs}_ms"], rel=1e-7)
    population = math.sqrt((found["count"] - 1) / found["count"])
    assert found["std"] * population == pytest.approx(stated[f"std_{theirs}_ms"], rel=1e-6)


def test_vllm_tpot_follows_by_its_formula():
    """A request's (latency - TTFT) / (tokens - 1) gives the TPOT that the file states."""
    stated, [point] = load(VLLM), import_points(VLLM)
    tpot = per_request(point.records.requests, point.records.chunks, "vllm")["tpot_ms"]
    assert tpot.mean() == pytest.approx(stated["mean_tpot_ms"], rel=1e-7)
    assert np.percentile(tpot, 99) == pytest.approx(stated["p99_tpot_ms"], rel=1e-7)
    assert statistics_of(point, "tpot_ms")["source"] == "stated"


def test_vllm_counts_and_totals_follow_from_the_requests():
    """Completed requests, tokens and rates of vLLM's file are those of its requests over its duration."""
    stated, [point] = load(VLLM), import_points(VLLM)
    requests = point.records.requests
    assert point.count == len(requests) == stated["completed"]
    assert requests["prompt_tokens"].sum() == stated["total_input_tokens"]
    assert requests["output_tokens"].sum() == stated["total_output_tokens"]
    assert point.count / stated["duration"] == pytest.approx(point.requests_per_s)
    for theirs, ours in RATES.items():
        assert point.rate_of(ours) == stated[theirs]
    flight = point.statistic("in_flight", "mean")
    assert flight == pytest.approx(sum(stated["latencies"]) / stated["duration"], rel=1e-6)
    assert point.statistic("in_flight", "max") == stated["max_concurrency"]


def test_vllm_numbers_are_those_that_it_printed():
    """What vLLM printed of the same run is what is read of its file, to the printed digits."""
    lines = (DATA / "vllm_bench" / "console.txt").read_text().splitlines()
    printed = {
        label.strip(): float(value) for label, _, value in (line.partition(":") for line in lines) if value
    }
    [point] = import_points(VLLM)
    expected = {
        "Successful requests": point.count,
        "Request throughput (req/s)": point.requests_per_s,
        "Output token throughput (tok/s)": point.rate_of("output_tokens_per_s"),
        "Total token throughput (tok/s)": point.rate_of("total_tokens_per_s"),
        "Benchmark duration (s)": point.summary["windows"]["whole"]["length_s"],
    }
    names = {"TTFT": "ttft_ms", "TPOT": "tpot_ms", "ITL": "itl_ms", "E2EL": "latency_ms"}
    for short, ours in names.items():
        for label, statistic in {"Mean": "mean", "Median": "p50", "P95": "p95", "P99": "p99"}.items():
            expected[f"{label} {short} (ms)"] = point.statistic(ours, statistic)
    assert {label: printed[label] for label in expected} == pytest.approx(expected, abs=0.00501)


def test_vllm_summary_completes_from_the_arrays_it_has():
    """A file without details gives what it states, and the latencies that it lists."""
    stated, [point] = load(VLLM_SUMMARY), import_points(VLLM_SUMMARY)
    assert point.records is None
    assert point.load == "throughput"
    for name in ("ttft", "tpot", "itl"):
        found = statistics_of(point, f"{name}_ms")
        assert found["mean"] == stated[f"mean_{name}_ms"]
        assert found["p99"] == stated[f"p99_{name}_ms"]
        assert found["p90"] is None
    latencies = np.array(stated["latencies"]) * 1e3
    assert statistics_of(point, "latency_ms")["p99"] == pytest.approx(np.percentile(latencies, 99))
    assert point.mean_in_flight == pytest.approx(latencies.sum() / 1e3 / stated["duration"])
    assert any("--save-detailed" in note for note in point.notes)


def test_aiperf_statistics_are_taken_as_stated():
    """Each metric of AIPerf's summary that we have a name for comes with all its statistics."""
    stated, [point] = load(AIPERF), import_points(AIPERF)
    for theirs, ours in {
        "time_to_first_token": "ttft_ms",
        "inter_token_latency": "itl_ms",
        "inter_chunk_latency": "chunk_gap_ms",
        "request_latency": "latency_ms",
    }.items():
        found = statistics_of(point, ours)
        assert found["mean"] == stated[theirs]["avg"]
        assert found["count"] == stated[theirs]["count"]
        for key in ("std", "min", "max", "p25", "p50", "p90", "p99"):
            assert found[key] == stated[theirs][key]
    assert point.requests_per_s == stated["request_throughput"]["avg"]
    assert point.count == stated["request_count"]["avg"]
    whole = point.summary["windows"]["whole"]
    assert whole["totals"]["output_tokens"] / whole["length_s"] == pytest.approx(
        point.rate_of("output_tokens_per_s")
    )
    # The time that its rates are over lies within a tenth of a percent of the duration that it states.
    assert whole["length_s"] == pytest.approx(stated["benchmark_duration"]["avg"], rel=1e-3)
    assert (point.load, point.concurrency, point.rate) == ("concurrent", 100, None)


def test_guidellm_statistics_are_taken_as_stated_where_requests_are_missing():
    """A report that lists 12 of 60 requests gives the statistics of all 60, and no records."""
    stated, [point] = load(GUIDELLM)["benchmarks"][0]["metrics"], import_points(GUIDELLM)
    assert point.records is None
    assert any("12 of 60" in note for note in point.notes)
    for theirs, ours, factor in (
        ("time_to_first_token_ms", "ttft_ms", 1),
        ("inter_token_latency_ms", "itl_ms", 1),
        ("request_latency", "latency_ms", 1e3),
        ("request_scheduled_latency", "latency_from_schedule_ms", 1e3),
        ("request_dispatch_delay", "lateness_ms", 1e3),
    ):
        found, said = statistics_of(point, ours), stated[theirs]["successful"]
        assert found["mean"] == pytest.approx(said["mean"] * factor)
        assert found["std"] == pytest.approx(said["std_dev"] * factor)
        assert found["count"] == said["count"]
        percentiles = {"p1": "p01", "p0_1": "p001", "p50": "p50", "p95": "p95", "p99": "p99", "p99_9": "p999"}
        for name, key in percentiles.items():
            assert found[name] == pytest.approx(said["percentiles"][key] * factor)
    assert (point.load, point.rate, point.concurrency) == ("constant", 10.0, None)
    assert point.requests_per_s == stated["requests_per_second"]["successful"]["mean"]
    assert statistics_of(point, "tpot_ms")["mean"] is None


def test_guidellm_requests_agree_with_what_each_states(tmp_path):
    """TTFT, ITL, latency and delay of a listed request follow from its times."""
    report = load(GUIDELLM)
    benchmark = report["benchmarks"][0]
    listed = benchmark["requests"]["successful"]
    benchmark["metrics"]["request_totals"]["successful"] = len(listed)
    (tmp_path / "all.json").write_text(json.dumps(report))
    [point] = import_points(tmp_path / "all.json")
    requests = point.records.requests
    ok = (requests["outcome"] == "ok").to_numpy()
    ours = per_request(requests, point.records.chunks)[ok]
    # A time of today in s since 1970 is a float with steps of 0.24 us.
    near = {"abs": 2e-3}
    assert ours["ttft_ms"].to_list() == pytest.approx([r["time_to_first_token_ms"] for r in listed], **near)
    assert ours["latency_ms"].to_list() == pytest.approx([r["request_latency"] * 1e3 for r in listed], **near)
    assert ours["latency_from_schedule_ms"].to_list() == pytest.approx(
        [r["request_scheduled_latency"] * 1e3 for r in listed], **near
    )
    assert ours["lateness_ms"].to_list() == pytest.approx(
        [r["request_dispatch_delay"] * 1e3 for r in listed], **near
    )
    pace = (requests["last_token_ns"] - requests["first_token_ns"]) / (requests["output_tokens"] - 1) / 1e6
    assert pace[ok].to_list() == pytest.approx([r["inter_token_latency_ms"] for r in listed], **near)
    assert (~ok).sum() == point.summary["requests"]["incomplete"] == 1
    assert statistics_of(point, "itl_ms")["source"] == "stated"


@pytest.mark.parametrize("path", [VLLM, VLLM_SUMMARY, GUIDELLM, AIPERF], ids=lambda path: path.parent.name)
def test_what_a_file_lacks_is_null(path):
    """Every metric and statistic is there, null where nobody measured it, and the verdict is never 'valid'."""
    for point in recognise.read(path):
        summary = ImportedRun(point).summary
        assert summary["validity"]["verdict"] in ("suspect", "invalid")
        assert summary["validity"]["reasons"][-1]["name"] == "other_client"
        assert summary["windows"]["whole"]["metrics"]["connect_ms"]["mean"] is None
        assert summary["windows"]["whole"]["metrics"]["ttft_text_ms"]["count"] == 0
        json.dumps(summary, allow_nan=False)
