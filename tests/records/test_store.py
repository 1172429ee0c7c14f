"""A run's folder: made once, written whole, found again, and read back as it was."""

import json
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pytest

from benchkit.errors import DiskFull, RecordError, RunNotFound, SchemaMismatch
from benchkit.records import manifest as manifests
from benchkit.records import merge, processes, store
from benchkit.records.schema import SCHEMA_VERSION, TELEMETRY

NOW = datetime(2026, 11, 24, 3, 57, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "20261124T035705Z-run-abcdef"),
        ("first", "20261124T035705Z-first-abcdef"),
        ("llama 3.2 / H100", "20261124T035705Z-llama-3.2-H100-abcdef"),
        ("../../etc", "20261124T035705Z-etc-abcdef"),
        ("ä", "20261124T035705Z-run-abcdef"),
        ("x" * 300, f"20261124T035705Z-{'x' * 60}-abcdef"),
    ],
)
def test_folders_are_named_by_time_name_and_parameters(tmp_path, name, expected):
    """The name sorts by time, tells what the run was, and cannot lead out of the folder."""
    run = store.create(tmp_path / "deep" / "outputs", name, "abcdef0123", now=NOW)
    assert run.path == tmp_path / "deep" / "outputs" / expected
    assert run.parts.is_dir()
    assert run.tape.is_dir()


def test_a_taken_name_gets_a_number(tmp_path):
    """Runs of the same second and parameters lie beside each other."""
    names = [store.create(tmp_path, "a", "abcdef", now=NOW).path.name for _ in range(3)]
    assert names == [f"20261124T035705Z-a-abcdef{end}" for end in ("", "-2", "-3")]


def test_no_two_callers_get_the_same_folder(tmp_path, monkeypatch):
    """Folders are made by one atomic step, so that runs that begin together never share one."""
    monkeypatch.setattr(store.Reserve, "take", lambda _: None)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(store.create, tmp_path, "race", "abcdef", now=NOW) for _ in range(40)]
        paths = {call.result().path for call in calls}
    assert len(paths) == 40
    assert all(path.is_dir() for path in paths)


NO_ROOM = """
    import resource, sys
    from pathlib import Path
    from benchkit.errors import DiskFull
    from benchkit.records import store
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    try:
        store.create(Path(sys.argv[1]), "a", "abcdef")
    except DiskFull as error:
        print("DiskFull", error)
"""


def test_a_disk_without_room_is_told_before_the_run(tmp_path):
    """If not even the reserve fits, the run does not begin and leaves no folder."""
    script = textwrap.dedent(NO_ROOM)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("DiskFull no room for a run")
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_reads_back(make_run, make_table):
    """Requests, chunks, summary, telemetry and manifest are those that were written; only they remain."""
    run = make_run()
    merge.write_part(
        run.parts / "a.parquet",
        make_table(
            {"index": 0, "sent_ns": 2**60 + 1, "chunk_ns": [1, 2], "chunk_tokens": [1, 1]},
            {"index": 1, "outcome": "failed", "error_kind": "reset"},
        ),
    )
    store.merge_parts(run.path)
    telemetry = pa.table(
        {"time_ns": [1], "source": ["host"], "name": ["cpu"], "labels": ["{}"], "value": [0.5]},
        schema=TELEMETRY,
    )
    summary = {"schema": 1, "requests": {"ok": 1}}
    store.finish(run, status="complete", summary=summary, telemetry=telemetry, load={"window": {}})
    assert sorted(path.name for path in run.path.iterdir()) == [
        "manifest.json",
        "requests.parquet",
        "summary.json",
        "telemetry.parquet",
    ]
    stored = store.load(run.path)
    assert stored.summary == summary
    assert stored.manifest["status"] == "complete"
    assert stored.manifest["load"] == {"window": {}}
    assert stored.telemetry["value"].tolist() == [0.5]
    assert stored.requests["index"].tolist() == [0, 1]
    assert stored.requests["sent_ns"].tolist() == [2**60 + 1, pd.NA]
    assert stored.requests["error_kind"].isna().tolist() == [True, False]
    assert "chunk_ns" not in stored.requests
    assert stored.chunks.ns.tolist() == [1, 2]
    assert stored.chunks.offsets.tolist() == [0, 2, 2]
    assert store.verify_checksums(run) == []


def test_integers_stay_integers(make_run, make_table):
    """A column with nulls must not turn into floats: ns since 1970 do not fit into them."""
    run = make_run()
    merge.write_part(run.parts / "a.parquet", make_table({"end_ns": None}, {"end_ns": 5}))
    frame = store.load(run.path).requests
    assert frame["end_ns"].dtype == "Int64"
    assert frame["http_status"].dtype == "Int32"


def test_changed_and_missing_files_are_found(make_run, make_table):
    """Checksums tell which data file is not the one that the run wrote."""
    run = make_run()
    store.merge_parts(run.path)
    store.finish(run, status="complete", summary={})
    (run.path / "summary.json").write_text("{ }")
    (run.path / "requests.parquet").unlink()
    found = {mismatch.file: mismatch.actual for mismatch in store.verify_checksums(run)}
    assert found["requests.parquet"] is None
    assert len(found["summary.json"]) == 64


def test_a_running_run_is_read_from_its_parts(make_run, make_table):
    """Before the merge, what is there already can be looked at."""
    run = make_run()
    assert len(store.load(run.path).requests) == 0
    merge.write_part(run.parts / "b.parquet", make_table({"index": 2, "chunk_ns": [3]}))
    merge.write_part(run.parts / "a.parquet", make_table({"index": 1, "chunk_ns": [1, 2]}))
    stored = store.load(run.path)
    assert stored.requests["index"].tolist() == [1, 2]
    assert stored.chunks.ns.tolist() == [1, 2, 3]
    with pytest.raises(RecordError, match="benchkit recover"):
        _ = stored.summary


def test_damaged_tables_are_errors_of_records(make_run):
    """A file that is no Parquet is told by its path, not by the library's words alone."""
    run = make_run()
    (run.path / "requests.parquet").write_bytes(b"junk")
    stored = store.load(run.path)
    with pytest.raises(RecordError, match=r"requests\.parquet is damaged"):
        _ = stored.requests
    with pytest.raises(RecordError, match=r"requests\.parquet is damaged"):
        _ = stored.chunks


def test_finishing_is_the_last_word(make_run, monkeypatch):
    """The manifest is written after everything else, and says running until then."""
    run = make_run()
    store.merge_parts(run.path)
    monkeypatch.setattr(store, "_write_telemetry", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error")))
    with pytest.raises(OSError, match="I/O error"):
        store.finish(run, status="complete", summary={}, telemetry=TELEMETRY.empty_table())
    assert run.read_manifest()["status"] == "running"
    monkeypatch.undo()
    store.finish(run, status="complete", summary={}, telemetry=TELEMETRY.empty_table())
    assert run.read_manifest()["status"] == "complete"


def test_numbers_that_json_does_not_have_are_refused(make_run):
    """NaN in a summary is a fault of whoever computed it; it does not reach the file."""
    run = make_run()
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.finish(run, status="complete", summary={"p99": float("nan")})
    assert not (run.path / "summary.json").exists()


def test_a_full_disk_at_the_end_spends_the_reserve(make_run, monkeypatch):
    """The summary is still written when the disk is full, from the reserved space."""
    run = make_run()
    store.merge_parts(run.path)
    real = store.atomic_write

    def write(path, data):
        if (run.path / ".reserve").exists():
            raise OSError(28, "No space left on device")
        real(path, data)

    monkeypatch.setattr(store, "atomic_write", write)
    store.finish(run, status="failed", summary={"a": 1})
    assert store.load(run.path).summary == {"a": 1}


def test_a_disk_that_stays_full_is_told(make_run, monkeypatch):
    """When even the reserve does not help, the error says what to do."""
    run = make_run()
    monkeypatch.setattr(store, "atomic_write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(DiskFull, match="benchkit recover"):
        store.finish(run, status="complete", summary={})
    assert run.read_manifest()["status"] == "running"


def test_runs_are_found_by_path_name_part_and_age(make_run, tmp_path):
    """A path, the beginning of a name, a part that only one has, or 'latest' give the run."""
    out = tmp_path / "outputs"
    first, second = make_run("alpha"), make_run("beta")
    (out / "stray").mkdir()
    assert [run.path for run in store.list_runs(out)] == [first.path, second.path]
    assert store.find(str(first.path), out).path == first.path
    assert store.find(first.path.name, out).path == first.path
    assert store.find("beta", out).path == second.path
    assert store.find("latest", out).path == second.path
    with pytest.raises(RunNotFound, match="fits 2 runs"):
        store.find(first.path.name[:8], out)
    with pytest.raises(RunNotFound, match="did you mean"):
        store.find(first.path.name.replace("alpha", "alhpa"), out)
    with pytest.raises(RunNotFound, match="holds 2 runs"):
        store.find("zzz", out)
    assert store.list_runs(tmp_path / "nowhere") == []


def test_an_exact_name_wins_over_longer_ones(tmp_path):
    """A run whose name begins another's can still be named."""
    runs = [store.create(tmp_path, "a", "abcdef", now=NOW) for _ in range(2)]
    clock = manifests.clock_anchor()
    for run in runs:
        run.write_manifest(manifests.new(name="a", parameters={}, parameters_hash="abcdef", clock=clock))
    assert store.find(runs[0].path.name, tmp_path) == runs[0]


def test_a_run_is_running_while_its_processes_live(make_run):
    """Live processes count, ended ones and reused numbers do not."""
    run = make_run()
    assert not store.is_running(run)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        processes.remember(run.path, "worker 0", child.pid)
        assert store.is_running(run)
        assert [process.role for process in processes.running(run.path)] == ["worker 0"]
        child.stdin.close()
        child.wait(10)
        assert not store.is_running(run)
    processes.remember(run.path, "gone", child.pid)
    assert not store.is_running(run)
    reused = [{"role": "worker 0", "pid": os.getpid(), "create_time": 1.0}]
    (run.path / "pids.json").write_text(json.dumps(reused))
    assert not store.is_running(run)
    processes.remember(run.path, "runner", os.getpid())
    assert store.is_running(run)
    (run.path / "pids.json").write_text("{half")
    assert not store.is_running(run)


def test_later_formats_are_not_guessed_at(make_run):
    """A manifest of a later version names the version that can read it."""
    run = make_run()
    manifest = run.read_manifest() | {"schema": SCHEMA_VERSION + 1, "benchkit_version": "9.9"}
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SchemaMismatch, match=r"use benchkit 9\.9"):
        store.load(run.path)


def test_no_run_is_told_from_a_damaged_one(tmp_path, make_run):
    """A folder without a manifest is no run; one with half a manifest is damaged."""
    with pytest.raises(RunNotFound, match="holds no run"):
        store.load(tmp_path / "nothing")
    run = make_run()
    for text in ('{"schema": 1,', "[1]"):
        (run.path / "manifest.json").write_text(text)
        with pytest.raises(RecordError, match="damaged"):
            store.load(run.path)
