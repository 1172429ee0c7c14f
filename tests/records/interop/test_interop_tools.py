"""Tools of which no sample is at hand, by the layouts that their sources and documents describe."""

import json

import numpy as np
import pytest

from benchkit.analysis.imported import import_points
from benchkit.errors import ForeignFileError
from benchkit.records.interop import recognise

START_NS = 1_795_486_654_000_000_123


def write(path, *values):
    path.write_text("\n".join(json.dumps(value) for value in values) + "\n")
    return path


def aiperf_record(at, *, phase="profiling", start_ms=0.0, error=None, cancelled=False, chunks=(5.0, 6.0)):
    start = START_NS + round(start_ms * 1e6)
    latency = 40.0 + sum(chunks)
    metrics = {
        "input_sequence_length": {"value": 50, "unit": "tokens"},
        "output_sequence_length": {"value": len(chunks) + 1, "unit": "tokens"},
        "time_to_first_token": {"value": 40.0, "unit": "ms"},
        "request_latency": {"value": latency, "unit": "ms"},
        "inter_chunk_latency": {"value": list(chunks), "unit": "ms"},
    }
    return {
        "metadata": {
            "session_num": at,
            "turn_index": 0,
            "credit_issued_ns": start - 200_000,
            "request_start_ns": start,
            "request_ack_ns": start + 1_000_000,
            "request_end_ns": start + round(latency * 1e6),
            "benchmark_phase": phase,
            "was_cancelled": cancelled,
        },
        "metrics": {} if error else metrics,
        "error": error,
    }


def aiperf_summary(ok, throughput):
    return {
        "schema_version": "1.4",
        "aiperf_version": "0.13.0",
        "request_count": {"unit": "requests", "avg": ok},
        "request_throughput": {"unit": "requests/sec", "avg": throughput},
        "request_latency": {"unit": "ms", "avg": 51.0, "p99": 51.0, "count": ok},
        "input_config": {
            "loadgen": {"request_rate": 4.0, "request_rate_mode": "poisson"},
            "endpoint": {"model_names": ["m"], "urls": ["http://h:1"]},
        },
        "error_summary": [],
    }


def test_aiperf_records_become_requests(tmp_path):
    """Lines of AIPerf's records give requests and events, to the ns, with warm-up apart and failures named."""
    records = [
        aiperf_record(0, phase="warmup", start_ms=-100),
        aiperf_record(1),
        aiperf_record(2, start_ms=20, chunks=(5.0, 7.5, 0.0)),
        aiperf_record(3, start_ms=30, error={"code": 429, "type": "X", "message": "slow down"}),
        aiperf_record(
            4, start_ms=40, error={"code": 499, "type": "X", "message": "cancelled"}, cancelled=True
        ),
    ]
    [point] = import_points(write(tmp_path / "profile_export.jsonl", *records))
    requests, chunks = point.records.requests, point.records.chunks
    assert requests["phase"].to_list() == ["warmup", *["window"] * 4]
    assert requests["outcome"].to_list() == ["ok", "ok", "ok", "shed", "interrupted"]
    assert requests["sent_ns"].to_list() == [-100_000_000, 0, 20_000_000, 30_000_000, 40_000_000]
    assert (requests["sent_ns"] - requests["scheduled_ns"]).to_list() == [200_000] * 5
    assert chunks.ns[chunks.offsets[2] : chunks.offsets[3]].tolist() == [
        60_000_000,
        65_000_000,
        72_500_000,
        72_500_000,
    ]
    assert chunks.known[:3].all()
    assert point.statistic("ttft_ms", "mean") == pytest.approx(40.0)
    # Latencies of 51 and 52.5 ms beside one that was cut: half of all had ended with the longer of the two.
    assert point.statistic("latency_ms", "p50") == pytest.approx(52.5)
    assert point.statistic("itl_ms", "max") == pytest.approx(7.5)
    assert point.count == 2
    assert point.records.manifest["imported"]["requests"] is True


def test_aiperf_files_side_by_side_are_one_load(tmp_path):
    """The summary gives load and rates to the records that lie beside it, and the records give it requests."""
    write(tmp_path / "profile_export.jsonl", aiperf_record(0), aiperf_record(1, start_ms=20))
    write(tmp_path / "profile_export_aiperf.json", aiperf_summary(2, 30.0))
    for name in ("profile_export.jsonl", "profile_export_aiperf.json"):
        [point] = import_points(tmp_path / name)
        assert (point.load, point.rate, point.requests_per_s) == ("poisson", 4.0, 30.0)
        assert len(point.records.requests) == 2
        assert point.summary["windows"]["whole"]["rates"]["requests_per_s"]["source"] == "stated"


def test_aiperf_records_without_a_time_are_refused(tmp_path):
    """Records of the warm-up alone, or with times that are none, are damaged."""
    path = write(tmp_path / "profile_export.jsonl", aiperf_record(0, phase="warmup"))
    with pytest.raises(ForeignFileError, match="no record of the phase 'profiling'"):
        recognise.read(path)
    odd = aiperf_record(0)
    odd["metadata"]["request_start_ns"] = 1.5
    with pytest.raises(ForeignFileError, match=r"metadata\.request_start_ns is no time"):
        recognise.read(write(tmp_path / "odd.jsonl", odd))


def test_genai_perf_is_read_as_its_successor(tmp_path):
    """genai-perf's file has the same statistics, and its own place for the load."""
    summary = {
        "request_throughput": {"unit": "requests/sec", "avg": 12.5},
        "request_latency": {"unit": "ms", "avg": 100.0, "p99": 120.0},
        "time_to_first_token": {"unit": "ms", "avg": 10.0, "p50": 9.0},
        "inter_token_latency": {"unit": "ms", "avg": 5.0},
        "output_token_throughput": {"unit": "tokens/sec", "avg": 700.0},
        "input_config": {
            "model_names": ["gpt"],
            "endpoint": {"url": "localhost:8000"},
            "perf_analyzer": {"stimulus": {"concurrency": 4}},
        },
    }
    [point] = import_points(write(tmp_path / "profile_export_genai_perf.json", summary))
    assert (point.tool, point.load, point.concurrency) == ("genai-perf", "concurrent", 4)
    assert point.statistic("ttft_ms", "p50") == 9.0
    assert point.rate_of("output_tokens_per_s") == 700.0
    assert point.count is None
    assert point.mean_in_flight is None


def inference_perf_stage(rate, **load):
    return {
        "benchmark_time_seconds": 10.0,
        "load_summary": {
            "count": 42,
            "schedule_delay": {"mean": 0.001, "median": 0.0009, "p99": 0.004},
            "requested_rate": rate,
            "achieved_rate": rate * 0.99,
            **load,
        },
        "successes": {
            "count": 40,
            "latency": {
                "request_latency": {
                    "mean": 2.0,
                    "min": 1.0,
                    "p0.1": 1.0,
                    "median": 1.9,
                    "p99": 3.0,
                    "p99.9": 3.1,
                },
                "time_to_first_token": {"mean": 0.1, "median": 0.09, "p99": 0.3},
                "time_per_output_token": {"mean": 0.02},
                "inter_token_latency": {"mean": 0.019},
                "normalized_time_per_output_token": {"mean": 0.025},
            },
            "throughput": {
                "input_tokens_per_sec": 100.0,
                "output_tokens_per_sec": 400.0,
                "total_tokens_per_sec": 500.0,
                "requests_per_sec": 4.0,
            },
            "prompt_tokens": {"total": 1000.0},
            "output_tokens": {"total": 4000.0},
        },
        "failures": {"count": 2, "request_latency": {"mean": 1.0}},
    }


def test_inference_perf_stages_of_a_folder_in_order(tmp_path):
    """A folder of reports gives a point a stage, by number, in ms, without its summary of all."""
    for stage in (10, 2):
        write(tmp_path / f"stage_{stage}_lifecycle_metrics.json", inference_perf_stage(float(stage)))
    write(tmp_path / "summary_lifecycle_metrics.json", inference_perf_stage(1.0))
    assert recognise.is_foreign(tmp_path)
    points = import_points(tmp_path)
    assert [point.rate for point in points] == [2.0, 10.0]
    first = points[0]
    assert first.statistic("ttft_ms", "p50") == pytest.approx(90.0)
    assert first.statistic("latency_ms", "p99_9") == pytest.approx(3100.0)
    assert first.statistic("latency_ms", "p0_1") == pytest.approx(1000.0)
    assert first.statistic("lateness_ms", "p99") == pytest.approx(4.0)
    assert first.statistic("normalized_latency_ms", "mean") == pytest.approx(25.0)
    assert (first.requests_per_s, first.count, first.summary["requests"]["failed"]) == (4.0, 40, 2)
    # Nobody states how long the failed ones took.
    assert first.mean_in_flight is None


def test_inference_perf_concurrency_and_summary(tmp_path):
    """A stage at a concurrency is a closed loop; a summary of all stages says that it is no one load."""
    report = inference_perf_stage(1.0, concurrency=8)
    report["failures"]["count"] = 0
    [point] = import_points(write(tmp_path / "stage_0_lifecycle_metrics.json", report))
    assert (point.load, point.concurrency, point.rate) == ("concurrent", 8, None)
    assert point.mean_in_flight == pytest.approx(40 * 2.0 / 10.0)
    report["load_summary"] = {"count": 40}
    [point] = import_points(write(tmp_path / "summary_lifecycle_metrics.json", report))
    assert any("no one load" in note for note in point.notes)


def sglang_line(rate, *, details):
    line = {
        "backend": "sglang",
        "dataset_name": "random",
        "request_rate": rate,
        "max_concurrency": None,
        "server_info": {"model_path": "llama"},
        "duration": 2.0,
        "completed": 3,
        "total_input_tokens": 30,
        "total_output_tokens": 9,
        "total_output_tokens_retokenized": 9,
        "request_throughput": 1.5,
        "output_throughput": 4.5,
        "total_throughput": 19.5,
        "mean_e2e_latency_ms": 100.0,
        "median_e2e_latency_ms": 99.0,
        "p99_e2e_latency_ms": 130.0,
        "mean_ttft_ms": 20.0,
        "median_ttft_ms": 19.0,
        "p99_ttft_ms": 29.0,
        "mean_itl_ms": 5.0,
        "p95_itl_ms": 6.0,
        "max_itl_ms": 9.0,
        "concurrency": 0.15,
    }
    arrays = {
        "input_lens": [10, 10, 10, 10],
        "output_lens": [3, 3, 3, 0],
        "ttfts": [0.01, 0.02, 0.03, 0.0],
        "itls": [[0.005, 0.006]] * 3 + [[]],
        "errors": ["", "", "", "Connection refused"],
        "generated_texts": ["a", "b", "c", ""],
    }
    return line | (arrays if details else {})


def test_sglang_lines_are_points(tmp_path):
    """Each line is a load; an infinite rate is full throughput; details complete what is not stated."""
    path = write(
        tmp_path / "sglang.jsonl",
        sglang_line(4.0, details=True),
        sglang_line(float("inf"), details=False),
        sglang_line("trace", details=False),
    )
    points = import_points(path)
    assert [point.load for point in points] == ["poisson", "throughput", ""]
    assert [point.name for point in points] == ["sglang.jsonl#1", "sglang.jsonl#2", "sglang.jsonl#3"]
    first = points[0]
    assert (first.rate, first.requests_per_s, first.mean_in_flight) == (4.0, 1.5, 0.15)
    # Stated numbers stand, the missing ones come from the arrays of the requests that ended well.
    assert first.statistic("ttft_ms", "mean") == 20.0
    assert first.statistic("ttft_ms", "max") == pytest.approx(30.0)
    assert first.statistic("itl_ms", "p50") == pytest.approx(np.median([5.0, 6.0] * 3))
    assert first.statistic("itl_ms", "max") == 9.0
    assert first.summary["requests"]["failed"] == 1
    assert points[1].statistic("ttft_ms", "max") is None
    assert first.records is None


def test_vllm_lines_and_lists_are_points(tmp_path):
    """Results that were appended, one a line or in a list, are points each."""
    result = {
        "model_id": "m",
        "num_prompts": 2,
        "duration": 1.0,
        "completed": 2,
        "failed": 0,
        "request_throughput": 2.0,
    }
    lines = [
        result | {"request_rate": "inf", "max_concurrency": 1},
        result | {"request_rate": "inf", "max_concurrency": 16},
        result | {"request_rate": 3.0, "burstiness": 0.5, "max_concurrency": 64},
        result | {"request_rate": 3.0, "burstiness": float("inf")},
        result | {"request_rate": 3.0, "ramp_up_strategy": "linear"},
        {key: value for key, value in result.items() if key != "failed"},
    ]
    points = import_points(write(tmp_path / "all.json", *lines))
    assert [(point.load, point.rate, point.concurrency) for point in points] == [
        ("synchronous", None, 1),
        ("concurrent", None, 16),
        ("gamma", 3.0, None),
        ("constant", 3.0, None),
        ("", None, None),
        ("", None, None),
    ]
    assert import_points(write(tmp_path / "list.json", lines))[2].rate == 3.0
    [alone] = import_points(write(tmp_path / "one.json", lines[0]))
    assert alone.name == "one.json"
    assert alone.summary["requests"]["shed"] is None


def test_the_rust_client_of_vllm_is_read(tmp_path):
    """What the Rust client adds is a fact, and its failed requests without a start are failed."""
    result = {
        "model_id": "m",
        "request_rate": "inf",
        "max_concurrency": 2,
        "duration": 1.0,
        "completed": 1,
        "failed": 1,
        "request_throughput": 1.0,
        "input_lens": [4, 4],
        "output_lens": [2, 0],
        "ttfts": [0.1, 0.0],
        "itls": [[0.02], []],
        "errors": ["", "connection refused"],
        "latencies": [0.12, 0.0],
        "start_times": [7.5, 0.0],
        "steady_state": {"start": 0.1, "mean_ttft_ms": 3.0},
        "server_ttfts": [0.09, None],
        "failed_requests": [{"error": "connection refused"}],
    }
    path = write(tmp_path / "rust.json", result)
    [read] = recognise.read(path)
    assert read.facts["steady_state"] == {"start": 0.1, "mean_ttft_ms": 3.0}
    [point] = import_points(path)
    requests = point.records.requests
    assert requests["sent_ns"].isna().to_list() == [False, True]
    assert requests["outcome"].to_list() == ["ok", "failed"]
    assert requests["error_kind"][1] == "refused"
    assert point.records.chunks.known.tolist() == [True, False]
    assert point.statistic("itl_ms", "mean") == pytest.approx(20.0)
    assert point.statistic("tpot_ms", "mean") == pytest.approx(20.0)
