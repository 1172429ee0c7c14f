"""The report: one page that needs nothing, reaches nothing and runs nothing but its own charts."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from benchkit.errors import ReportError
from benchkit.report import charts, renderer, sections
from benchkit.report.body import HIDDEN, body
from benchkit.report.html import to_html
from benchkit.report.section import RUN_MIME

EVIL = "<script>alert(1)</script>"
HOSTILE = [
    EVIL,
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)></svg>",
    "<iframe src='https://example.org'></iframe>",
    "<a href='javascript:alert(1)'>here</a>",
    "<style>body{display:none}</style>",
    "<link rel=stylesheet href=https://example.org/a.css>",
    "</main><script src=https://example.org/a.js></script>",
]


class _Page(HTMLParser):
    """What a page holds: tags with their attributes, scripts, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._open: dict[str, str | None] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = dict(attrs) if tag == "script" else None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.scripts.append((self._open, data))
            self._open = None
        else:
            self.text += data


def _output(data: Any) -> Any:
    return new_output("display_data", data)


def _notebook(run: Any, *outputs: Any) -> nbformat.NotebookNode:
    cells = [
        new_markdown_cell("# A notebook"),
        new_code_cell(
            "hidden()", outputs=[_output({"text/plain": "in the frame"})], metadata={"tags": [HIDDEN]}
        ),
        new_code_cell("shown()", outputs=[_output({"text/plain": "in the body"}), *outputs]),
    ]
    notebook = new_notebook(
        cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )
    for build in (charts.ttft, charts.timeline):
        chart = renderer.bundle(build(run).to_dict())
        notebook.cells.append(new_code_cell("chart", outputs=[_output(chart)]))
    return notebook


def _write(run: Any, folder: Path, *outputs: Any) -> Path:
    nbformat.write(_notebook(run, *outputs), folder / "report.ipynb")
    return to_html(folder / "report.ipynb", folder / "report.html", run.path)


@pytest.fixture(scope="module")
def page(run: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of a usual run."""
    return _write(run, tmp_path_factory.mktemp("report")).read_text("utf-8")


@pytest.fixture(scope="module")
def hostile(make_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a run whose model and outputs would like to run code."""
    run = make_run(60, model=EVIL)
    outputs = [_output({"text/html": text}) for text in HOSTILE]
    outputs.append(new_output("stream", text=EVIL))
    return _write(run, tmp_path_factory.mktemp("hostile"), *outputs)


def test_it_is_small_and_holds_the_libraries_once(page: str) -> None:
    """Under 3 MB, with one copy of Vega for all charts."""
    assert len(page.encode()) < 3_000_000
    assert page.count("window.vegaEmbed") == 1
    assert {f"bk-chart-{i}" for i in range(2)} <= {attrs.get("id") for _, attrs in _Page(page).tags}


def test_it_names_no_outside_address(page: str) -> None:
    """No tag of it loads anything."""
    for tag, attrs in _Page(page).tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        assert "src" not in attrs or str(attrs["src"]).startswith("data:")


def test_its_policy_admits_exactly_its_own_scripts(page: str) -> None:
    """Each script that runs is named by its hash, and every address is refused."""
    read = _Page(page)
    policy = next(attrs["content"] for tag, attrs in read.tags if attrs.get("http-equiv"))
    running = [text for attrs, text in read.scripts if attrs.get("type") != "application/json"]
    assert len(running) == 2
    for text in running:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in str(policy)
    assert "default-src 'none'" in str(policy)
    assert "http" not in str(policy)


def test_it_begins_with_the_verdict_and_ends_with_how_to_repeat(page: str) -> None:
    """Verdict, findings, limits and numbers come before the notebook; method, manifest and repetition after."""
    places = [
        page.index(text)
        for text in (
            "Verdict:",
            "What was found",
            "What this run does not show",
            '<div class="bk-cards">',
            "in the body",
            "How it was measured",
            "the whole manifest",
            "How to run this again",
            "benchkit run -f",
        )
    ]
    assert places == sorted(places)


def test_what_the_frame_says_is_not_said_twice(page: str) -> None:
    """Cells tagged for it are left out, and so are all inputs."""
    assert "in the frame" not in page
    assert "shown()" not in page


def test_nothing_that_a_model_or_an_output_says_can_run(hostile: Path) -> None:
    """Tags and handlers of others are gone; their text is shown as text."""
    read = _Page(hostile.read_text("utf-8"))
    assert len([1 for attrs, _ in read.scripts if attrs.get("type") != "application/json"]) == 2
    for tag, attrs in read.tags:
        assert tag not in {"iframe", "svg", "link"}
        assert not [name for name in attrs if name.startswith("on")]
        assert "javascript:" not in str(attrs.get("href"))
    assert EVIL in read.text


def test_specifications_cannot_end_their_script(make_run: Any, tmp_path: Path) -> None:
    """A chart that quotes a closing tag keeps it inside its JSON."""
    run = make_run(60)
    chart = renderer.bundle(charts.ttft(run).to_dict())
    chart[renderer.MIME]["title"] = "</script>" + EVIL
    text = _write(run, tmp_path, _output(chart)).read_text("utf-8")
    specs = next(body for attrs, body in _Page(text).scripts if attrs.get("id") == "bk-specs")
    assert "<" not in specs
    assert "\\u003c/script>" in specs


def test_a_run_is_found_beside_its_notebook_and_by_what_the_notebook_says(run: Any, tmp_path: Path) -> None:
    """Without being told, the page knows its run; without a run it has no frame."""
    said = _output({"text/plain": "verdict", RUN_MIME: {"path": str(run.path)}})
    nbformat.write(_notebook(run, said), tmp_path / "a.ipynb")
    assert "Verdict:" in to_html(tmp_path / "a.ipynb", tmp_path / "a.html").read_text("utf-8")
    nbformat.write(_notebook(run), tmp_path / "b.ipynb")
    alone = to_html(tmp_path / "b.ipynb", tmp_path / "b.html").read_text("utf-8")
    assert "Verdict:" not in alone
    assert "<h1>A notebook</h1>" in alone


def test_a_file_that_is_no_notebook_is_refused(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "no.ipynb").write_text("no")
    with pytest.raises(ReportError, match=r"no\.ipynb could not be read"):
        to_html(tmp_path / "no.ipynb", tmp_path / "no.html")


def test_charts_of_a_body_keep_their_order(run: Any) -> None:
    """Place i shows specification i."""
    inside = body(_notebook(run))
    assert re.findall(r'id="bk-chart-(\d)"', inside.html) == ["0", "1"]
    told = [renderer.title_of(chart) for chart in inside.charts]
    assert [words in title for words, title in zip(("a first token", "their time"), told, strict=True)] == [
        True
    ] * 2


def test_parameters_to_repeat_a_run_are_all_there(run: Any) -> None:
    """The file at the end of a report is taken by `-f` and gives the same parameters."""
    import yaml

    from benchkit.parameters import parameters_hash, resolve
    from benchkit.report.again import parameters_yaml

    again = resolve(yaml.safe_load(parameters_yaml(run.manifest)))
    assert parameters_hash(again) == parameters_hash(resolve(run.manifest["parameters"]))


def test_sections_escape_what_they_are_told(make_run: Any) -> None:
    """Each part of a report by itself is safe to show in a trusted notebook."""
    run = make_run(60, model=EVIL)
    parts = [getattr(sections, name)(run) for name in sections.__all__]
    assert not [part for part in parts if "<script" in part.html]
    assert EVIL in sections.preflight(run).text


@pytest.mark.chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_without_network_draws_every_chart(hostile: Path, scheme: Any) -> None:
    """Chromium offline: all charts appear, nothing is asked for, nothing of the hostile text runs."""
    import shutil

    from playwright.sync_api import sync_playwright

    flags = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    asked, dialogs, errors = [], [], []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        context = browser.new_context(offline=True, color_scheme=scheme)
        tab = context.new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(hostile.as_uri())
        tab.wait_for_function("document.documentElement.dataset.charts === '2'", timeout=30_000)
        drawn = tab.locator(".bk-chart svg.marks").count()
        browser.close()
    assert drawn == 2
    assert asked == [hostile.as_uri()]
    assert dialogs == []
    assert errors == []
