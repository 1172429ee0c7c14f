"""The head of a report: the verdict, what was found, and what the run does not show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Final

from benchkit.analysis.findings import Finding, findings
from benchkit.report import sections
from benchkit.report.frames import RunLike, stored
from benchkit.report.section import Section

_CODE: Final = re.compile(r"`([^`<>]+)`")
_TAG: Final = re.compile(r"<(?=[A-Za-z/!?])")
_NOTHING: Final = "Too little is known of this run to find anything in it."
_LIMITS: Final = "What this run does not show"
_FOUND: Final = "What was found"


def answer(run: RunLike) -> Section:
    """Can it be believed, what did it find, and what does it not show? The verdict first, then sentences.

    The text is Markdown.
    """
    judged, found, open_ends = sections.verdict(run), found_in(run), sections.limits(run)
    html = (
        f"{judged.html}<h2>{_FOUND}</h2>{found.html}<h2>{_LIMITS}</h2>"
        f'<div class="bk-limits-of-run">{open_ends.html}</div>'
    )
    text = f"{_verdict_text(run)}\n\n## {_FOUND}\n\n{found.text}\n\n## {_LIMITS}\n\n{open_ends.text}"
    return Section(html, text, judged.run)


def found_in(run: RunLike) -> Section:
    """What did the run find? Three to five findings, the weightiest first; the text is Markdown."""
    records = stored(run)
    found = findings(
        records.manifest,
        records.summary,
        records.requests,
        records.chunks,
        getattr(records, "telemetry", None),
    )
    return of_findings(found)


def of_findings(found: Sequence[Finding]) -> Section:
    """Findings as a numbered list; the text is Markdown."""
    if not found:
        return Section(f"<p>{_NOTHING}</p>", _NOTHING)
    html = "".join(f'<li class="bk-finding">{_html(each)}</li>' for each in found)
    text = "\n".join(f"{at}. {_text(each)}" for at, each in enumerate(found, start=1))
    return Section(f'<ol class="bk-findings">{html}</ol>', text)


def _html(found: Finding) -> str:
    parts = [f"<p><strong>{_coded(found.what)}</strong> {_coded(found.meaning)}</p>"]
    if found.why:
        parts.append(f"<p>Why: {_coded(found.why)}</p>")
    if found.next_step or found.flags:
        flags = " ".join(f"<code>{escape(flag)}</code>" for flag in found.flags)
        parts.append(f"<p>Next: {_coded(found.next_step)} {flags}</p>".replace(" </p>", "</p>"))
    return "".join(parts)


def _text(found: Finding) -> str:
    lines = [f"**{_plain(found.what)}** {_plain(found.meaning)}".strip()]
    if found.why:
        lines.append(f"Why: {_plain(found.why)}")
    if found.next_step or found.flags:
        flags = " ".join(map(_code, found.flags))
        lines.append(f"Next: {_plain(found.next_step)} {flags}".rstrip())
    return "\n   ".join(lines)


def _plain(text: str) -> str:
    """Text in which Markdown finds no tag."""
    return _TAG.sub("&lt;", text)


def _code(flag: str) -> str:
    """A flag as Markdown's code, which nothing in it can end."""
    return f"`{flag.replace('`', chr(39))}`"


def _verdict_text(run: RunLike) -> str:
    """The verdict as Markdown, each reason with its remedy."""
    validity = stored(run).summary["validity"]
    lines = [f"**Verdict: {validity['verdict']}** ({len(validity.get('checked') or ())} things checked)"]
    lines += [""] if validity["reasons"] else []
    lines += [f"* {each['what']}: {each['reason']}. Do: {each['remedy']}." for each in validity["reasons"]]
    return "\n".join(lines)


def _coded(text: str) -> str:
    """Escaped, with names in backquotes as code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))
