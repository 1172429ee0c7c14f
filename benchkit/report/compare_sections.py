"""The parts of a comparison that are words and tables; a notebook shows each as it is returned."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import yaml

from benchkit.report import compare_rows
from benchkit.report.compare_rows import Rows
from benchkit.report.compare_text import aligned
from benchkit.report.section import Section

if TYPE_CHECKING:
    from benchkit.report.compare import Comparison

_FILE = "again.yaml"
_KINDS = {"pass": "valid", "fail": "invalid", "inconclusive": "suspect", None: "suspect"}


def answer(found: Comparison) -> Section:
    """Do the sides differ, and is that allowed? In a few sentences, with what was decided."""
    told = compare_rows.headline(found)
    kind = "invalid" if found.untrusted else _KINDS[found.outcome]
    if found.outcome is None and not found.untrusted:
        kind = "plain"
    first, *more = told
    html = f"<p><strong>{escape(first)}</strong></p>" + "".join(f"<p>{escape(each)}</p>" for each in more)
    html = f'<div class="bk-verdict bk-{kind}">{html}</div>'
    text = "\n".join(told)
    if found.gates:
        table = compare_rows.gates(found)
        html += _table(table)
        text += "\n" + aligned(table, left=3)
    return Section(html, text)


def differences(found: Comparison) -> Section:
    """In what were the sides measured differently? The weightiest first."""
    table = compare_rows.differences(found)
    if not table.rows:
        said = "Both sides were measured alike in everything that the sources tell of."
        return Section(f"<p>{said}</p>", said)
    return Section(_table(table), aligned(table, left=3))


def numbers(found: Comparison) -> Section:
    """Each number of both sides, the change with its interval, its size beside the runs' spread, words."""
    html, text = [], []
    for load in found.loads:
        title = compare_rows.sizes(load)
        title = f"{load.label}: {title}" if load.label else title
        table = compare_rows.numbers(found, load)
        html.append(f"<p>{escape(title)}</p>{_table(table, limited=(1, 2, 4))}")
        text.append(f"{title}\n{aligned(table)}")
    how = (
        "Values: of all runs of a side together, with the 95 % interval that their spread gives (of a single run, "
        "with the one inside it). Change: by the logarithms of the runs' values. Effect: the change in standard "
        "deviations of what is independent, pairs or runs."
    )
    return Section("".join(html) + f'<p class="bk-quiet">{how}</p>', "\n\n".join([*text, how]))


def notes(found: Comparison) -> Section:
    """What to keep in mind, the weightiest first."""
    if not found.notes:
        return Section(
            "<p>Nothing speaks against this comparison.</p>", "Nothing speaks against this comparison."
        )
    return Section(_list(found.notes), "\n".join(f"- {note}" for note in found.notes))


def runs(found: Comparison) -> Section:
    """Each run that was compared, and whether it can be believed."""
    table = compare_rows.runs(found)
    return Section(_table(table), aligned(table, left=2))


def again(found: Comparison) -> Section:
    """How to compare this again."""
    given = found.parameters.model_dump(mode="json", exclude_defaults=True)
    text = yaml.safe_dump(given, sort_keys=False, allow_unicode=True, width=100)
    lines = [
        f"papermill notebooks/compare_runs.ipynb outputs/compare.ipynb -f {_FILE}",
        f"benchkit compare -f {_FILE}",
    ]
    html = (
        f"<p>Save these parameters as <code>{_FILE}</code>; either line compares again, without any load.</p>"
        f"<pre>{escape(text)}</pre><pre>{escape(chr(10).join(lines))}</pre>"
    )
    return Section(f'<div class="bk-again">{html}</div>', f"# {_FILE}\n{text}\n" + "\n".join(lines))


def _list(items: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _table(table: Rows, limited: Sequence[int] = ()) -> str:
    """A table; of the columns that are limited, what stands in brackets goes below the value."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    body = "".join(
        "<tr>"
        + "".join(
            _limited(cell) if at in limited else f"<td>{escape(cell)}</td>" for at, cell in enumerate(row)
        )
        + "</tr>"
        for row in table.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _limited(cell: str) -> str:
    value, _, limits = cell.partition(" (")
    below = f'<br><span class="bk-limits">{escape(limits.removesuffix(")"))}</span>' if limits else ""
    return f'<td><span class="bk-value">{escape(value)}</span>{below}</td>'
