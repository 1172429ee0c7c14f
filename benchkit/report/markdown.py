"""A notebook as Markdown with pictures beside it, for a pull request: the answer first, details folded.

Nothing that a model or a server wrote formats, links or calls people: it stands in blocks of code or is escaped.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import nbformat

from benchkit import __version__
from benchkit.errors import RecordError, ReportError
from benchkit.records.atomic import atomic_write
from benchkit.records.stored import StoredRun, load
from benchkit.report import again, notebook_file, sections
from benchkit.report.answer import answer
from benchkit.report.body import HIDDEN
from benchkit.report.heading import facts_of, title_of
from benchkit.report.html import run_of
from benchkit.report.markdown_numbers import numbers, objectives
from benchkit.report.markdown_text import fenced, folded, plain, tamed

_PICTURE: Final = "chart-{}.png"
_OURS: Final = re.compile(r"chart-\d+\.png")
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_HEADING: Final = re.compile(r"^#{1,6} ")
_LONG: Final = 40
"""Lines of text that stand unfolded where a notebook has no run, so that its tables are its answer."""


_ITEMS: Final = 5
"""Items of a list that stand unfolded."""


@dataclass
class _Part:
    """What stands under one heading."""

    heading: str
    lines: list[str] = field(default_factory=list)
    pictures: int = 0


def to_markdown(notebook: Path, out: Path, run_path: Path | None = None) -> Path:
    """Writes the report of an executed notebook as Markdown and gives its path.

    Its pictures lie beside it, in a folder named after it: ``report.md`` has ``report_files/chart-1.png`` and so on.

    Args:
        notebook: the executed notebook.
        out: the file to write.
        run_path: the run that it shows; when None it is the one beside it, or the one that it names. With a run, the
            answer and the numbers come first and the notebook's texts are folded.

    Raises:
        ReportError: the notebook cannot be read, or its run is not there.
    """
    content = notebook_file.read(notebook)
    folder = run_path or run_of(notebook)
    pictures: list[bytes] = []
    try:
        run = load(folder) if folder is not None else None
        parts = _parts(content, pictures, f"{out.stem}_files")
        lines = [*_top(run), *_body(parts, compact=run is not None), *_end(run)]
    except RecordError as error:
        raise ReportError(f"the run of {notebook} could not be read: {error}") from error
    _write_pictures(out.with_name(f"{out.stem}_files"), pictures)
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    atomic_write(out, text + "\n")
    return out


def _top(run: StoredRun | None) -> Iterator[str]:
    if run is None:
        return
    yield f"# {plain(title_of(run.manifest))}"
    yield ""
    yield plain(facts_of(run.manifest))
    yield ""
    yield from _shortened(list(_broken([tamed(line) for line in answer(run).text.splitlines()])))
    yield ""
    yield "## Numbers"
    yield ""
    yield from numbers(run.summary)
    yield from objectives(run.summary)


def _broken(lines: list[str]) -> Iterator[str]:
    """The lines, with a break kept where the next one goes on below an item."""
    for line, following in itertools.pairwise([*lines, ""]):
        goes_on = line.strip() and following.startswith("   ") and following.strip()
        yield f"{line}  " if goes_on else line


def _shortened(lines: list[str]) -> Iterator[str]:
    """The lines with long lists folded behind their first items, the weightiest."""
    for listed, group in itertools.groupby(lines, key=lambda line: line.startswith("- ")):
        items = list(group)
        if not listed or len(items) <= _ITEMS + 1:
            yield from items
            continue
        yield from (*items[:_ITEMS], "")
        yield from folded(f"and {len(items) - _ITEMS} more", [*items[_ITEMS:], ""])


def _end(run: StoredRun | None) -> Iterator[str]:
    if run is not None:
        yield from folded("What was run, and on what", fenced(sections.manifest(run).text))
        yield from folded("How to run this again", _again(run))
    yield f"Made by benchkit {plain(__version__)}."


def _again(run: StoredRun) -> Iterator[str]:
    yield "Save these parameters as `again.yaml` in the project's folder:"
    yield ""
    yield from fenced(again.parameters_yaml(run.manifest), "yaml")
    yield "and run it with the same requests at the same times:"
    yield ""
    yield from fenced("benchkit run -f again.yaml", "sh")


def _body(parts: list[_Part], *, compact: bool) -> Iterator[str]:
    for part in parts:
        if not any(line.strip() for line in part.lines) and compact:
            continue
        if compact and not part.pictures and part.heading:
            yield from folded(_HEADING.sub("", part.heading), part.lines)
        else:
            yield from filter(None, [part.heading])
            yield ""
            yield from part.lines


def _parts(content: nbformat.NotebookNode, pictures: list[bytes], folder: str) -> list[_Part]:
    """The notebook cut at its headings; pictures are taken out and counted."""
    parts = [_Part("")]
    for cell in content.cells:
        if HIDDEN in cell.metadata.get("tags", ()):
            continue
        if cell.cell_type == "markdown":
            first, _, rest = cell.source.partition("\n")
            if _HEADING.match(first):
                parts.append(_Part(first))
                parts[-1].lines += [*rest.strip("\n").splitlines(), ""]
            else:
                parts[-1].lines += [*cell.source.splitlines(), ""]
        for output in cell.get("outputs", ()):
            before = len(pictures)
            parts[-1].lines += _output(output, pictures, folder, _HEADING.sub("", parts[-1].heading))
            parts[-1].pictures += len(pictures) - before
    return parts


def _output(output: Any, pictures: list[bytes], folder: str, heading: str) -> Iterator[str]:
    data = output.get("data") or {}
    if "image/png" in data:
        told = str(data.get("text/plain", "")).removeprefix("Chart: ")
        label = told if told not in ("", "Chart") else heading or "Chart"
        pictures.append(base64.b64decode(data["image/png"]))
        yield f"![{plain(label)}]({folder}/{_PICTURE.format(len(pictures))})"
        yield ""
        return
    if output.get("output_type") == "error":
        text = "\n".join(output.get("traceback", ()))
    else:
        text = str(output.get("text") or data.get("text/plain") or "")
    text = _ANSI.sub("", text)
    if not text.strip():
        return
    block = list(fenced(text))
    if len(block) > _LONG:
        yield from folded(f"{len(text.splitlines())} lines", block)
    else:
        yield from block


def _write_pictures(folder: Path, pictures: list[bytes]) -> None:
    """Writes the pictures, and takes away those of an earlier report that had more."""
    if not pictures and not folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    names = [_PICTURE.format(number) for number in range(1, len(pictures) + 1)]
    for name, picture in zip(names, pictures, strict=True):
        atomic_write(folder / name, picture)
    for old in folder.iterdir():
        if _OURS.fullmatch(old.name) and old.name not in names:
            old.unlink()
