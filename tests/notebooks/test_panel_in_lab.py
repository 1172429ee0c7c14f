"""The panel in JupyterLab, driven by a browser as a person would: by mouse and by keyboard, in light and in dark."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchkit.records.project import project_root

pytestmark = [pytest.mark.chromium, pytest.mark.slow]

SHOTS = Path(
    os.environ.get("BENCHKIT_SCREENSHOTS") or project_root(Path(__file__).parent) / "outputs" / "screenshots"
)
PAGES = ("Serve", "Run", "Sweep", "Capacity", "Compare", "Runs")
LOAD = {"warmup_s": "0.5", "duration_s": "300", "input_tokens": "32", "output_tokens": "16"}


class Panel:
    """The panel on a page of JupyterLab."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab
        self.run = tab.locator(".bk-page-run")

    def make(self) -> None:
        """Runs the notebook's cells, as after opening it or after a restart."""
        tab = self.tab
        tab.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)
        deadline = time.monotonic() + 60
        while tab.locator(".bk-page-run").count() == 0:
            assert time.monotonic() < deadline, tab.locator(".jp-Notebook").inner_text()
            tab.get_by_role("menuitem", name="Run", exact=True).click()
            tab.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            for _ in range(50):
                if tab.locator(".bk-page-run").count():
                    break
                tab.wait_for_timeout(300)
        for name in ("No", "Dismiss"):
            offered = tab.get_by_role("button", name=name, exact=True)
            if offered.count():
                offered.first.click()

    def turn(self, page: str) -> Any:
        """Opens a page of it."""
        self.tab.locator(".bk-panel").get_by_role("button", name=page, exact=True).click()
        shown = self.tab.locator(f".bk-page-{page.lower()}")
        shown.wait_for()
        return shown

    def unfold(self, page: Any, title: str) -> None:
        """Opens a section, if it is closed."""
        closed = page.get_by_role("button", name=f"▸ {title}")
        if closed.count():
            closed.click()

    def fill(self, **values: str) -> None:
        """Enters values into the form of *Run*."""
        for title in ("Load", "Extent", "Work"):
            self.unfold(self.run, title)
        for name, value in values.items():
            self.run.get_by_label(name, exact=True).fill(value)

    def numbers(self) -> str:
        """The line that tells how far the load is."""
        line = self.run.get_by_text(re.compile(r"\d+ sent, "))
        return str(line.first.inner_text()) if line.count() else ""

    def until_it_moves(self) -> None:
        """Waits until the numbers of a load are there and have changed twice."""
        seen: set[str] = set()
        self.until(lambda: seen.add(self.numbers()) or len(seen - {""}) >= 3)

    def until(self, what: Callable[[], Any], seconds: float = 60) -> None:
        """Waits until something holds."""
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, self.tab.locator(".bk-panel").inner_text()
            self.tab.wait_for_timeout(200)

    def theme(self, name: str) -> None:
        """Changes Lab's theme by its menu."""
        self.tab.get_by_role("menuitem", name="Settings", exact=True).click()
        self.tab.locator(".lm-Menu-itemLabel", has_text="Theme").first.hover()
        self.tab.get_by_text(name, exact=True).click()
        light = str("Light" in name).lower()
        self.tab.locator(f'body[data-jp-theme-light="{light}"]').wait_for(state="attached", timeout=30_000)
        self.tab.wait_for_timeout(1_000)

    def shoot(self, name: str) -> None:
        """A picture for people to look at."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.tab.screenshot(path=SHOTS / f"{name}.png")


@pytest.fixture(scope="module")
def panel(browser: Any, lab: str) -> Iterator[Panel]:
    """The panel, as it is after its notebook was opened and run."""
    context = browser.new_context(viewport={"width": 1280, "height": 1300})
    tab = context.new_page()
    tab.goto(f"{lab}/doc/tree/notebooks/cockpit.ipynb")
    tab.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    made = Panel(tab)
    made.make()
    yield made
    context.close()


def _newest(project: Path) -> dict[str, Any]:
    folder = max(
        (path.parent for path in project.glob("outputs/*/manifest.json")), key=lambda path: path.name
    )
    told: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return {**told, "folder": folder}


def test_a_run_by_keyboard_alone(panel: Panel, lab_project: Path) -> None:
    """Tab, Space and Enter reach the form, start a run, and stop it; its numbers move; what it measured is kept."""
    tab, run = panel.tab, panel.turn("Run")
    panel.fill(**LOAD)
    tab.locator(".bk-panel").get_by_role("button", name="Serve", exact=True).focus()

    def tab_to(text: str) -> None:
        for _ in range(12):
            tab.keyboard.press("Tab")
            if tab.evaluate("document.activeElement.innerText") == text:
                return
        raise AssertionError(f"Tab does not reach {text!r}")

    tab_to("Start run")
    tab.keyboard.press("Space")
    panel.until_it_moves()
    run.locator(".bk-strip svg").first.wait_for()
    assert run.locator("polyline").count() >= 3
    assert "so far" in run.inner_text()
    panel.shoot("run-light")
    tab.locator(".bk-panel").get_by_role("button", name="Run", exact=True).focus()
    tab_to("Stop")
    tab.keyboard.press("Enter")
    run.get_by_text("what was measured is kept").wait_for(timeout=60_000)
    told = _newest(lab_project)
    assert told["status"] == "interrupted"
    assert told["parameters"]["duration_s"] == 300


def test_what_is_wrong_is_marked_before_anything_starts(panel: Panel) -> None:
    """The model's own error stands at the field, and the button does nothing until it is mended."""
    run = panel.turn("Run")
    panel.fill(concurrency="many")
    run.get_by_text("'concurrency' must be a whole number, not 'many' (text)").wait_for()
    assert run.get_by_role("button", name="Start run").is_disabled()
    panel.shoot("run-invalid")
    panel.fill(concurrency="4")
    panel.until(lambda: run.get_by_role("button", name="Start run").is_enabled())


def test_a_server_and_a_run_from_start_to_report(panel: Panel, lab_project: Path, browser: Any) -> None:
    """The embedded server is started, measured, and its report opened, which shows everything without a network."""
    tab, serve = panel.tab, panel.turn("Serve")
    serve.get_by_role("button", name="Start server").click()
    serve.get_by_text("healthy").wait_for(timeout=60_000)
    panel.shoot("serve-light")
    run = panel.turn("Run")
    panel.fill(duration_s="3", seed="11")
    assert run.get_by_label("url", exact=True).input_value().startswith("http://127.0.0.1:")
    run.get_by_role("button", name="Start run").click()
    run.get_by_text(re.compile("^done: ")).wait_for(timeout=90_000)
    run.get_by_role("button", name="Open report").click()
    link = run.get_by_role("link", name="report:")
    link.wait_for(timeout=90_000)
    with tab.context.expect_page() as opened:
        link.click()
    report = opened.value
    report.wait_for_function("Number(document.documentElement.dataset.charts) > 5", timeout=60_000)
    report.close()
    page = _newest(lab_project)["folder"] / "report.html"
    _look_offline(browser, page)


def _look_offline(browser: Any, page: Path) -> None:
    """Opens a report with the network cut: all charts are drawn, in both colour schemes, and nothing is asked for."""
    for scheme in ("light", "dark"):
        context = browser.new_context(
            viewport={"width": 1000, "height": 1400}, color_scheme=scheme, offline=True
        )
        asked: list[str] = []
        context.on("request", lambda request, asked=asked: asked.append(request.url))
        shown = context.new_page()
        errors: list[str] = []
        shown.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
        shown.goto(page.as_uri())
        shown.wait_for_function("Number(document.documentElement.dataset.charts) > 5", timeout=60_000)
        places, drawn = shown.locator(".bk-chart"), shown.locator(".bk-chart svg.marks, .bk-chart canvas")
        assert places.count() == drawn.count()
        assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
        assert errors == []
        SHOTS.mkdir(parents=True, exist_ok=True)
        shown.screenshot(path=SHOTS / f"report-{scheme}.png")
        context.close()


def test_what_is_saved_is_run_by_papermill_with_the_same_plan(panel: Panel, lab_project: Path) -> None:
    """*Copy as* saves the form as YAML; papermill runs it; plan and parameters are those of the panel's own run."""
    mine = _newest(lab_project)
    run = panel.turn("Run")
    panel.unfold(run, "Copy as: the same in batch, in a shell, in a notebook")
    run.get_by_label("save to params/").fill("from-the-panel")
    run.get_by_role("button", name="Save", exact=True).click()
    run.get_by_text("saved: params/from-the-panel.yaml").wait_for()
    run.get_by_role("button", name="papermill").click()
    shown = run.get_by_label("", exact=True).or_(run.locator("textarea")).last
    panel.until(lambda: shown.input_value().startswith("papermill notebooks/run_benchmark.ipynb"))
    command = [
        "papermill",
        "notebooks/run_benchmark.ipynb",
        "outputs/again.ipynb",
        "-f",
        "params/from-the-panel.yaml",
    ]
    subprocess.run(
        [Path(sys.executable).parent / command[0], *command[1:]],
        cwd=lab_project,
        check=True,
        capture_output=True,
    )
    batch = _newest(lab_project)
    assert batch["folder"] != mine["folder"]
    assert batch["plan"] == mine["plan"]
    assert batch["parameters_hash"] == mine["parameters_hash"]


def test_a_restarted_kernel_finds_what_it_left(panel: Panel, lab_project: Path) -> None:
    """The kernel is killed in the middle of a run: no process stays, and the next panel recovers the run."""
    panel.fill(duration_s="300", url="")
    run = panel.turn("Run")
    run.get_by_role("button", name="Start run").click()
    panel.until_it_moves()
    folder = _newest(lab_project)["folder"]
    kernel = _kernel_of(folder)
    kernel.send_signal(signal.SIGKILL)
    panel.until(lambda: not _processes_about(folder), seconds=60)
    panel.tab.reload()
    panel.tab.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    panel.make()
    panel.until(lambda: json.loads((folder / "manifest.json").read_text())["status"] == "interrupted")
    runs = panel.turn("Runs")
    panel.until(lambda: runs.get_by_text("interrupted").count() >= 2)
    assert (folder / "requests.parquet").is_file()


def _kernel_of(folder: Path) -> psutil.Process:
    worker = next(each for each in _processes_about(folder) if "benchkit.load.worker" in each.cmdline())
    parent = worker.parent()
    assert parent is not None
    return parent


def _processes_about(folder: Path) -> list[psutil.Process]:
    found = []
    for each in psutil.process_iter():
        try:
            if any(folder.name in word for word in each.cmdline()):
                found.append(each)
        except psutil.Error:
            continue
    return found


def test_every_page_is_whole_in_both_themes(panel: Panel) -> None:
    """Each page fits a window of 1280 pixels, in light and in dark, with text that stands out from its ground."""
    for theme in ("Light", "Dark"):
        panel.theme(f"JupyterLab {theme}")
        for name in PAGES:
            page = panel.turn(name)
            panel.tab.wait_for_timeout(300)
            panel.shoot(f"{name.lower()}-{theme.lower()}-page")
            box = page.bounding_box()
            assert box["x"] + box["width"] <= 1280
            assert page.evaluate("element => element.scrollWidth <= element.clientWidth + 1")
            assert page.evaluate(_CONTRAST) >= 4.5
    panel.theme("JupyterLab Light")


_CONTRAST = """element => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255, v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.5) return colour;
    }
    return [255, 255, 255];
  };
  const texts = [...element.querySelectorAll(".bk-help, .bk-quiet, .bk-head, .bk-error, label, td, th")];
  const shown = texts.filter((node) => node.offsetParent && node.innerText.trim());
  return Math.min(21, ...shown.map((node) => {
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
}"""
