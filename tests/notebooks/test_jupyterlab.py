"""The notebooks in JupyterLab, as a person opens them: nothing trusted, nothing run before."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from benchkit.report.execute import report_from_run

pytestmark = [pytest.mark.chromium, pytest.mark.slow]


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


def test_the_benchmark_runs_from_the_notebooks_folder(browser: Any, lab: str, lab_project: Path) -> None:
    """Run All Cells in Lab, whose kernel works in `notebooks/`, leaves a run in the project's `outputs/`."""
    tab = _open(browser, lab, "notebooks/run_benchmark.ipynb")
    _run_all(tab)
    deadline = time.monotonic() + 90
    while not list(lab_project.glob("outputs/*/summary.json")):
        assert time.monotonic() < deadline, tab.locator(".jp-Notebook").inner_text()
        tab.wait_for_timeout(300)
    assert not (lab_project / "notebooks" / "outputs").exists()
    _look_for_a_chart(tab)
    tab.close()


def test_someone_elses_report_shows_its_charts(browser: Any, lab: str, lab_project: Path) -> None:
    """An executed notebook that this Jupyter has never signed is not blank: its charts are drawn."""
    (folder,) = [path.parent for path in lab_project.glob("outputs/*/summary.json")]
    report_from_run(folder)
    executed = (folder / "report.ipynb").relative_to(lab_project)
    tab = _open(browser, lab, executed.as_posix())
    _look_for_a_chart(tab)
    tab.close()
