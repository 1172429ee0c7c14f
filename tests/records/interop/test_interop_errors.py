"""Files come from strangers: whatever is wrong with one is told, with its name and what to do."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.analysis.imported import import_points
from benchkit.errors import ForeignFileError
from benchkit.records.interop import documents, recognise

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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(SAMPLES)), data=st.data())
def test_any_value_anywhere_is_read_or_refused(tmp_path_factory, name, data):
    """Whatever stands in any place of a file, it is read, or refused by an error of ours."""
    tree = json.loads(SAMPLES[name])
    holder, key = tree, None
    while True:
        keys = sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(holder[key], dict | list) or not holder[key] or data.draw(st.booleans()):
            break
        holder = holder[key]
    if key is not None and holder:
        holder[key] = data.draw(JSON)
    path = tmp_path_factory.mktemp("odd") / "odd.json"
    path.write_text(json.dumps(tree))
    try:
        told = str([point.summary for point in import_points(path)])
    except ForeignFileError as error:
        told = str(error)
        named = "odd.json" in told
    else:
        named = "windows" in told
    assert named
