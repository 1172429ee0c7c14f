"""A table of text: as text with its columns side by side, and as HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

from benchkit.report.amounts import NONE

_NUMBER: Final = re.compile(rf"({NONE}|[+-]?\d).{{0,23}}")
"""A cell that is a number, with what is short beside it: a unit, an interval, a star."""


class Rows(NamedTuple):
    """A table of text."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def aligned(table: Rows, *, left: Sequence[int] = (0,)) -> str:
    """A table with its columns side by side.

    Args:
        table: its header and rows.
        left: the columns that stand to the left (negative: from the end); the others stand to the right.
    """
    every = [table.header, *table.rows]
    count = len(table.header)
    leftmost = {at % count for at in left}
    widths = [max(len(row[at]) for row in every) for at in range(count)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at in leftmost else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in every
    )


def table_html(table: Rows, limited: Sequence[int] = ()) -> str:
    """A table, all text escaped, columns of numbers to the right.

    Args:
        table: its header and rows.
        limited: columns of which what stands in brackets goes below the value.
    """
    right = [
        at in limited or (at > 0 and bool(table.rows) and all(map(_NUMBER.fullmatch, column)))
        for at, column in enumerate(zip(*table.rows, strict=True))
    ] or [False] * len(table.header)
    head = "".join(
        f"<th{_to_right(at_right)}>{escape(cell)}</th>"
        for cell, at_right in zip(table.header, right, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{_to_right(right[at])}>{_limited(cell) if at in limited else escape(cell)}</td>"
            for at, cell in enumerate(row)
        )
        + "</tr>"
        for row in table.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _to_right(at_right: bool) -> str:
    return ' class="bk-number"' if at_right else ""


def list_html(items: Sequence[str]) -> str:
    """A list, all text escaped; nothing where there is nothing to say."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>" if items else ""


def _limited(cell: str) -> str:
    value, _, limits = cell.partition(" (")
    below = f'<br><span class="bk-limits">{escape(limits.removesuffix(")"))}</span>' if limits else ""
    return f'<span class="bk-value">{escape(value)}</span>{below}'
