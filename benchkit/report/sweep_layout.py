"""Lays columns of cells out, under headings that neighbours may share, as text and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from benchkit.report.section import Section

STAR: Final = " *"
"""Ends a cell whose number its sample does not resolve."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of cells as text, under a heading that it may share with its neighbours."""

    group: str
    name: str
    cells: tuple[str, ...]
    is_number: bool = True


def lay_out(columns: Sequence[Column], notes: Sequence[str], tables: Sequence[Sequence[Column]]) -> Section:
    """The columns as one table of text, and as one or more tables of HTML, with notes below."""
    if not columns or not columns[0].cells:
        return Section("<p>0 points.</p>", "0 points.")
    feet = "".join(f'<p class="bk-quiet">{escape(note)}</p>' for note in notes)
    return Section("".join(map(_html, tables)) + feet, "\n".join([*_text(columns), *map(printable, notes)]))


def _html(columns: Sequence[Column]) -> str:
    top = "".join(
        f'<th colspan="{width}">{escape(group)}</th>' if width > 1 else f"<th>{escape(group)}</th>"
        for group, width in _groups(columns)
    )
    head = "".join(_tagged("th", column, column.name) for column in columns)
    body = "".join(
        "<tr>" + "".join(_tagged("td", column, column.cells[row]) for column in columns) + "</tr>"
        for row in range(len(columns[0].cells))
    )
    return f"<table><thead><tr>{top}</tr><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _tagged(tag: str, column: Column, text: str) -> str:
    attribute = ' class="bk-number"' if column.is_number else ""
    # A load's name or a number with its star does not break.
    return f"<{tag}{attribute}>{escape(text).replace(' ', '&nbsp;')}</{tag}>"


def _text(columns: Sequence[Column]) -> list[str]:
    """Columns of text, numbers to the right, groups over their columns; control characters are left out."""
    widths = [
        max(len(column.name), *(len(_aligned(column, row)) for row in range(len(column.cells))))
        for column in columns
    ]
    top, at = "", 0
    for group, width in _groups(columns):
        span = sum(widths[at : at + width]) + 2 * (width - 1)
        if len(group) > span:
            widths[at + width - 1] += len(group) - span
            span = len(group)
        top += group.center(span) + "  "
        at += width
    lines = [top.rstrip()]
    for row in range(-1, len(columns[0].cells)):
        cells = [printable(column.name if row < 0 else _aligned(column, row)) for column in columns]
        padded = (
            cell.rjust(width) if column.is_number else cell.ljust(width)
            for cell, width, column in zip(cells, widths, columns, strict=True)
        )
        lines.append("  ".join(padded).rstrip())
    return lines


def _aligned(column: Column, row: int) -> str:
    """A cell with room for a star where another of its column has one, so that digits stand under digits."""
    starred = any(cell.endswith(STAR) for cell in column.cells)
    cell = column.cells[row]
    return printable(cell) + (" " * len(STAR) if starred and not cell.endswith(STAR) else "")


def _groups(columns: Sequence[Column]) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for column in columns:
        if column.group and found and found[-1][0] == column.group:
            found[-1] = (column.group, found[-1][1] + 1)
        else:
            found.append((column.group, 1))
    return found


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)
