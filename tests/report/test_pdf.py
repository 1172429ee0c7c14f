"""A report as PDF: charts drawn beforehand, printed without a network, and words where no browser is."""

from __future__ import annotations

import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from benchkit.errors import InvalidParameter, ReportError
from benchkit.report import charts, renderer, share
from benchkit.report.html import to_html
from benchkit.report.pdf import chromium, for_paper, to_pdf

BUILDERS = (charts.ttft, charts.timeline)


def _page(run: Any, folder: Path) -> Path:
    cells = [
        new_code_cell("chart", outputs=[new_output("display_data", renderer.bundle(build(run).to_dict()))])
        for build in BUILDERS
    ]
    nbformat.write(new_notebook(cells=cells), folder / "report.ipynb")
    return to_html(folder / "report.ipynb", folder / "report.html", run.path)


@pytest.fixture(scope="module")
def page(run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a usual run."""
    return _page(run, tmp_path_factory.mktemp("paper"))


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_for_paper_has_its_charts_and_no_script(page: Path) -> None:
    """Each chart is a picture within the page that says what it shows; nothing runs and nothing is asked for."""
    still = for_paper(page.read_text("utf-8"))
    tags = _Tags(still).found
    pictures = [attrs for tag, attrs in tags if tag == "img"]
    assert len(pictures) == len(BUILDERS)
    assert all(str(each["src"]).startswith("data:image/svg+xml;base64,") and each["alt"] for each in pictures)
    assert "script" not in {tag for tag, _ in tags}
    assert not [attrs for _, attrs in tags if "bk-chart-" in str(attrs.get("id"))]
    assert len(still) < len(page.read_text("utf-8"))


def test_all_that_is_not_shown_is_opened_or_left_out(page: Path) -> None:
    """What the run does not show is whole on paper."""
    assert page.read_text("utf-8").count('<details class="bk-more">') == 1
    assert for_paper(page.read_text("utf-8")).count('<details class="bk-more" open>') == 1


def test_hostile_names_stay_text_on_paper(make_run: Any, tmp_path: Path) -> None:
    """A model's name that holds a script is neither a script in the page nor an end of a picture's label."""
    run = make_run(60, model='"><script>alert(1)</script>')
    still = for_paper(_page(run, tmp_path).read_text("utf-8"))
    assert "script" not in {tag for tag, _ in _Tags(still).found}


def test_without_a_browser_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Chromium, or a wrong name of one: a sentence with the remedy, before any work is done."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BENCHKIT_CHROMIUM", raising=False)
    with pytest.raises(ReportError, match="apt install chromium"):
        share.check(["html", "pdf"])
    share.check(["html", "md"])
    monkeypatch.setenv("BENCHKIT_CHROMIUM", str(tmp_path / "nowhere"))
    with pytest.raises(ReportError, match=r"BENCHKIT_CHROMIUM names .*nowhere"):
        chromium()


def test_a_browser_that_prints_nothing_is_told(
    page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What it said goes into the error; no file is left, and an old one stays as it was."""
    program = tmp_path / "browser"
    program.write_text("#!/bin/sh\necho no display >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("BENCHKIT_CHROMIUM", str(program))
    (tmp_path / "report.pdf").write_text("old")
    with pytest.raises(ReportError, match=r"exit code 3\): no display"):
        to_pdf(page, tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_text() == "old"
    assert {file.name for file in tmp_path.iterdir()} == {"browser", "report.pdf"}


def test_forms_are_named_by_their_endings() -> None:
    """A list, each once; what there is not is refused by name."""
    assert share.forms_of("html, PDF,html") == ("html", "pdf")
    with pytest.raises(InvalidParameter, match="not as 'docx'"):
        share.forms_of("md,docx")
    with pytest.raises(InvalidParameter, match="html, pdf, md"):
        share.forms_of(" ")


def _drawn(pdf: bytes) -> int:
    """How many lines and curves its pages draw."""
    count = 0
    for match in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            content = zlib.decompress(match[1])
        except zlib.error:
            continue
        count += len(re.findall(rb" [lc]\n", content))
    return count


@pytest.mark.chromium
@pytest.mark.slow
def test_the_charts_are_on_the_paper(page: Path, tmp_path: Path) -> None:
    """The PDF has pages, and the lines of the charts, which the same page without charts has not."""
    made = to_pdf(page, tmp_path / "report.pdf").read_bytes()
    assert made.startswith(b"%PDF-")
    assert made.count(b"/Type /Page\n") >= 2
    bare = page.read_text("utf-8")
    for number in range(len(BUILDERS)):
        bare = bare.replace(f'id="bk-chart-{number}"', "")
    (tmp_path / "bare.html").write_text(bare)
    without = to_pdf(tmp_path / "bare.html", tmp_path / "bare.pdf").read_bytes()
    assert _drawn(made) > _drawn(without) + 300
