"""Runs in formats that others read."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchkit.analysis.imported import ImportedRun, import_points
from benchkit.errors import InvalidParameter
from benchkit.records.interop import recognise
from benchkit.records.interop.export import export
from benchkit.records.interop.imported_point import ImportedPoint, ImportedRequests, Stated
from benchkit.records.interop.request_rows import requests_table, token_columns

ROOT = Path(__file__).parents[3]
SAMPLES = (
    ROOT / "tests" / "data" / "vllm_bench" / "detailed.json",
    ROOT / "tests" / "data" / "vllm_bench" / "summary.json",
    ROOT / "tests" / "data" / "guidellm" / "benchmarks.json",
    ROOT / "tests" / "data" / "aiperf" / "profile_export_aiperf.json",
    ROOT / "params" / "article_sweep.csv",
)
DETAILED = SAMPLES[0]


def reread(tmp_path, run):
    path = tmp_path / "exported.json"
    path.write_text(json.dumps(export(run, "vllm"), allow_nan=False))
    [point] = import_points(path)
    return point


def run_of(*rows, end_ns=1_000_000_000, **told):
    requests = ImportedRequests(requests_table(rows), end_ns)
    return ImportedRun(ImportedPoint(name="own", tool="test", stated=Stated(), requests=requests, **told))


def test_vllm_results_survive_a_round_trip(tmp_path):
    """What vLLM wrote, read and written again, states the same numbers."""
    before = json.loads(DETAILED.read_text())
    after = export(import_points(DETAILED)[0].records, "vllm")
    for key in (
        "completed",
        "failed",
        "total_input_tokens",
        "total_output_tokens",
        "request_rate",
        "max_concurrency",
    ):
        assert after[key] == before[key]
    for key in ("duration", "request_throughput", "output_throughput", "total_token_throughput"):
        assert after[key] == pytest.approx(before[key], rel=1e-6)
    for name in ("ttft", "tpot", "itl", "e2el"):
        for statistic in ("mean", "median", "std", "p50", "p95", "p99"):
            key = f"{statistic}_{name}_ms"
            assert after[key] == pytest.approx(before[key], rel=1e-6)
    assert after["ttfts"] == pytest.approx(before["ttfts"], abs=1e-8)
    assert np.diff(after["start_times"]) == pytest.approx(np.diff(before["start_times"]), abs=1e-8)
    assert "generated_texts" not in after


def test_vllm_export_is_by_vllms_definitions():
    """Connecting is inside TTFT on a fresh connection, failures give no time, warm-up requests stay out."""
    ms = 1_000_000
    fresh = {"connect_start_ns": 5 * ms, "connected_ns": 9 * ms}
    events = token_columns(0.030, np.array([0.010, 0.020]), 3)
    rows = (
        {"phase": "warmup", "outcome": "ok", "sent_ns": 0, "end_ns": 4 * ms, "output_tokens": 9},
        {
            "outcome": "ok",
            "sent_ns": 10 * ms,
            "end_ns": 70 * ms,
            "output_tokens": 3,
            "prompt_tokens": 5,
            **fresh,
            **events,
        },
        {"outcome": "shed", "error_kind": "http_429", "sent_ns": 20 * ms, "end_ns": 21 * ms},
    )
    told = export(run_of(*rows, load="poisson", rate=2.0), "vllm")
    assert (told["completed"], told["failed"], told["num_prompts"]) == (1, 1, 2)
    assert told["ttfts"] == pytest.approx([0.025, 0.0])
    assert told["latencies"] == pytest.approx([0.055, 0.0])
    assert told["itls"] == [pytest.approx([0.010, 0.020]), []]
    assert told["mean_tpot_ms"] == pytest.approx(15.0)
    assert told["errors"] == ["", "http_429"]
    assert (told["duration"], told["request_throughput"]) == (1.0, 1.0)
    assert (told["request_rate"], told["burstiness"]) == (2.0, 1.0)
    assert min(told["start_times"]) > 0


def test_vllm_export_of_a_constant_rate_is_read_back(tmp_path):
    """Evenly spaced arrivals, vLLM's infinite burstiness, survive without a number that JSON lacks."""
    row = {
        "outcome": "ok",
        "sent_ns": 0,
        "end_ns": 9,
        "output_tokens": 1,
        "first_token_ns": 5,
        "last_token_ns": 5,
    }
    point = reread(tmp_path, run_of(row, load="constant", rate=3.0))
    assert (point.load, point.rate, point.count) == ("constant", 3.0, 1)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_llmd_reports_are_valid(path):
    """Every import, whatever it lacks, gives a report that llm-d's own schema accepts."""
    schema = pytest.importorskip(
        "llmd_benchmark_report.schema_v0_2", reason="pip install llmd-benchmark-report"
    )
    for point in recognise.read(path):
        run = ImportedRun(point)
        report = export(run, "llm-d")
        json.dumps(report, allow_nan=False)
        read = schema.BenchmarkReportV02.model_validate(report)
        assert read.version == "0.2.1"
        aggregate = read.results.request_performance.aggregate
        entry = run.summary["windows"]["whole"]["metrics"]["ttft_ms"]
        assert aggregate.latency.time_to_first_token.units == "ms"
        assert aggregate.latency.time_to_first_token.mean == entry["mean"]
        assert aggregate.latency.time_to_first_token.p99 == entry["p99"]
        rate = run.summary["windows"]["whole"]["rates"]["requests_per_s"]["value"]
        assert aggregate.throughput.request_rate.mean == rate


def test_llmd_reports_state_load_and_lengths():
    """Rate, tool, counts and lengths stand where llm-d looks for them, and the same run has the same id."""
    [point] = import_points(DETAILED)
    report, again = export(point.records, "llm-d"), export(point.records, "llm-d")
    load = report["scenario"]["load"]["standardized"]
    assert (load["tool"], load["rate_qps"], load["concurrency"]) == ("vllm bench", 20.0, 4)
    requests = report["results"]["request_performance"]["aggregate"]["requests"]
    assert (requests["total"], requests["failures"], requests["output_length"]["mean"]) == (24, 0, 16.0)
    assert report["run"]["uid"] == again["run"]["uid"]


def test_an_unknown_format_is_refused():
    """A format that is none names the nearest one."""
    with pytest.raises(InvalidParameter, match="did you mean 'llm-d'"):
        export(import_points(DETAILED)[0].records, "llmd")
