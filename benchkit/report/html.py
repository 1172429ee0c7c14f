"""A notebook as one HTML file: offline, interactive, framed by the verdict and by how to run it again.

Nothing in it can reach out or run what a model or a server wrote: text is escaped, outputs are cleaned, and a
content security policy admits two scripts by their hashes and no address at all.
"""

from __future__ import annotations

import functools
import json
import re
from html import escape
from pathlib import Path
from typing import Any, Final

import nbformat
import vl_convert

from benchkit import __version__
from benchkit.errors import RecordError, ReportError
from benchkit.records import sweeps
from benchkit.records.atomic import atomic_write
from benchkit.records.project import in_project
from benchkit.records.stored import StoredRun, load
from benchkit.report import notebook_file, sections, theme
from benchkit.report.answer import answer
from benchkit.report.answer_method import method
from benchkit.report.body import Body, body
from benchkit.report.heading import facts_of, title_of
from benchkit.report.page import head, own
from benchkit.report.renderer import VEGA_LITE
from benchkit.report.section import RUN_MIME, SWEEP_MIME

_NUMBER_CELL: Final = re.compile(r"<td>(-?[\d,]*\.?\d+(?:e[+-]?\d+)?(?: (?:\*|%|ms|s))?)</td>")
_NUMBER_HEAD: Final = re.compile(r"<th>(count|mean|std|min|max|value|p\d[\d.]*)</th>")
_UNTITLED: Final = "benchkit report"


def to_html(notebook: Path, out: Path, run_path: Path | None = None) -> Path:
    """Writes the report of an executed notebook and gives its path.

    Args:
        notebook: the executed notebook.
        out: the file to write.
        run_path: the run that the notebook shows; when None it is the one beside the notebook, or the one
            that the notebook names. A notebook without a run makes a page without the frame.

    Raises:
        ReportError: the notebook cannot be read, or its run is not there.
    """
    content = notebook_file.read(notebook)
    folder = run_path or run_of(notebook)
    try:
        run = load(folder) if folder is not None else None
        page = _page(_title(content, run), body(content), run)
    except RecordError as error:
        raise ReportError(f"the run of {notebook} could not be read: {error}") from error
    atomic_write(out, page.encode("utf-8"))
    return out


def run_of(notebook: Path) -> Path | None:
    """The folder of the run that an executed notebook shows; None when it shows none.

    Raises:
        ReportError: the notebook names a run that is not there.
    """
    return _shown_by(notebook, RUN_MIME, "run", "manifest.json")


def sweep_of(notebook: Path) -> Path | None:
    """The folder of the sweep that an executed notebook shows; None when it shows none.

    Raises:
        ReportError: the notebook names a sweep that is not there.
    """
    return _shown_by(notebook, SWEEP_MIME, "sweep", sweeps.FILE_NAME)


def _shown_by(notebook: Path, mime: str, noun: str, record: str) -> Path | None:
    if (notebook.parent / record).exists():
        return notebook.parent
    for cell in notebook_file.read(notebook).cells:
        for output in cell.get("outputs", ()):
            told = output.get("data", {}).get(mime)
            if told:
                return _found(str(told["path"]), notebook, noun, record)
    return None


def _found(path: str, notebook: Path, noun: str, record: str) -> Path:
    """A run or sweep by its path in the project, or beside the notebook, where it was measured outside of one."""
    for folder in (in_project(path, notebook.parent), in_project(path), notebook.parent / Path(path).name):
        if (folder / record).exists():
            return folder
    raise ReportError(
        f"{notebook.name} shows the {noun} {Path(path).name}, which is neither in {path} nor beside it"
    )


def _title(content: nbformat.NotebookNode, run: StoredRun | None) -> str:
    if run is not None:
        return title_of(run.manifest)
    for cell in content.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("# "):
            return str(cell.source.split("\n", 1)[0][2:]).strip()
    return _UNTITLED


def _page(title: str, inside: Body, run: StoredRun | None) -> str:
    top = _frame_top(run) if run is not None else ""
    end = _frame_end(run) if run is not None else ""
    scripts = [_bundle(), own("page.js")] if inside.charts else []
    data = (
        _json_block("bk-specs", list(inside.charts)) + _json_block("bk-dark", theme.DARK) if scripts else ""
    )
    return (
        # Vega compiles its expressions; only the two scripts named here may do so.
        head(title, own("page.css"), scripts, compiles=True) + "<main>\n"
        f"{_header(title, run)}\n{top}\n<article>{_aligned(inside.html)}</article>\n{end}\n"
        f"<footer>benchkit {escape(__version__)}. This file needs no network.</footer>\n</main>\n{data}\n"
        + "\n".join(f"<script>{script}</script>" for script in scripts)
        + "\n</body>\n</html>\n"
    )


def _header(title: str, run: StoredRun | None) -> str:
    """The page's own title; a notebook without a run brings its own."""
    if run is None:
        return ""
    facts = escape(facts_of(run.manifest))
    return f'<header><h1>{escape(title)}</h1><p class="bk-quiet">{facts}</p></header>'


def _frame_top(run: StoredRun) -> str:
    """What someone who must decide reads: the answer, and the numbers that most ask for."""
    return f"{answer(run).html}\n<section>{sections.headline(run).html}</section>\n"


def _frame_end(run: StoredRun) -> str:
    """What someone who doubts it, or repeats it, reads."""
    return (
        f"<section><h2>How it was measured</h2>{method(run).html}</section>\n"
        f"<section><details><summary>What was run, and on what: the whole manifest</summary>"
        f"{sections.manifest(run).html}</details></section>\n"
        f"<section><h2>How to run this again</h2>{sections.again(run).html}</section>"
    )


def _aligned(html: str) -> str:
    """Marks the cells of tables that hold a number, and the heads of such columns."""
    html = _NUMBER_HEAD.sub(r'<th class="bk-number">\1</th>', html)
    html = html.replace('<td><span class="bk-value">', '<td class="bk-number"><span class="bk-value">')
    return _NUMBER_CELL.sub(r'<td class="bk-number">\1</td>', html)


def _json_block(name: str, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Neither `</script>` nor `<!--` can stand in it.
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f'<script type="application/json" id="{name}">{safe}</script>\n'


@functools.cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    code: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")
