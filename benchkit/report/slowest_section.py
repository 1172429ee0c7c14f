"""Why was this request slow? The slowest requests as a table, each with where its time went and why."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from benchkit.analysis.finding_words import listed, number, sentence
from benchkit.analysis.points import Records
from benchkit.analysis.slowest import Slowest, SlowRequest
from benchkit.analysis.slowest import slowest as slowest_of
from benchkit.analysis.slowest_reasons import NO_CAUSE, in_words, tally
from benchkit.analysis.slowest_usual import Usual
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
    "connection",
)
_WORDS: Final = (0, 3, 9)
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
    rows = [_row(each, several=several) for each in found.requests]
    whys = [_why(each, found.usual) for each in found.requests]
    intro = _intro(found)
    html = "".join(f"<p>{escape(line)}</p>" for line in intro)
    head, *lines = aligned(Rows(_HEADER, rows), left=_WORDS).split("\n")
    told = [part for line, why in zip(lines, whys, strict=True) for part in (line, f"    {why}")]
    return Section(f"{html}{_table(rows, whys)}", "\n".join([*intro, "", head, *told]))


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


def _row(each: SlowRequest, *, several: bool) -> tuple[str, ...]:
    least = "" if each.is_over else "\N{GREATER-THAN OR EQUAL TO} "
    pause = each.pause
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
        _connection(each),
    )


def _why(each: SlowRequest, usual: Usual) -> str:
    """The reason, and the prompts that were read beside it."""
    told = [sentence(in_words(each, usual))]
    beside = [
        f"{prompts:,} ({number(tokens)} tokens) in its {where}"
        for prompts, tokens, where in (
            (each.wait_prompts, each.wait_tokens, "wait"),
            (each.pause.prompts, each.pause.prompt_tokens, "longest pause") if each.pause else (0, 0.0, ""),
        )
        if prompts
    ]
    if beside:
        told.append(f"Other prompts read: {listed(beside)}.")
    return " ".join(told)


def _connection(each: SlowRequest) -> str:
    if each.attempts > 1:
        return "new, after a dead one"
    return f"new, {amount(each.connecting_ms)} ms" if each.opened_connection else "kept"


def _table(rows: Sequence[tuple[str, ...]], whys: Sequence[str]) -> str:
    """The table, all text escaped, numbers to the right; below each row, over its whole width, why."""

    def cell(tag: str, at: int, text: str) -> str:
        kind = "" if at in _WORDS else ' class="bk-number"'
        return f"<{tag}{kind}>{escape(text)}</{tag}>"

    head = "".join(cell("th", at, text) for at, text in enumerate(_HEADER))
    body = "".join(
        "<tr>"
        + "".join(cell("td", at, text) for at, text in enumerate(row))
        + f'</tr><tr><td colspan="{len(_HEADER)}" class="bk-why">{escape(why)}</td></tr>'
        for row, why in zip(rows, whys, strict=True)
    )
    return f'<table class="bk-slowest"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
