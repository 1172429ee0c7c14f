"""An executed notebook shows everywhere: untrusted in JupyterLab, in VS Code, through nbconvert, as Markdown."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter, MarkdownExporter

import benchkit
from benchkit.report import renderer
from benchkit.report.execute import report_from_run
from benchkit.report.markdown import to_markdown
from benchkit.report.share import share
from benchkit.serving.process import ServerProcess

pytestmark = pytest.mark.slow
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def executed(embedded: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook behind a run's report."""
    run = benchkit.run(
        url=embedded.url,
        load="poisson",
        rate=20.0,
        warmup_s=0.3,
        duration_s=1.5,
        input_tokens=24,
        output_tokens=8,
        out=str(tmp_path_factory.mktemp("outputs")),
    )
    return report_from_run(run.path).with_suffix(".ipynb")


@pytest.fixture(scope="module")
def notebook(executed: Path) -> nbformat.NotebookNode:
    """The same, read."""
    return nbformat.read(executed, as_version=nbformat.NO_CONVERT)


def _charts(notebook: nbformat.NotebookNode) -> list[dict[str, object]]:
    return [
        output["data"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if renderer.MIME in output.get("data", {})
    ]


def test_each_chart_has_a_picture_and_words_and_no_html(notebook: nbformat.NotebookNode) -> None:
    """An untrusted notebook drops HTML; whoever knows no Vega-Lite shows the PNG, and the rest the words."""
    charts = _charts(notebook)
    assert len(charts) >= 9
    for chart in charts:
        assert set(chart) == {renderer.MIME, "image/png", "text/plain"}
        assert len(str(chart["text/plain"])) > len("Chart: ")


def test_every_output_has_a_form_without_trust(notebook: nbformat.NotebookNode) -> None:
    """Wherever HTML is shown, the same stands as text."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data")
            assert data is None or str(data.get("text/plain", "")).strip(), cell.source
            assert "application/javascript" not in (data or {})


def test_it_is_of_the_format_that_editors_read(notebook: nbformat.NotebookNode) -> None:
    """Format 4.5, valid, with an id for each cell and a kernel's name and language."""
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", each) for each in ids)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info.name == "python"


def test_nbconvert_shows_every_picture(notebook: nbformat.NotebookNode) -> None:
    """Its HTML holds each chart as a picture, and its Markdown has a file for each."""
    count = len(_charts(notebook))
    html, _ = HTMLExporter().from_notebook_node(notebook)
    assert len(re.findall(r'<img[^>]*src="data:image/png;base64,', html)) == count
    text, resources = MarkdownExporter().from_notebook_node(notebook)
    pictures = [content for name, content in resources["outputs"].items() if name.endswith(".png")]
    assert len(pictures) == len(re.findall(r"!\[[^\]]*\]\([^)]+\.png\)", text)) == count
    assert all(content.startswith(PNG) for content in pictures)


def test_as_markdown_it_shows_them_too(
    executed: Path, notebook: nbformat.NotebookNode, tmp_path: Path
) -> None:
    """benchkit's own Markdown has each chart, and the verdict above them."""
    text = to_markdown(executed, tmp_path / "report.md", executed.parent).read_text("utf-8")
    links = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert len(links) == len(_charts(notebook))
    assert all((tmp_path / link).read_bytes().startswith(PNG) for link in links)
    assert text.index("## Numbers") < text.index("![")


@pytest.mark.chromium
def test_one_report_is_made_in_every_form(executed: Path) -> None:
    """Beside the notebook lie the page, the paper and the Markdown."""
    made = share(executed.with_suffix(".html"), ("html", "pdf", "md"), executed.parent)
    assert [path.name for path in made] == ["report.html", "report.pdf", "report.md"]
    assert all(path.stat().st_size > 1000 for path in made)
    assert (executed.parent / "report.pdf").read_bytes().startswith(b"%PDF-")
