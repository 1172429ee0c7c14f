"""A comparison as Markdown, for a review or the summary of a job."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchkit.report import compare_rows
from benchkit.report.rows import Rows

if TYPE_CHECKING:
    from benchkit.report.compare import Comparison

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~])")
_SIGNS = {"pass": "✅", "fail": "❌", "inconclusive": "❔"}


def as_markdown(found: Comparison) -> str:
    """The answer, the gates, what was measured differently, every number, and what to keep in mind."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Comparison) -> Iterator[str]:
    base, new = found.names
    sign = f"{_SIGNS[found.outcome]} " if found.outcome else ""
    yield f"## {sign}{_plain(new)} against {_plain(base)}"
    yield ""
    for sentence in compare_rows.headline(found):
        yield _plain(sentence)
        yield ""
    if found.gates:
        yield from _table(compare_rows.gates(found))
    different = compare_rows.differences(found)
    if different.rows:
        yield "**Measured differently**"
        yield ""
        yield from _table(different)
    else:
        yield "Measured alike in everything that the sources tell of."
        yield ""
    for load in found.loads:
        title = _plain(load.label) or "Numbers"
        yield f"**{title}**: {_plain(compare_rows.sizes(load))}"
        yield ""
        yield from _table(compare_rows.numbers(found, load))
    if found.notes:
        yield "<details><summary>To keep in mind</summary>"
        yield ""
        yield from (f"* {_plain(note)}" for note in found.notes)
        yield ""
        yield "</details>"


def _table(table: Rows) -> Iterator[str]:
    yield "| " + " | ".join(map(_plain, table.header)) + " |"
    yield "|" + "---|" * len(table.header)
    for row in table.rows:
        yield "| " + " | ".join(map(_plain, row)) + " |"
    yield ""


def _plain(text: str) -> str:
    """Text as it is: names of models and servers neither format nor link nor end a table's cell."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return _SPECIAL.sub(r"\\\1", " ".join(shown.split())).replace("://", ":\N{ZERO WIDTH SPACE}//")
