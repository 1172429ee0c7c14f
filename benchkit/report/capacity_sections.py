"""The parts of a capacity analysis that are words and tables; a notebook shows each as it is returned."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import yaml

from benchkit.report import capacity_rows
from benchkit.report.capacity_rows import Rows
from benchkit.report.capacity_text import aligned
from benchkit.report.section import Section

if TYPE_CHECKING:
    from benchkit.report.capacity_report import Capacity

_FILE = "again.yaml"


def answer(found: Capacity) -> Section:
    """How many servers? Both answers side by side, and what speaks against them."""
    told = capacity_rows.headline(found)
    given = found.answer
    sure = given.planned is not None and given.planned.resolved
    sure = sure and all(point.verdict != "invalid" for point in given.carried.points)
    kind = "invalid" if given.refused else "valid" if sure else "suspect"
    objectives = "; ".join(str(objective) for objective in found.objectives)
    html = (
        f'<div class="bk-verdict bk-{kind}"><p><strong>{escape(told)}</strong></p>'
        f'<p class="bk-quiet">for {escape(objectives)}</p></div>'
    )
    text = [told, f"for {objectives}"]
    if given.options:
        table = capacity_rows.answers(found)
        html += _table(table)
        text.append(aligned(table))
    remarks = [*given.refusals[1:], *capacity_rows.remarks(given)]
    return Section(html + _list(remarks), "\n".join([*text, *(f"! {remark}" for remark in remarks)]))


def loads(found: Capacity) -> Section:
    """Which of the measured loads meet the objectives?"""
    table = capacity_rows.loads(found.answer)
    starred = capacity_rows.has_unresolved(found.answer)
    star = "* not resolved by its sample" if starred else ""
    notes = list(dict.fromkeys(note for point in found.answer.carried.points for note in point.notes))
    html = _table(table) + (f'<p class="bk-quiet">{escape(star)}</p>' if star else "") + _list(notes)
    return Section(html, "\n".join(filter(None, [aligned(table), star, *notes])))


def cells(found: Capacity) -> Section:
    """What does each setting of the server carry?"""
    if len(found.answers) == 1:
        return _said("The sources measured one setting of the server.")
    table = capacity_rows.cells(found)
    return Section(_table(table), aligned(table))


def limits(found: Capacity) -> Section:
    """What sets the limit of one server, and how far are the others?"""
    told, table = capacity_rows.limit(found.answer), capacity_rows.walls(found.answer)
    return Section(f"<p><strong>{escape(told)}</strong></p>{_table(table)}", f"{told}\n{aligned(table)}")


def over_time(found: Capacity) -> Section:
    """What does the load over the day need, with a fixed fleet and with one that scales?"""
    if not found.days:
        return _said("No load over time was given (profile), or there is no answer to follow it with.")
    table, told = capacity_rows.fleets(found), capacity_rows.start_up(found.days[0][1])
    profile = found.days[0][1].profile
    over = f"{profile.name}: {profile.hours:,.4g} hours, {profile.requests:,.0f} requests."
    inside = "Inside: the minute's mean load is no more than the servers that serve by then carry, spares among them."
    html = f"<p>{escape(over)}</p>{_table(table)}<p class='bk-quiet'>{escape(told)} {escape(inside)}</p>"
    return Section(html, f"{over}\n{aligned(table)}\n{told}\n{inside}")


def assumptions(found: Capacity) -> Section:
    """What is taken for granted when one server's load is multiplied?"""
    told = found.answer.assumptions
    return Section(_list(told), "\n".join(f"- {each}" for each in told))


def again(found: Capacity) -> Section:
    """How to ask this again."""
    given = found.parameters.model_dump(mode="json", exclude_defaults=True)
    text = yaml.safe_dump(given, sort_keys=False, allow_unicode=True, width=100)
    lines = [
        f"papermill notebooks/capacity_analysis.ipynb outputs/capacity.ipynb -f {_FILE}",
        f"benchkit capacity -f {_FILE}",
    ]
    html = (
        f"<p>Save these parameters as <code>{_FILE}</code>; either line asks again, without any load.</p>"
        f"<pre>{escape(text)}</pre><pre>{escape(chr(10).join(lines))}</pre>"
    )
    return Section(f'<div class="bk-again">{html}</div>', f"# {_FILE}\n{text}\n" + "\n".join(lines))


def _said(text: str) -> Section:
    return Section(f"<p>{escape(text)}</p>", text)


def _list(items: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>" if items else ""


def _table(table: Rows) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
