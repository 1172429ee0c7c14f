"""One real vLLM server for all tests of this folder, ``vllm bench serve``, and tables of what they found."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from benchkit import serving
from benchkit.serving import vllm
from benchkit.serving.process import ServerProcess
from benchkit.telemetry.prometheus import parse

sys.path.insert(0, str(Path(__file__).parent))

MODEL = "tiny-random"
_NICENESS = 10
_TABLES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Makes room for what tests want to say at the end."""
    config.stash[_TABLES] = []


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Prints what tests compared: figures are of use when they agree, too."""
    for table in config.stash[_TABLES]:
        terminalreporter.write_line(table)


@pytest.fixture
def say(request: pytest.FixtureRequest):
    """Gives a function whose text is printed at the end of the test session."""
    return request.config.stash[_TABLES].append


@pytest.fixture(scope="session")
def vllm_server() -> Iterator[ServerProcess]:
    """A vLLM server on the tiny model; at the end none of its processes may live."""
    # Compiling takes half of the start, and nothing here is about it.
    server = serving.start(backend="vllm", served_model=MODEL, server_args={"enforce_eager": True})
    try:
        _let_the_client_go_first(server)
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        yield server
    finally:
        server.stop()
    assert len(family) > 2
    assert [process for process in family if _lives(process)] == []


def _lives(process: psutil.Process) -> bool:
    """Whether a process does anything any more; one that ended may wait for a moment to be reaped."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _let_the_client_go_first(server: ServerProcess) -> None:
    """Lowers the priority of the engine, which spins while it waits, and of its session as a whole.

    On two cores it keeps the client, and the server's own HTTP front end, waiting: a program that sleeps for
    4 ms beside it was seen to wake up to 1,055 ms late, and with this at most 24 ms. Else both tools' times
    would tell of the machine's scheduler, and would agree by luck. Where Linux groups processes by session, the
    niceness of a process counts within its session only, so that the group's has to be set, too.
    """
    for process in psutil.Process(server.pid).children(recursive=True):
        if process.name().startswith("VLLM::"):
            process.nice(_NICENESS)
    group = Path(f"/proc/{server.pid}/autogroup")
    if group.exists():
        group.write_text(f"{_NICENESS}\n")


@pytest.fixture(scope="session")
def scrape(vllm_server: ServerProcess):
    """Gives a function that reads the server's counters and histogram sums, added up over their labels."""

    def read() -> dict[str, float]:
        values: dict[str, float] = {}
        page = httpx.get(f"{vllm_server.url}/metrics", timeout=30, trust_env=False).text
        for reading in parse(page):
            values[reading.name] = values.get(reading.name, 0.0) + reading.value
        return values

    return read


class VllmBench:
    """``vllm bench serve`` in a process that is kept ready between runs."""

    def __init__(self, python: str, log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [python, str(Path(__file__).with_name("vllm_bench.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
            )
        self._answer(timeout_s=180)

    def __call__(self, arguments: Sequence[str], *, timeout_s: float = 180) -> dict[str, Any]:
        """Runs one benchmark; returns its detailed result."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(list(arguments)) + "\n")
        self._process.stdin.flush()
        return json.loads(Path(self._answer(timeout_s)["file"]).read_text())

    def close(self) -> int:
        """Ends the process; returns its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            return self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = threading.Timer(timeout_s, self._process.kill)
        deadline.start()
        try:
            line = self._process.stdout.readline()
        finally:
            deadline.cancel()
        assert line, f"vllm bench serve ended or took over {timeout_s} s:\n{self._log.read_text()[-3000:]}"
        return json.loads(line)


@pytest.fixture(scope="session")
def vllm_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmBench]:
    """``vllm bench serve``, imported and ready."""
    bench = VllmBench(vllm.interpreter(), tmp_path_factory.mktemp("bench") / "log")
    yield bench
    assert bench.close() == 0
