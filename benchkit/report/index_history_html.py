"""A service's history as HTML: a line of points for each number, and its changes with what was different."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final
from urllib.parse import quote

from benchkit.report.index_entry import TRACKED, Entry, Number, Tracked
from benchkit.report.index_history import History, Jump
from benchkit.report.index_spark import history as history_line
from benchkit.report.precision import between, measured

_SHOWN: Final = 6
"""Differences of two manifests that are shown unfolded."""


def history_html(told: History) -> str:
    """One service under one load; all text of runs in it is escaped."""
    url, model, work = told.service
    title = " · ".join(word for word in (model, url, told.load) if word)
    first, last = told.runs[0], told.runs[-1]
    facts = f"{work}; {len(told.runs)} runs, {_day(first)} to {_day(last)}"
    if told.left_out:
        facts += f"; {told.left_out} more that are invalid or did not come to their end are left out"
    lines = "".join(_line(told, each) for each in TRACKED)
    changes = "".join(f"<li>{_jump(each)}</li>" for each in told.jumps)
    said = (
        f'<ul class="bk-jumps">{changes}</ul>' if changes else "<p>No change that the intervals support.</p>"
    )
    return (
        f'<section class="bk-history"><h3>{escape(title)}</h3><p class="bk-quiet">{escape(facts)}</p>'
        f'<div class="bk-lines">{lines}</div>{said}</section>'
    )


def _line(told: History, which: Tracked) -> str:
    numbers = [run.numbers.get(which) for run in told.runs]
    if sum(number is not None for number in numbers) < 2:
        return ""
    changed = {id(jump.after) for jump in told.jumps if any(change[0] == which for change in jump.changes)}
    places = [at for at, run in enumerate(told.runs) if id(run) in changed]
    newest = next(number for number in reversed(numbers) if number is not None)
    label = (
        f"{which.label} of {len(numbers)} runs, {len(places)} changes, now {measured(*newest)} {which.unit}"
    )
    unit = f" {which.unit}" if which.unit == "ms" else ""
    return (
        f"<figure><figcaption>{escape(which.label)}: <strong>{measured(*newest)}</strong>{unit}</figcaption>"
        f"{history_line(numbers, places, label)}</figure>"
    )


def _jump(jump: Jump) -> str:
    changes = "; ".join(_change(*change) for change in jump.changes)
    return (
        f"{_linked(jump.before)} to {_linked(jump.after)}: {changes}. {''.join(_different(jump.differences))}"
    )


def _change(which: Tracked, before: Number, after: Number) -> str:
    share = f" ({100 * (after.value / before.value - 1):+.3g} %)" if before.value > 0 else ""
    return (
        f"<strong>{escape(which.label)}{share}</strong>: {_told(before)} \N{RIGHTWARDS ARROW} {_told(after)}"
    )


def _told(number: Number) -> str:
    limits = f' <span class="bk-limits">({between(*number.limits)})</span>' if number.limits else ""
    return f"{measured(*number)}{limits}"


def _different(differences: tuple[str, ...]) -> Iterator[str]:
    if not differences:
        yield "Nothing else differs by what the manifests tell."
        return
    yield "Measured differently: " + "; ".join(escape(each) for each in differences[:_SHOWN]) + "."
    more = differences[_SHOWN:]
    if more:
        items = "".join(f"<li>{escape(each)}</li>" for each in more)
        yield f"<details><summary>and {len(more)} more</summary><ul>{items}</ul></details>"


def _linked(entry: Entry) -> str:
    shown = escape(f"{entry.created[:16].replace('T', ' ')}")
    return f'<a href="{escape(quote(entry.report))}">{shown}</a>' if entry.report else shown


def _day(entry: Entry) -> str:
    return entry.created[:10]
