"""Text as Markdown that shows it as it is: escaped lines, tables, blocks of code, folded parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from benchkit.report.rows import Rows

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~&])")
_CODE = re.compile(r"`([^`]+)`")
_FENCE = re.compile(r"`{3,}")
_LINKING = re.compile(r"([\[\]|~])")
_APART = "\N{ZERO WIDTH SPACE}"


def plain(text: str) -> str:
    """One line that shows the text: names of models and servers neither format, link, call people nor end a cell."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    escaped = _SPECIAL.sub(r"\\\1", " ".join(shown.split()))
    return escaped.replace("://", f":{_APART}//").replace("@", f"@{_APART}")


def tamed(line: str) -> str:
    """A line that is Markdown already, in which names of models and servers neither link, call people nor hold tags."""
    parts = _CODE.split(line)
    return "".join(f"`{part}`" if at % 2 else _tame(part) for at, part in enumerate(parts))


def table(rows: Rows, right: Sequence[int] = ()) -> Iterator[str]:
    """A table, all text escaped.

    Args:
        rows: its header and rows.
        right: the columns that stand to the right.
    """
    yield "| " + " | ".join(map(plain, rows.header)) + " |"
    yield "|" + "|".join("---:" if at in right else "---" for at in range(len(rows.header))) + "|"
    for row in rows.rows:
        yield "| " + " | ".join(map(plain, row)) + " |"
    yield ""


def fenced(text: str, language: str = "") -> Iterator[str]:
    """A block of code that no backquotes in it can end."""
    longest = max((len(found) for found in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    yield f"{fence}{language}"
    yield from text.rstrip().splitlines()
    yield fence
    yield ""


def folded(summary: str, lines: Iterable[str]) -> Iterator[str]:
    """A part that opens at a click."""
    yield f"<details><summary>{escape(' '.join(summary.split()))}</summary>"
    yield ""
    yield from lines
    yield "</details>"
    yield ""


def _tame(text: str) -> str:
    linkless = _LINKING.sub(r"\\\1", text).replace("<", "&lt;")
    return linkless.replace("://", f":{_APART}//").replace("@", f"@{_APART}")
