"""Nothing that was measured is lost, whatever dies, and the verdict catches what went wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import benchkit
from benchkit.errors import RunActive
from benchkit.experiments.recover import recover
from benchkit.records import processes, store

_RUN = [
    "-p",
    "load",
    "concurrent",
    "-p",
    "concurrency",
    "4",
    "-p",
    "warmup_s",
    "0",
    "-p",
    "input_tokens",
    "32",
]


def start(url: str, out: Path, *more: str) -> subprocess.Popen[str]:
    """A run in a process of its own, as a notebook's kernel or a shell would have it."""
    command = [sys.executable, "-m", "benchkit", "run", "-p", "url", url, "--out", str(out), *_RUN, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_load(out: Path, seconds: float = 2.0) -> Path:
    """The run's folder, once its load has been going on for some seconds."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        tapes = list(out.glob("*/tape/r0/w0-*.tape"))
        if tapes and tapes[0].stat().st_size > 10_000:
            time.sleep(seconds)
            return tapes[0].parents[2]
        time.sleep(0.05)
    raise AssertionError(f"no load within 120 s in {out}")


def pid_of(folder: Path, role: str) -> int:
    """The process of a role."""
    return next(process.pid for process in processes.running(folder) if process.role == role)


def wait_until_idle(folder: Path, seconds: float = 20.0) -> None:
    """Waits until no process of the run is alive."""
    deadline = time.monotonic() + seconds
    while processes.is_running(folder):
        assert time.monotonic() < deadline, processes.running(folder)
        time.sleep(0.1)


def test_everything_killed_then_recovered(embedded, tmp_path):
    """kill -9 of runner, worker and transcriber: recover finishes the folder with all but the last second."""
    runner = start(embedded.url, tmp_path, "-p", "duration_s", "60", "-p", "output_tokens", "100")
    folder = wait_for_load(tmp_path)
    with pytest.raises(RunActive, match="worker 0"):
        recover(folder)
    pids = [process.pid for process in processes.running(folder)]
    killed_ns = time.monotonic_ns()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    runner.wait()
    runner.communicate()
    wait_until_idle(folder)

    manifest = recover(folder)

    run = benchkit.load_run(folder)
    assert manifest["status"] == "interrupted"
    counts = run.summary["requests"]
    assert counts["ok"] > 10
    assert counts["interrupted"] == 4
    newest_ns = int(run.chunks.ns.max()) + manifest["clock"]["monotonic_ns"]
    assert killed_ns - newest_ns < 1_000_000_000
    assert run.summary["windows"]["whole"]["metrics"]["ttft_ms"]["count"] >= counts["ok"]
    assert not (folder / "tape").exists()
    assert store.verify_checksums(folder) == []
    assert recover(folder) == manifest


def test_a_dead_transcriber_is_replaced(embedded, tmp_path):
    """kill -9 of the transcriber in mid-run: another takes over, and not one request is lost or counted twice."""
    runner = start(embedded.url, tmp_path, "-p", "duration_s", "5", "-p", "output_tokens", "50")
    folder = wait_for_load(tmp_path, 1.0)
    os.kill(pid_of(folder, "transcribe 0"), signal.SIGKILL)
    _, err = runner.communicate(timeout=60)

    assert runner.returncode in {0, 3}, err
    run = benchkit.load_run(folder)
    assert run.manifest["status"] == "complete"
    assert sorted(run.requests["index"]) == list(range(len(run.requests)))
    assert set(run.requests.outcome) == {"ok"}


def test_a_dead_worker_ends_the_run_with_what_there_is(embedded, tmp_path):
    """kill -9 of the worker: the run fails by name, its folder is finished, nothing taped is lost."""
    runner = start(embedded.url, tmp_path, "-p", "duration_s", "60", "-p", "output_tokens", "100")
    folder = wait_for_load(tmp_path)
    os.kill(pid_of(folder, "worker 0"), signal.SIGKILL)
    _, err = runner.communicate(timeout=60)

    assert runner.returncode == 1, err
    run = benchkit.load_run(folder)
    assert run.manifest["status"] == "failed"
    assert run.manifest["load"]["stopped_by"] == "worker_died"
    assert run.summary["requests"]["ok"] > 10
    assert run.summary["requests"]["interrupted"] == 4
    assert "client_broke" in {reason["name"] for reason in run.summary["validity"]["reasons"]}


def test_a_worker_whose_parent_dies_drains_and_ends(embedded, tmp_path):
    """kill -9 of the runner alone: its processes end by themselves, and what was under way has its end."""
    runner = start(embedded.url, tmp_path, "-p", "duration_s", "60", "-p", "output_tokens", "100")
    folder = wait_for_load(tmp_path)
    runner.kill()
    runner.communicate()
    wait_until_idle(folder)

    recover(folder)

    run = benchkit.load_run(folder)
    assert set(run.requests.outcome) == {"ok"}
    assert run.manifest["status"] == "interrupted"


def test_interrupt_keeps_everything_and_says_130(embedded, tmp_path):
    """Ctrl-C: the run ends within seconds, finished as interrupted, exit code 130."""
    runner = start(embedded.url, tmp_path, "-p", "duration_s", "60", "-p", "output_tokens", "100")
    folder = wait_for_load(tmp_path)
    began = time.monotonic()
    runner.send_signal(signal.SIGINT)
    out, err = runner.communicate(timeout=30)

    assert runner.returncode == 130, err
    assert time.monotonic() - began < 10
    assert "Serving Benchmark Result" in out
    run = benchkit.load_run(folder)
    assert run.manifest["status"] == "interrupted"
    assert run.summary["requests"]["interrupted"] == 4
    assert not processes.is_running(folder)


def test_a_full_disk_stops_the_run_with_what_it_has(embedded, tmp_path):
    """When the disk takes no more, the run stops, says so, and what was measured until then is there."""
    (tmp_path / "sitecustomize.py").write_text(
        "import resource, sys\n"
        "if 'benchkit.load.worker' in ' '.join(sys.orig_argv):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [
        sys.executable,
        "-m",
        "benchkit",
        "run",
        "-p",
        "url",
        embedded.url,
        "--out",
        str(tmp_path / "out"),
        *_RUN,
        "-p",
        "duration_s",
        "60",
    ]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=150, check=False)

    assert time.monotonic() - began < 60
    assert done.returncode == 1
    assert "disk" in done.stderr
    (folder,) = (tmp_path / "out").iterdir()
    run = benchkit.load_run(folder)
    assert run.manifest["load"]["stopped_by"] == "disk_full"
    assert run.summary["requests"]["ok"] > 8


def test_a_stopped_worker_is_caught(embedded, tmp_path):
    """SIGSTOP of 300 ms in mid-run: stamps look fine, yet the verdict names what happened."""
    runner = start(embedded.url, tmp_path, "-p", "duration_s", "5", "-p", "output_tokens", "100")
    folder = wait_for_load(tmp_path, 0.5)
    worker = psutil.Process(pid_of(folder, "worker 0"))
    for _ in range(3):
        worker.suspend()
        time.sleep(0.3)
        worker.resume()
        time.sleep(0.4)
    _, err = runner.communicate(timeout=60)

    run = benchkit.load_run(folder)
    reasons = {reason["name"]: reason for reason in run.summary["validity"]["reasons"]}
    assert run.verdict in {"suspect", "invalid"}, err
    assert reasons["loop_gap_max"]["value"] > 200
    assert "pickup_lag_max" in reasons
    assert run.chunks.shared.sum() > 50


def test_nothing_is_left_behind(embedded, tmp_path):
    """After a run no process of it lives, and its folder holds just what it should."""
    runner = start(embedded.url, tmp_path, "-p", "duration_s", "1")
    runner.communicate(timeout=60)

    (folder,) = tmp_path.iterdir()
    expected = {"manifest.json", "requests.parquet", "summary.json", "telemetry.parquet"}
    assert {path.name for path in folder.iterdir()} <= expected
    assert json.loads((folder / "manifest.json").read_text())["status"] == "complete"
    assert not processes.is_running(folder)
