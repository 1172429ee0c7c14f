"""Files come from strangers: whatever is wrong with one is told, with its name and what to do."""

import copy
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.analysis.imported import ImportedRun, import_points
from benchkit.errors import ForeignFileError
from benchkit.records.interop import documents, recognise
from benchkit.records.interop.export import FORMATS, export

DATA = Path(__file__).parents[2] / "data"
SAMPLES = {
    path.parent.name + "-" + path.stem: path.read_text()
    for path in (
        DATA / "vllm_bench" / "detailed.json",
        DATA / "vllm_bench" / "summary.json",
        DATA / "guidellm" / "benchmarks.json",
        DATA / "aiperf" / "profile_export_aiperf.json",
    )
}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ('{"benchmarks": [', "ends too early"),
        ('{"a": 1,, "b": 2}', "not JSON"),
        ("[]", "of no kind"),
        ("17", "of no kind"),
        ('{"hello": "world"}', "begins with hello"),
        ("[" * 100_000, "nested too deeply|ends too early"),
        ('{"benchmarks": [], "metadata": {"version": 1}}', "version 1, and version 2 is read"),
        ('{"benchmarks": [{}], "args": {}}', "early version"),
        ('{"benchmarks": [], "metadata": {"version": 2}}', "holds no benchmark"),
        ('{"benchmarks": [{}], "metadata": {"version": 2}}', r"benchmarks\[0\]\.metrics is missing"),
        ('{"request_throughput": 1, "completed": 3, "model_id": "m"}', "duration is missing"),
        (
            '{"request_throughput": 1, "completed": "x", "model_id": "m", "duration": 1}',
            "completed is not a number",
        ),
        ('{"request_throughput": 1, "completed": 1.5, "model_id": "m", "duration": 1}', "not a whole number"),
        (
            '{"request_throughput": 1, "completed": 3, "model_id": "m", "input_sequence_throughput": 2}',
            "for embeddings",
        ),
        (
            '{"load_summary": {"count": 1}, "successes": {}, "failures": {}}',
            "successes.count is missing",
        ),
        (
            '{"request_throughput": {"avg": 1}, "request_latency": {"avg": 1, "unit": "fortnights"}}',
            "no unit of time",
        ),
    ],
)
def test_errors_name_the_file_and_what_is_wrong(tmp_path, text, says):
    """A damaged, older or unknown file is refused in words that name it."""
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(ForeignFileError, match=says) as caught:
        recognise.read(path)
    assert "result.json" in str(caught.value)


def test_a_missing_file_and_an_empty_folder_are_told(tmp_path):
    """A path that is not there, or holds nothing that is known, is an error of its own."""
    with pytest.raises(ForeignFileError, match="cannot be read"):
        recognise.read(tmp_path / "none.json")
    with pytest.raises(ForeignFileError, match="holds no result"):
        recognise.read(tmp_path)
    assert not recognise.is_foreign(tmp_path)
    assert not recognise.is_foreign(tmp_path / "none.json")


def test_bytes_that_are_no_text_are_told(tmp_path):
    """A binary file is no result."""
    path = tmp_path / "result.json"
    path.write_bytes(b"\xff\xfe\x00{}")
    with pytest.raises(ForeignFileError, match="no UTF-8"):
        recognise.read(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    """Size is checked before anything is read."""
    monkeypatch.setattr(documents, "LARGEST_BYTES", 100)
    path = tmp_path / "result.json"
    path.write_text(SAMPLES["vllm_bench-summary"])
    with pytest.raises(ForeignFileError, match="too large"):
        recognise.read(path)


def test_the_line_of_a_damaged_jsonl_is_named(tmp_path):
    """In a file of one object a line, the damaged line is told."""
    line = json.dumps(json.loads(SAMPLES["vllm_bench-summary"]))
    path = tmp_path / "all.jsonl"
    path.write_text(f"{line}\n{line}\n{line[:200]}\n")
    with pytest.raises(ForeignFileError, match="line 3 is not JSON"):
        recognise.read(path)


def test_arrays_of_different_lengths_are_told(tmp_path):
    """A detailed file whose arrays do not fit together is damaged."""
    result = json.loads(SAMPLES["vllm_bench-detailed"])
    result["ttfts"].pop()
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result))
    with pytest.raises(ForeignFileError, match="ttfts has 23 elements and errors has 24"):
        recognise.read(path)


def test_nan_and_infinity_are_null(tmp_path):
    """What a tool could not compute and wrote as NaN is no number."""
    result = json.loads(SAMPLES["vllm_bench-summary"])
    result |= {"mean_ttft_ms": float("nan"), "p99_itl_ms": float("inf")}
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result))
    [point] = import_points(path)
    assert point.statistic("ttft_ms", "mean") is None
    assert point.statistic("itl_ms", "p99") is None


def test_text_of_errors_is_shortened_and_without_keys(tmp_path):
    """An error's text may hold a key or a page of HTML; neither is kept."""
    result = json.loads(SAMPLES["vllm_bench-detailed"])
    secret = "sk-" + "a1" * 20
    result["errors"][3] = f"bad key {secret} " + "<p>" * 1000
    result["errors"][4] = "Too Many Requests"
    result["output_lens"][3] = result["output_lens"][4] = 0
    result |= {"completed": 22, "failed": 2}
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result))
    [point] = import_points(path)
    requests = point.records.requests
    assert requests["outcome"].value_counts().to_dict() == {"ok": 22, "failed": 1, "shed": 1}
    assert secret not in requests["error"][3]
    assert len(requests["error"][3]) <= 300
    assert (requests["error_kind"][4], requests["http_status"][4]) == ("http_429", 429)
    assert point.summary["requests"]["shed"] == 1


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(SAMPLES)), data=st.data())
def test_truncated_files_are_refused(tmp_path_factory, name, data):
    """A file that ends anywhere before its end is an error that names it, never another exception."""
    text = SAMPLES[name]
    path = tmp_path_factory.mktemp("cut") / "cut.json"
    path.write_text(text[: data.draw(st.integers(0, len(text.rstrip()) - 1))])
    with pytest.raises(ForeignFileError, match=r"cut\.json"):
        recognise.read(path)


RECORD = {
    "metadata": {
        "credit_issued_ns": 1_795_486_654_000_000_000,
        "request_start_ns": 1_795_486_654_000_000_100,
        "request_end_ns": 1_795_486_654_900_000_100,
        "benchmark_phase": "profiling",
        "was_cancelled": False,
        "turn_index": 0,
    },
    "metrics": {
        "output_sequence_length": {"value": 3, "unit": "tokens"},
        "time_to_first_token": {"value": 400.0, "unit": "ms"},
        "request_latency": {"value": 900.0, "unit": "ms"},
        "inter_chunk_latency": {"value": [200.0, 300.0], "unit": "ms"},
    },
    "error": {"code": 500, "type": "E", "message": "broken"},
}
SGLANG = {
    "request_rate": 4.0,
    "duration": 2.0,
    "completed": 1,
    "request_throughput": 1.5,
    "mean_e2e_latency_ms": 100.0,
    "output_lens": [3, 0],
    "ttfts": [0.01, 0.02],
    "itls": [[0.005, 0.006], []],
    "errors": ["", "refused"],
}
INFERENCE_PERF = {
    "benchmark_time_seconds": 10.0,
    "load_summary": {
        "schedule_delay": {"mean": 0.001, "p99": 0.004},
        "requested_rate": 4.0,
        "concurrency": None,
    },
    "successes": {
        "count": 40,
        "latency": {"request_latency": {"mean": 2.0, "median": 1.9}, "time_to_first_token": {"p99.9": 0.3}},
        "throughput": {"requests_per_sec": 4.0},
    },
    "failures": {"count": 0},
}
TREES = {name: json.loads(text) for name, text in SAMPLES.items()} | {
    "aiperf-record": RECORD,
    "sglang": SGLANG,
    "inference-perf": INFERENCE_PERF,
}
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(
        [1e300, -1e300, 2**70, -(2**70), "inf", "", "-1", [], {}, [None], [1e300], [[]], {"a": 1}]
    )
    | st.text(max_size=5)
)


def places(tree, path=()):
    """The paths of a tree, of each list only those of its first two elements."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree[:2]) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


PLACES = {name: sorted(places(tree), key=str) for name, tree in TREES.items()}


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(TREES)), data=st.data())
def test_any_value_anywhere_is_read_or_refused(tmp_path_factory, name, data):
    """Whatever stands in any place of a file, it is read and can be exported, or refused by an error of ours."""
    tree = copy.deepcopy(TREES[name])
    if name.startswith("guidellm"):
        # With all its requests listed, these are read too.
        tree["benchmarks"][0]["metrics"]["request_totals"]["successful"] = 12
    *way, last = data.draw(st.sampled_from(PLACES[name]))
    holder = tree
    for key in way:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[last] = data.draw(VALUES)
    else:
        del holder[last]
    path = tmp_path_factory.mktemp("odd") / "odd.json"
    path.write_text(json.dumps(tree))
    try:
        points = recognise.read(path)
    except ForeignFileError as error:
        told = str(error)
    else:
        runs = [ImportedRun(point) for point in points]
        told = f"odd.json {[json.dumps(run.summary, allow_nan=False) for run in runs]}"
        for run, form in itertools.product(runs, FORMATS):
            json.dumps(export(run, form), allow_nan=False)
    assert "odd.json" in told
