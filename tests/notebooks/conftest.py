"""A JupyterLab of its own, whose root is a project of its own, and a browser to open it in."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from benchkit.records.project import project_root

NOTEBOOKS = project_root(Path(__file__).parent) / "notebooks"
QUICK = {"warmup_s": "0.5", "duration_s": "2.0", "output_tokens": "16", "input_tokens": "32"}
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def lab_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the panel, and the benchmark's notebook edited to a short run."""
    root = tmp_path_factory.mktemp("lab")
    (root / "notebooks").mkdir()
    notebook = nbformat.read(NOTEBOOKS / "run_benchmark.ipynb", as_version=nbformat.NO_CONVERT)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    lines = cell.source.splitlines()
    for i, line in enumerate(lines):
        name = line.split(":")[0]
        if name in QUICK:
            lines[i] = f"{line.split(' = ')[0]} = {QUICK[name]}"
    cell.source = "\n".join(lines)
    nbformat.write(notebook, root / "notebooks" / "run_benchmark.ipynb")
    shutil.copy(NOTEBOOKS / "cockpit.ipynb", root / "notebooks" / "cockpit.ipynb")
    return root


@pytest.fixture(scope="session")
def lab(lab_project: Path) -> Iterator[str]:
    """The address of a JupyterLab whose root is the project."""
    port = _free_port()
    home = lab_project / ".home"
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        f"--ServerApp.root_dir={lab_project}",
    ]
    environment = {**os.environ, "HOME": str(home), "JUPYTER_CONFIG_DIR": str(home), "IPYTHONDIR": str(home)}
    environment |= {"JUPYTER_DATA_DIR": str(home / "data"), "BENCHKIT_STATE_DIR": str(home / "state")}
    with (lab_project / "lab.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, (lab_project / "lab.log").read_text()
                assert time.monotonic() < deadline, (lab_project / "lab.log").read_text()
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. Of a module at most: as long as it is there, its own event loop counts as running in this thread."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield opened
        opened.close()
