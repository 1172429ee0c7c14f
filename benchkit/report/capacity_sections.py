"""The parts of a capacity analysis that are words and tables; a notebook shows each as it is returned."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from benchkit.report import capacity_rows
from benchkit.report.again import run_again
from benchkit.report.rows import aligned, list_html, table_html
from benchkit.report.section import Section

if TYPE_CHECKING:
    from benchkit.report.capacity_report import Capacity


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
        html += table_html(table)
        text.append(aligned(table))
    remarks = [*given.refusals[1:], *capacity_rows.remarks(given)]
    return Section(html + list_html(remarks), "\n".join([*text, *(f"! {remark}" for remark in remarks)]))


def loads(found: Capacity) -> Section:
    """Which of the measured loads meet the objectives?"""
    table = capacity_rows.loads(found.answer)
    starred = capacity_rows.has_unresolved(found.answer)
    star = "* not resolved by its sample" if starred else ""
    notes = list(dict.fromkeys(note for point in found.answer.carried.points for note in point.notes))
    html = table_html(table) + (f'<p class="bk-quiet">{escape(star)}</p>' if star else "") + list_html(notes)
    return Section(html, "\n".join(filter(None, [aligned(table), star, *notes])))


def cells(found: Capacity) -> Section:
    """What does each setting of the server carry?"""
    if len(found.answers) == 1:
        return _said("The sources measured one setting of the server.")
    table = capacity_rows.cells(found)
    return Section(table_html(table), aligned(table))


def limits(found: Capacity) -> Section:
    """What sets the limit of one server, and how far are the others?"""
    told, table = capacity_rows.limit(found.answer), capacity_rows.walls(found.answer)
    return Section(f"<p><strong>{escape(told)}</strong></p>{table_html(table)}", f"{told}\n{aligned(table)}")


def over_time(found: Capacity) -> Section:
    """What does the load over the day need, with a fixed fleet and with one that scales?"""
    if not found.days:
        return _said("No load over time was given (profile), or there is no answer to follow it with.")
    table, told = capacity_rows.fleets(found), capacity_rows.start_up(found.days[0][1])
    profile = found.days[0][1].profile
    over = f"{profile.name}: {profile.hours:,.4g} hours, {profile.requests:,.0f} requests."
    inside = "Inside: the minute's mean load is no more than the servers that serve by then carry, spares among them."
    html = f"<p>{escape(over)}</p>{table_html(table)}<p class='bk-quiet'>{escape(told)} {escape(inside)}</p>"
    return Section(html, f"{over}\n{aligned(table)}\n{told}\n{inside}")


def assumptions(found: Capacity) -> Section:
    """What is taken for granted when one server's load is multiplied?"""
    told = found.answer.assumptions
    return Section(list_html(told), "\n".join(f"- {each}" for each in told))


def again(found: Capacity) -> Section:
    """How to ask this again."""
    return run_again(found.parameters, "capacity_analysis", "capacity", "asks again, without any load")


def _said(text: str) -> Section:
    return Section(f"<p>{escape(text)}</p>", text)
