"""A capacity analysis as plain text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchkit.report import capacity_rows
from benchkit.report.rows import aligned

if TYPE_CHECKING:
    from benchkit.report.capacity_report import Capacity

_WIDTH = 110


def as_text(found: Capacity) -> str:
    """The answer first, then what it rests on, what limits a server, and what is assumed."""
    return "\n".join(_lines(found))


def _lines(found: Capacity) -> Iterator[str]:
    answer = found.answer
    yield from _wrapped(capacity_rows.headline(found))
    yield f"Objectives: {'; '.join(str(objective) for objective in found.objectives)}"
    for refusal in answer.refusals[1:]:
        yield from _wrapped(refusal)
    if answer.options:
        yield ""
        yield aligned(capacity_rows.answers(found))
    for remark in capacity_rows.remarks(answer):
        yield from _wrapped(remark, "! ")
    if len(found.answers) > 1:
        yield ""
        yield aligned(capacity_rows.cells(found))
    yield ""
    yield from _wrapped(capacity_rows.limit(answer))
    for wall in answer.carried.walls:
        yield from _wrapped(f"{wall.kind}: {wall.evidence}", "- ")
    if found.days:
        yield ""
        yield aligned(capacity_rows.fleets(found))
        yield from _wrapped(capacity_rows.start_up(found.days[0][1]))
    yield ""
    yield "This takes for granted:"
    for assumption in answer.assumptions:
        yield from _wrapped(assumption, "- ")


def _wrapped(text: str, mark: str = "") -> list[str]:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return textwrap.wrap(printable, _WIDTH, initial_indent=mark, subsequent_indent=" " * len(mark))
