"""A comparison as plain text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchkit.report import compare_rows
from benchkit.report.rows import aligned

if TYPE_CHECKING:
    from benchkit.report.compare import Comparison

_WIDTH = 110


def as_text(found: Comparison) -> str:
    """The answer first, then what differs in how it was measured, the numbers, the gates, what to keep in mind."""
    return "\n".join(_lines(found))


def _lines(found: Comparison) -> Iterator[str]:
    for sentence in compare_rows.headline(found):
        yield from _wrapped(sentence)
    yield ""
    yield "Measured differently:"
    different = compare_rows.differences(found)
    if different.rows:
        for point, name, base, new in different.rows:
            yield from _wrapped(f"{point}, {name}: {base} -> {new}", "- ")
    else:
        yield "- nothing that the sources tell of"
    for load in found.loads:
        yield ""
        if load.label:
            yield f"{load.label}:"
        yield from _wrapped(compare_rows.sizes(load))
        yield _printable(aligned(compare_rows.numbers(found, load), left=(0, -1)))
    if found.gates:
        yield ""
        yield _printable(aligned(compare_rows.gates(found), left=(0, 1, 2, -1)))
    if found.notes:
        yield ""
    for note in found.notes:
        yield from _wrapped(note, "! ")


def _wrapped(text: str, mark: str = "") -> list[str]:
    return textwrap.wrap(_printable(text), _WIDTH, initial_indent=mark, subsequent_indent=" " * len(mark))


def _printable(text: str) -> str:
    """Without control characters, which names of models and servers might bring to a terminal."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)
