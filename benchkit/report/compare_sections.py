"""The parts of a comparison that are words and tables; a notebook shows each as it is returned."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from benchkit.report import compare_rows
from benchkit.report.again import run_again
from benchkit.report.rows import aligned, list_html, table_html
from benchkit.report.section import Section

if TYPE_CHECKING:
    from benchkit.report.compare import Comparison

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
        html += table_html(table)
        text += "\n" + aligned(table, left=(0, 1, 2, -1))
    return Section(html, text)


def differences(found: Comparison) -> Section:
    """In what were the sides measured differently? The weightiest first."""
    table = compare_rows.differences(found)
    if not table.rows:
        said = "Both sides were measured alike in everything that the sources tell of."
        return Section(f"<p>{said}</p>", said)
    return Section(table_html(table), aligned(table, left=(0, 1, 2, -1)))


def numbers(found: Comparison) -> Section:
    """Each number of both sides, the change with its interval, its size beside the runs' spread, words."""
    html, text = [], []
    for load in found.loads:
        title = compare_rows.sizes(load)
        title = f"{load.label}: {title}" if load.label else title
        table = compare_rows.numbers(found, load)
        html.append(f"<p>{escape(title)}</p>{table_html(table, limited=(1, 2, 4))}")
        text.append(f"{title}\n{aligned(table, left=(0, -1))}")
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
    return Section(list_html(found.notes), "\n".join(f"- {note}" for note in found.notes))


def runs(found: Comparison) -> Section:
    """Each run that was compared, and whether it can be believed."""
    table = compare_rows.runs(found)
    return Section(table_html(table), aligned(table, left=(0, 1, -1)))


def again(found: Comparison) -> Section:
    """How to compare this again."""
    return run_again(found.parameters, "compare_runs", "compare", "compares again, without any load")
