"""Why was this request slow? The slowest requests as a table, each with where its time went and why."""

from __future__ import annotations

from html import escape
from typing import Final

from benchkit.analysis.finding_words import listed, number
from benchkit.analysis.points import Records
from benchkit.analysis.slowest import Slowest, SlowRequest
from benchkit.analysis.slowest import slowest as slowest_of
from benchkit.analysis.slowest_reasons import NO_CAUSE, in_words, tally
from benchkit.report.amounts import NONE, amount
from benchkit.report.frames import RunLike, stored
from benchkit.report.rows import Rows, aligned
from benchkit.report.section import Section

_HEADER: Final = (
    "request",
    "due at (s)",
    "lost (ms)",
    "mostly in",
    "first token (ms)",
    "longest pause (ms)",
    "whole (ms)",
    "tokens in / out",
    "others under way",
    "prompts in its wait / pause",
    "connection",
    "why",
)
_WORDS: Final = (0, 3, 10, 11)
"""Columns that stand to the left."""
_WHERE: Final = {"held back": "max_in_flight"}


def slowest(run: RunLike) -> Section:
    """Why was this request slow? The twenty that lost most, where, and what else went on."""
    records: Records = stored(run)
    found = slowest_of(records)
    if not found.requests or found.usual is None:
        text = f"No request stands out: {found.why_none}."
        return Section(f"<p>{escape(text)}</p>", text)
    several = any(each.repeat for each in found.requests)
    table = Rows(_HEADER, [_row(each, found, several=several) for each in found.requests])
    intro = _intro(found)
    html = "".join(f"<p>{escape(line)}</p>" for line in intro)
    return Section(f"{html}{_table(table)}", "\n".join([*intro, "", aligned(table, left=_WORDS)]))


def _intro(found: Slowest) -> list[str]:
    usual = found.usual
    assert usual is not None
    count = len(found.requests)
    kinds = [f"{kind} ({number_of})" for kind, number_of in tally(found)]
    which = "The one request" if count == 1 else f"The {count} requests"
    first = (
        f"{which} of {found.of:,} that lost most time against this run's usual, which is a first token after "
        f"{amount(usual.ttft_ms)} ms and then one every {amount(usual.pace_ms)} ms (medians)."
    )
    lines = [first, f"Seen causes: {listed(kinds)}."]
    if any(not each.is_over for each in found.requests):
        lines.append(
            "Requests that were not seen to end have \N{GREATER-THAN OR EQUAL TO} before their times."
        )
    if NO_CAUSE in dict(tally(found)):
        lines.append(
            "No cause seen: nothing that was recorded sets these apart; the server's own log may tell."
        )
    return lines


def _row(each: SlowRequest, found: Slowest, *, several: bool) -> tuple[str, ...]:
    usual = found.usual
    assert usual is not None
    least = "" if each.is_over else "\N{GREATER-THAN OR EQUAL TO} "
    pause = each.pause
    in_wait = f"{each.wait_prompts} ({number(each.wait_tokens)} tokens)" if each.wait_prompts else "0"
    in_pause = (
        NONE
        if pause is None
        else f"{pause.prompts} ({number(pause.prompt_tokens)} tokens)"
        if pause.prompts
        else "0"
    )
    return (
        f"{each.repeat}/{each.index}" if several else str(each.index),
        f"{each.scheduled_s:.2f}",
        least + amount(each.lost_ms),
        _WHERE.get(each.part, each.part),
        amount(each.ttft_ms) if each.ttft_ms is not None else NONE,
        amount(pause.length_ms) if pause is not None else NONE,
        least + amount(each.latency_ms),
        f"{number(each.prompt_tokens)} / {number(each.output_tokens)}",
        str(each.under_way),
        f"{in_wait} / {in_pause}",
        _connection(each),
        in_words(each, usual),
    )


def _connection(each: SlowRequest) -> str:
    if each.attempts > 1:
        return "new, after a dead one"
    return f"new, {amount(each.connecting_ms)} ms" if each.opened_connection else "kept"


def _table(table: Rows) -> str:
    """The table, all text escaped, numbers to the right."""

    def cell(tag: str, at: int, text: str) -> str:
        kind = "" if at in _WORDS else ' class="bk-number"'
        return f"<{tag}{kind}>{escape(text)}</{tag}>"

    head = "".join(cell("th", at, text) for at, text in enumerate(table.header))
    body = "".join(
        "<tr>" + "".join(cell("td", at, text) for at, text in enumerate(row)) + "</tr>" for row in table.rows
    )
    return f'<table class="bk-slowest"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
