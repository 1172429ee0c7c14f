"""A run from its parameters to a finished folder, against the embedded server."""

import asyncio
import json
import time

import httpx
import numpy as np
import pytest

import benchkit
from benchkit.analysis import repeat_looks
from benchkit.analysis.looks import spent
from benchkit.errors import LoadError, OutOfDescriptors, PreflightFailed, Unreachable
from benchkit.experiments.loading import load_spec
from benchkit.records import store

QUICK = {
    "load": "concurrent",
    "concurrency": 4,
    "warmup_s": 0.5,
    "duration_s": 1.5,
    "input_tokens": 48,
    "output_tokens": 16,
}


def measure(embedded, tmp_path, **values):
    """One quick run."""
    return benchkit.run(**{"url": embedded.url, "out": str(tmp_path), **QUICK, **values})


def test_a_run_is_a_folder_with_all_that_happened(embedded, tmp_path):
    """The folder has its name by the rule, its files by the design, and its numbers agree with its records."""
    run = measure(embedded, tmp_path, name="first-try", slo=["p50 ttft < 1s", "error_rate < 1%"])

    assert run.path.name.split("-")[1:-1] == ["first", "try"]
    assert store.verify_checksums(run.path) == []
    manifest = run.manifest
    assert manifest["status"] == "complete"
    assert manifest["plan"]["sha256"]
    assert manifest["preflight"]
    assert manifest["environment"]
    window = run.requests[run.requests.phase == "window"]
    assert run.summary["requests"]["ok"] == len(window)
    ttft = ((window.first_token_ns - window.sent_ns) / 1e6).to_numpy(dtype=float)
    metric = run.summary["windows"]["whole"]["metrics"]["ttft_ms"]
    assert metric["p50"] == pytest.approx(np.percentile(ttft, 50))
    first, second = run.summary["slo"]
    # So short a run decides it only where its requests happen to know nothing of each other.
    assert first["verdict"] == ("meets" if first["ci95"] else "undecided")
    assert (first["value"], second["value"]) == (pytest.approx(np.percentile(ttft, 50)), 0.0)
    assert set(window.prompt_tokens) == {48}
    assert set(window.output_tokens) == {16}


def test_measured_times_are_the_servers_own(embedded, tmp_path):
    """TTFT and gaps agree with the server's record of when it sent each token, to a few milliseconds."""
    run = measure(embedded, tmp_path, headers={"X-Benchkit-Log": "1"})

    sends = httpx.get(f"{embedded.url}/benchkit/sends", timeout=10).json()
    by_id = {each["request_id"]: each for each in sends}
    start_ns = run.manifest["clock"]["monotonic_ns"]
    window = run.requests[run.requests.phase == "window"]
    alone = run.chunks[~run.chunks.shared]
    errors_ms = []
    for row, index in window["index"].items():
        sent = by_id[f"{run.path.name}-win-{index}-0"]
        chunks = alone[alone.request == row]
        errors_ms.append((chunks.ns.to_numpy() + start_ns - np.array(sent["sent_ns"])[chunks.j]) / 1e6)
    errors = np.concatenate(errors_ms)
    assert np.median(np.abs(errors)) < 1.0
    assert np.percentile(np.abs(errors), 95) < 10.0


def test_an_empty_url_starts_the_embedded_server(tmp_path):
    """Without a `url` a run starts the embedded server, measures it and stops it."""
    run = benchkit.run(**{"out": str(tmp_path), **QUICK, "duration_s": 0.5, "warmup_s": 0.0})

    assert run.summary["requests"]["ok"] > 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(run.manifest["server"]["url"] + "/health")


def test_repeats_send_other_contents_on_one_clock(embedded, tmp_path):
    """Two repeats of one server start: both in the tables, the later one later, no prompt twice, rates not doubled."""
    run = measure(embedded, tmp_path, repeats=2, duration_s=1.0)

    requests = run.requests
    assert set(requests.repeat) == {0, 1}
    assert requests[requests.repeat == 1].scheduled_ns.min() > requests[requests.repeat == 0].end_ns.max()
    assert requests.prompt_hash.is_unique
    assert len(run.manifest["load"]["windows"]) == 2
    per_stream_s = float(((requests.end_ns - requests.sent_ns) / 1e9).mean())
    rate = run.summary["windows"]["whole"]["rates"]["requests_per_s"]["value"]
    assert rate == pytest.approx(4 / per_stream_s, rel=0.3)
    began = run.manifest["server"]["started_at"]
    assert 0 < time.time() - began < 3600
    assert run.manifest["load"]["server_starts"] == [began, began]


@pytest.mark.parametrize(("slo", "repeats"), [("mean ttft < 1s", 3), ("p99.9 ttft < 1s", 4)])
def test_until_sure_ends_at_the_look_that_is(embedded, tmp_path, monkeypatch, slo, repeats):
    """`repeats: 0` ends at the first of the fixed looks at which all objectives are decided, and at the last anyway."""
    monkeypatch.setattr(repeat_looks, "LOOKS", (3, 4))
    run = measure(embedded, tmp_path, repeats=0, slo=[slo], warmup_s=0.1, duration_s=0.6)

    load = run.manifest["load"]
    assert len(load["windows"]) == repeats
    assert [look["repeats"] for look in load["looks"]] == list(range(3, repeats + 1))
    assert [look["sure"] for look in load["looks"]] == ([True] if repeats == 3 else [False, False])
    intervals = run.summary["windows"]["whole"]["intervals"]
    assert intervals["level"] == pytest.approx(1 - spent((3, 4)))
    assert (intervals["by"], intervals["runs"]) == ("runs", repeats)


def test_a_server_that_is_not_there_is_said_before_any_load(tmp_path):
    """Nobody listens: an error that names the address, and no folder."""
    with pytest.raises((Unreachable, PreflightFailed), match=r"127\.0\.0\.1:9"):
        benchkit.run(url="http://127.0.0.1:9", out=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_too_many_streams_leave_no_folder(embedded, tmp_path):
    """A load over the hard limit of open files is refused, and leaves nothing behind."""
    with pytest.raises(OutOfDescriptors):
        measure(embedded, tmp_path, concurrency=1_000_000)
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_sent_and_never_stored(tmp_path, monkeypatch):
    """A server that wants a key gets it from the environment; no file of the run, and no error, holds it."""
    from benchkit.serving import simulated

    monkeypatch.setenv("TEST_KEY", "sk-very-secret-0123456789")
    with simulated.start(server_args={"ttft_ms": 5, "gap_ms": 1}, api_key_env="TEST_KEY") as server:
        with pytest.raises((PreflightFailed, benchkit.errors.TargetError)) as refused:
            benchkit.run(**{"url": server.url, "out": str(tmp_path), **QUICK})
        assert "sk-very-secret" not in str(refused.value)
        run = benchkit.run(**{"url": server.url, "out": str(tmp_path), "api_key_env": "TEST_KEY", **QUICK})
    assert run.summary["requests"]["ok"] > 0
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"sk-very-secret" not in file.read_bytes(), file


def test_text_is_kept_only_when_asked_for(embedded, tmp_path):
    """With `keep_text` prompts and answers are beside the records; without it nowhere."""
    kept = measure(embedded, tmp_path / "kept", keep_text=True, duration_s=0.5)
    other = measure(embedded, tmp_path / "other", duration_s=0.5)

    lines = [json.loads(line) for line in (kept.path / "texts.jsonl").read_text().splitlines()]
    assert len(lines) == len(kept.requests)
    assert all(json.loads(line["request"])["messages"] and line["answer"] for line in lines)
    assert not (other.path / "texts.jsonl").exists()


def test_cancelling_finishes_the_folder(embedded, tmp_path):
    """An interrupt in a notebook cancels the task: the folder is finished as interrupted."""

    async def cancelled():
        task = asyncio.create_task(
            benchkit.run_async(**{"url": embedded.url, "out": str(tmp_path), **QUICK, "duration_s": 60.0})
        )
        await asyncio.sleep(4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    (folder,) = tmp_path.iterdir()
    run = benchkit.load_run(folder)
    assert run.manifest["status"] == "interrupted"
    assert run.summary["requests"]["ok"] > 0


def test_a_stored_run_stands_in_for_a_new_one(embedded, tmp_path, monkeypatch):
    """With BENCHKIT_STORED_RUN `run_async` sends nothing and gives the stored run."""
    run = measure(embedded, tmp_path, duration_s=0.5)
    monkeypatch.setenv("BENCHKIT_STORED_RUN", str(run.path))

    again = benchkit.run(url="http://127.0.0.1:9")

    assert again.path == run.path
    assert len(list(tmp_path.iterdir())) == 1


def test_a_broken_transcription_keeps_the_tape(embedded, tmp_path, monkeypatch):
    """When records cannot be made, the error says where the tape is, and recover makes them later."""
    from benchkit.experiments.recover import recover

    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'benchkit.load.transcribe' in ' '.join(sys.orig_argv):\n"
        "    raise SystemExit('no transcription today')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    with pytest.raises(LoadError, match="recover"):
        measure(embedded, tmp_path / "out")
    monkeypatch.delenv("PYTHONPATH")
    (folder,) = (tmp_path / "out").iterdir()

    recover(folder)

    assert benchkit.load_run(folder).summary["requests"]["ok"] > 10
    assert not (folder / "tape").exists()


def test_load_spec_knows_every_url_form():
    """Ports, prefixes and queries of a URL end up where a request needs them."""
    from benchkit.parameters import resolve
    from benchkit.plan.spec import PlanSpec

    parameters = resolve({"url": "https://example.invalid/llm/v1?tenant=a"})
    plan = PlanSpec.of(parameters, model="m")
    spec = load_spec(
        parameters, plan, "https://example.invalid/llm?tenant=a", exact_length=True, origin_ns=0, run_id="r"
    )
    assert (spec.scheme, spec.host, spec.port) == ("https", "example.invalid", 443)
    assert spec.path == "/llm/v1/chat/completions?tenant=a"
