"""A report as Markdown: the answer first, pictures beside it, and no text of others that acts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from benchkit.errors import ReportError
from benchkit.report import charts, renderer, sections
from benchkit.report.body import HIDDEN
from benchkit.report.markdown import to_markdown
from benchkit.report.markdown_text import fenced, folded, plain, table, tamed
from benchkit.report.rows import Rows

EVIL = "<img src=x onerror=alert(1)> [here](https://example.org) @everyone #1 | `x` ```"
PNG = b"\x89PNG\r\n\x1a\n"


def _output(data: Any) -> Any:
    return new_output("display_data", data)


def _notebook(run: Any, folder: Path, *, pictures: int = 2) -> Path:
    builders = (charts.ttft, charts.timeline)[:pictures]
    drawn = [renderer.bundle(build(run).to_dict()) for build in builders]
    cells = [
        new_markdown_cell("# A notebook\n\nHow to use it.", metadata={"tags": [HIDDEN]}),
        new_code_cell(
            "sections.verdict(run)", metadata={"tags": [HIDDEN]}, outputs=[_output({"text/plain": "twice"})]
        ),
        new_markdown_cell("## What the look found\n\nRead these."),
        new_code_cell("preflight", outputs=[_output(sections.preflight(run)._repr_mimebundle_())]),
        new_code_cell("print(run)", outputs=[new_output("stream", text=f"a line\n{EVIL}\n")]),
        new_markdown_cell("## First token\n\nFollow the curve."),
        *(new_code_cell("chart", outputs=[_output(each)]) for each in drawn),
    ]
    nbformat.write(new_notebook(cells=cells), folder / "report.ipynb")
    return folder / "report.ipynb"


@pytest.fixture(scope="module")
def written(run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Markdown of a usual run."""
    folder = tmp_path_factory.mktemp("markdown")
    return to_markdown(_notebook(run, folder), folder / "report.md", run.path)


def test_it_begins_with_the_answer(written: Path) -> None:
    """Title, verdict, numbers, objectives, limits, charts, repetition: in this order."""
    text = written.read_text("utf-8")
    places = [
        text.index(words)
        for words in (
            "# tiny under 20 requests/s (poisson)",
            "Verdict:",
            "## What was found",
            "What this run does not show",
            "## Numbers",
            "time to first token",
            "p95 ttft \\< 200ms",
            "## First token",
            "How to run this again",
            "benchkit run -f",
        )
    ]
    assert places == sorted(places)
    assert "twice" not in text


def test_its_numbers_have_their_intervals(written: Path, run: Any) -> None:
    """The median TTFT stands with its limits, in the digits that these leave."""
    from benchkit.report.precision import between, measured

    told = run.summary["windows"]["whole"]["metrics"]["ttft_ms"]
    row = next(
        line for line in written.read_text("utf-8").splitlines() if line.startswith("| time to first token")
    )
    assert f"{measured(told['p50'], told['ci95']['p50'])} ({between(*told['ci95']['p50'])})" in row


def test_every_picture_lies_beside_it(written: Path) -> None:
    """Links are relative, their files are PNGs, and each says what it shows."""
    links = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", written.read_text("utf-8"))
    assert [link for _, link in links] == ["report_files/chart-1.png", "report_files/chart-2.png"]
    for label, link in links:
        assert len(label) > 10
        assert (written.parent / link).read_bytes().startswith(PNG)


def test_pictures_of_an_earlier_report_go(run: Any, tmp_path: Path) -> None:
    """With fewer charts than before, no stale picture stays; files of others do."""
    to_markdown(_notebook(run, tmp_path), tmp_path / "report.md", run.path)
    (tmp_path / "report_files" / "mine.png").touch()
    to_markdown(_notebook(run, tmp_path, pictures=1), tmp_path / "report.md", run.path)
    assert {file.name for file in (tmp_path / "report_files").iterdir()} == {"chart-1.png", "mine.png"}


def test_texts_are_folded_and_charts_are_not(written: Path) -> None:
    """Parts without a picture open at a click; those with one stand open."""
    text = written.read_text("utf-8")
    open_parts = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    assert "What the look found" in text
    assert "What the look found" not in open_parts
    assert "Follow the curve." in open_parts
    assert text.count("<details>") == text.count("</details>") >= 4


def test_what_a_model_or_an_output_says_does_nothing(make_run: Any, tmp_path: Path) -> None:
    """No tag, link or mention comes out of other people's text, wherever it stands."""
    run = make_run(60, model=EVIL)
    text = to_markdown(_notebook(run, tmp_path), tmp_path / "report.md", run.path).read_text("utf-8")
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<img src=x" not in html.replace('<img src="report_files', "")
    assert "<img src=x" not in re.sub(r"<(pre|code)\b.*?</\1>", "", html, flags=re.DOTALL)
    assert 'href="https://example.org"' not in html
    outside = re.sub(r"<pre>.*?</pre>", "", html, flags=re.DOTALL)
    assert "@everyone" not in outside


def test_a_notebook_without_a_run_shows_what_it_shows(run: Any, tmp_path: Path) -> None:
    """Its own title and texts stand open: they are its answer."""
    cells = [
        new_markdown_cell("# How many servers?"),
        new_code_cell("answer", outputs=[_output({"text/plain": "six", "text/html": "<b>six</b>"})]),
        new_code_cell("long", outputs=[new_output("stream", text="line\n" * 100)]),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "any.ipynb")
    text = to_markdown(tmp_path / "any.ipynb", tmp_path / "any.md").read_text("utf-8")
    assert text.startswith("# How many servers?\n\n```\nsix\n```")
    assert "<summary>100 lines</summary>" in text
    assert not (tmp_path / "any_files").exists()


def test_a_file_that_is_no_notebook_is_refused(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "no.ipynb").write_text("no")
    with pytest.raises(ReportError, match=r"no\.ipynb could not be read"):
        to_markdown(tmp_path / "no.ipynb", tmp_path / "no.md")


def _shown(markdown: str) -> str:
    """The text that a reader of the Markdown sees."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown)
    inline = [child for token in tokens for child in token.children or ()]
    assert not [
        token.type
        for token in [*tokens, *inline]
        if token.type in {"html_inline", "link_open", "image", "em_open"}
    ]
    return "".join(child.content for child in inline)


@given(st.text(max_size=60))
def test_plain_text_is_shown_as_it_is(text: str) -> None:
    """Whatever a name holds, the reader sees just its characters."""
    seen = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    shown = _shown(f"x{plain(text)}x").replace("\N{ZERO WIDTH SPACE}", "")
    assert shown == f"x{seen}x".replace("\N{ZERO WIDTH SPACE}", "")


@given(st.text(max_size=80))
def test_no_text_ends_its_block_of_code(text: str) -> None:
    """A fence is longer than any in what it holds."""
    (block,) = MarkdownIt("commonmark").parse("\n".join(fenced(text)))
    assert block.type == "fence"


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=4))
def test_a_table_keeps_its_cells(rows: list[tuple[str, str]]) -> None:
    """No cell ends early or runs on, whatever it holds."""
    tokens = MarkdownIt("commonmark").enable("table").parse("\n".join(table(Rows(("a", "b"), rows))))
    assert [token.type for token in tokens].count("td_open") == 2 * len(rows)
    assert [token.type for token in tokens].count("tr_open") == len(rows) + 1


def test_markdown_of_ours_keeps_its_form_and_loses_what_acts() -> None:
    """Bold, lists and code stay; links, tags and mentions of names within do not."""
    text = "1. **It holds** [here](https://example.org) <b>@all</b>, raise `-p workers 2`"
    html = MarkdownIt("commonmark").render(tamed(text))
    assert "<li><strong>It holds</strong>" in html
    assert "<code>-p workers 2</code>" in html
    assert "<a " not in html
    assert "<b>" not in html
    assert "@all" not in html


def test_a_folded_part_names_itself_safely() -> None:
    """The words that stay visible are escaped as HTML."""
    assert next(folded("<b>a</b>\nb", [])) == "<details><summary>&lt;b&gt;a&lt;/b&gt; b</summary>"
