"""The index as HTML: a table that can be sorted and searched, and the histories of services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Final
from urllib.parse import quote

from benchkit import __version__
from benchkit.report.amounts import NONE
from benchkit.report.index_entry import TRACKED, Entry, Number, Tracked
from benchkit.report.index_history import History
from benchkit.report.index_history_html import history_html
from benchkit.report.index_spark import course
from benchkit.report.page import head, own
from benchkit.report.precision import between, measured

_HEADERS: Final = (
    *("when (UTC)", "what", "server, model, work", "load", "course", "verdict", "objectives", "answered"),
    *(each.label for each in TRACKED),
)
_NUMBERS: Final = frozenset({"answered", *(each.label for each in TRACKED)})
_UNSORTED: Final = "course"
_VERDICTS: Final = {"valid": 0, "suspect": 1, "invalid": 2}
_JUDGED: Final = (("meets", "met"), ("fails", "missed"), ("undecided", "undecided"))


def page(name: str, found: Sequence[Entry], told: Sequence[History], others: Sequence[str]) -> str:
    """The whole page; all text of runs in it is escaped.

    Args:
        name: of the folder.
        found: its rows.
        told: the histories of its services.
        others: HTML pages in it that belong to no run, relative to it.
    """
    scripts = [own("index_page.js")]
    title = f"Runs in {name}"
    return (
        head(title, own("page.css") + own("index_page.css"), scripts)
        + f'<main>\n<header><h1>{escape(title)}</h1><p class="bk-quiet">{_counted(found)}</p></header>\n'
        + _runs(found)
        + _histories(told)
        + _others(others)
        + f"<footer>benchkit {escape(__version__)}. This file needs no network; its links lead to reports beside it."
        "</footer>\n</main>\n"
        + "\n".join(f"<script>{script}</script>" for script in scripts)
        + "\n</body>\n</html>\n"
    )


def _counted(found: Sequence[Entry]) -> str:
    kinds = Counter(entry.kind for entry in found if not entry.parent)
    told = [f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in sorted(kinds.items())]
    inside = sum(bool(entry.parent) for entry in found)
    told += [f"{inside} run{'' if inside == 1 else 's'} inside of them"] if inside else []
    return escape(", ".join(told) or "nothing yet")


def _runs(found: Sequence[Entry]) -> str:
    if not found:
        return "<p>No run lies here yet: <code>benchkit run</code> makes one.</p>\n"
    header = "".join(_header(label) for label in _HEADERS)
    rows = "\n".join(_row(entry) for entry in found)
    inside = any(entry.parent for entry in found)
    parts = (
        '<label><input type="checkbox" id="bk-parts"> runs inside of sweeps and comparisons</label>'
        if inside
        else ""
    )
    return (
        '<div class="bk-tools" hidden><label>Search <input type="search" id="bk-search" autocomplete="off"></label>'
        f'{parts}<span class="bk-quiet" id="bk-shown" role="status"></span></div>\n'
        f'<div class="bk-wide"><table id="bk-runs"><thead><tr>{header}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>\n"
        '<p class="bk-quiet">Small figures are 95 % intervals; where there are none, one run does not give them. The '
        "course of a run is its median time to first token through the window, that of a sweep its output tokens/s "
        "from the lowest to the highest, which stands as its number; both rise from zero. A name shows its folder when "
        "pointed at, and leads to its report where there is one.</p>\n"
    )


def _header(label: str) -> str:
    kind = ' class="bk-number"' if label in _NUMBERS else ""
    units = {each.label: each.unit for each in TRACKED}
    unit = f' <span class="bk-limits">{units[label]}</span>' if units.get(label) == "ms" else ""
    if label == _UNSORTED:
        return f"<th{kind}>{escape(label)}</th>"
    return f'<th{kind} aria-sort="none"><button type="button">{escape(label)}{unit}</button></th>'


def _row(entry: Entry) -> str:
    part = ' class="bk-part"' if entry.parent else ""
    cells = [
        _when(entry),
        _what(entry),
        _service(entry),
        _text(escape(entry.load), entry.load),
        f"<td>{course(entry.series, _course_label(entry))}</td>",
        _verdict(entry),
        _text(_objectives(entry.objectives), _objectives_key(entry.objectives)),
        _answered(entry),
        *(_number(each, entry) for each in TRACKED),
    ]
    return f"<tr{part}>{''.join(cells)}</tr>"


def _when(entry: Entry) -> str:
    below = f'<div class="bk-limits">{escape(entry.created[11:16])}</div>'
    return _text(f"{escape(entry.created[:10])}{below}", entry.created)


def _what(entry: Entry) -> str:
    shown = escape(entry.name)
    if entry.report:
        shown = f'<a href="{escape(quote(entry.report))}">{shown}</a>'
    kind = "part of a series" if entry.parent else entry.kind
    trouble = f'<div class="bk-trouble">{escape(entry.trouble)}</div>' if entry.trouble else ""
    return (
        f'<td data-v="{escape(entry.name)}" title="{escape(entry.folder)}">{shown}'
        f'<div class="bk-limits">{kind}</div>{trouble}</td>'
    )


def _service(entry: Entry) -> str:
    url, model, work = entry.service
    first = " · ".join(word for word in (url, model) if word)
    below = f'<div class="bk-limits">{escape(work)}</div>'
    return f'<td data-v="{escape(" ".join(entry.service))}">{escape(first)}{below}</td>'


def _verdict(entry: Entry) -> str:
    status = "" if entry.status in ("complete", "") else entry.status
    shown = (
        f'<strong class="bk-is-{escape(entry.verdict)}">{escape(entry.verdict)}</strong>'
        if entry.verdict
        else ""
    )
    more = f'<div class="bk-limits">{escape(status)}</div>' if status else ""
    return f'<td data-v="{_VERDICTS.get(entry.verdict, 3)}">{shown}{more}</td>'


def _objectives(verdicts: Sequence[str]) -> str:
    counts = Counter(verdicts)
    return "<br>".join(f"{counts[verdict]} {word}" for verdict, word in _JUDGED if counts[verdict])


def _objectives_key(verdicts: Sequence[str]) -> str:
    """The most missed first, then the most undecided."""
    counts = Counter(verdicts)
    return f"{999 - counts['fails']:03d}{999 - counts['undecided']:03d}" if verdicts else ""


def _answered(entry: Entry) -> str:
    if entry.answered is None:
        return f'<td class="bk-number" data-v="">{NONE}</td>'
    of = (
        f'<div class="bk-limits">of {entry.begun:,}</div>'
        if entry.begun not in (None, entry.answered)
        else ""
    )
    return f'<td class="bk-number" data-v="{entry.answered}">{entry.answered:,}{of}</td>'


def _number(which: Tracked, entry: Entry) -> str:
    number = entry.numbers.get(which)
    if number is None:
        return f'<td class="bk-number" data-v="">{NONE}</td>'
    return f'<td class="bk-number" data-v="{number.value!r}">{_valued(number)}</td>'


def _valued(number: Number) -> str:
    limits = f'<div class="bk-limits">{between(*number.limits)}</div>' if number.limits else ""
    return f"{measured(number.value, number.limits)}{limits}"


def _text(html: str, value: str) -> str:
    return f'<td data-v="{escape(value)}">{html}</td>'


def _course_label(entry: Entry) -> str:
    known = [value for value in entry.series if value is not None]
    if not known:
        return ""
    what = "output tokens/s of its loads" if entry.kind == "sweep" else "median TTFT in ms through the window"
    return f"{what}: {measured(min(known), None)} to {measured(max(known), None)}"


def _histories(told: Sequence[History]) -> str:
    if not told:
        return ""
    inside = "\n".join(history_html(each) for each in told)
    return (
        "<section><h2>What became of each service</h2>\n"
        '<p class="bk-quiet">Runs of the same server, model and work under the same load, the oldest on the left. A '
        "change is called one only where the 95 % intervals of two runs that follow each other have nothing in common, "
        "which chance alone does to about one number in 180. Smaller changes are for <code>benchkit compare</code>, "
        f"which takes several runs a side.</p>\n{inside}\n</section>\n"
    )


def _others(others: Sequence[str]) -> str:
    if not others:
        return ""
    items = "".join(f'<li><a href="{escape(quote(each))}">{escape(each)}</a></li>' for each in others)
    return f"<section><h2>Other reports here</h2><ul>{items}</ul></section>\n"
