"""The notebooks in JupyterLab, as a person opens them: nothing trusted, nothing run before."""

from __future__ import annotations

import os
import re
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
from benchkit.report.execute import report_from_run

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

pytestmark = [pytest.mark.chromium, pytest.mark.slow]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the benchmark's notebook, edited to a short run."""
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
    return root


@pytest.fixture(scope="module")
def lab(project: Path) -> Iterator[str]:
    """The address of a JupyterLab whose root is the project."""
    port = _free_port()
    home = project / ".home"
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
        f"--ServerApp.root_dir={project}",
    ]
    environment = {**os.environ, "HOME": str(home), "JUPYTER_CONFIG_DIR": str(home), "IPYTHONDIR": str(home)}
    environment["JUPYTER_DATA_DIR"] = str(home / "data")
    with (project / "lab.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, (project / "lab.log").read_text()
                assert time.monotonic() < deadline, (project / "lab.log").read_text()
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
    """Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield opened
        opened.close()


def _open(browser: Any, lab: str, path: str) -> Any:
    tab = browser.new_page(viewport={"width": 1280, "height": 1000})
    tab.goto(f"{lab}/doc/tree/{path}")
    tab.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    return tab


def _look_for_a_chart(tab: Any) -> None:
    """Lab renders the cells that are in sight: look further down until a chart is."""
    drawn = tab.locator(".jp-RenderedVegaCommon5 .vega-embed .marks")
    deadline = time.monotonic() + 60
    while drawn.count() == 0:
        assert time.monotonic() < deadline, tab.locator(".jp-Notebook").inner_text()
        tab.mouse.move(640, 500)
        tab.mouse.wheel(0, 600)
        tab.wait_for_timeout(300)


def _run_all(tab: Any) -> None:
    """Run All Cells by the menu, once the kernel is there."""
    tab.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)
    begun = tab.locator(".jp-InputPrompt").filter(has_text=re.compile(r"\[[*\d]+\]"))
    deadline = time.monotonic() + 60
    while begun.count() == 0:
        assert time.monotonic() < deadline, "no cell was run"
        tab.get_by_role("menuitem", name="Run", exact=True).click()
        tab.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        tab.wait_for_timeout(4_000)
        select = tab.get_by_role("button", name="Select Kernel", exact=True)
        if select.count():
            select.click()


def test_the_benchmark_runs_from_the_notebooks_folder(browser: Any, lab: str, project: Path) -> None:
    """Run All Cells in Lab, whose kernel works in `notebooks/`, leaves a run in the project's `outputs/`."""
    tab = _open(browser, lab, "notebooks/run_benchmark.ipynb")
    _run_all(tab)
    deadline = time.monotonic() + 90
    while not list(project.glob("outputs/*/summary.json")):
        assert time.monotonic() < deadline, tab.locator(".jp-Notebook").inner_text()
        tab.wait_for_timeout(300)
    assert not (project / "notebooks" / "outputs").exists()
    _look_for_a_chart(tab)
    tab.close()


def test_someone_elses_report_shows_its_charts(browser: Any, lab: str, project: Path) -> None:
    """An executed notebook that this Jupyter has never signed is not blank: its charts are drawn."""
    (folder,) = [path.parent for path in project.glob("outputs/*/summary.json")]
    report_from_run(folder)
    executed = (folder / "report.ipynb").relative_to(project)
    tab = _open(browser, lab, executed.as_posix())
    _look_for_a_chart(tab)
    tab.close()
