"""The parts of a report that are words and tables: verdict, objectives, limits, preflight, manifest.

Each is shown by a notebook as it is returned. All text that came from a model, a server or a user is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from benchkit.analysis.limits import limits as limits_of
from benchkit.records.paths import scrub_paths
from benchkit.report import tables
from benchkit.report.again import again
from benchkit.report.amounts import NONE
from benchkit.report.frames import RunLike, stored
from benchkit.report.headline import headline
from benchkit.report.section import Section

__all__ = [
    "again",
    "headline",
    "limits",
    "manifest",
    "metrics",
    "objectives",
    "preflight",
    "verdict",
]

_GROUPS: Final = ("parameters", "server", "preflight", "environment", "plan", "load", "record")
"""Groups of the manifest in the order that a reader wants them; any others follow."""

_SHOWN_LIMITS: Final = 5
_VARIANCE_OF: Final = {"ttft_ms": "TTFT", "tpot_ms": "TPOT", "latency_ms": "latency"}
_CODE: Final = re.compile(r"`([^`<>]+)`")
_SIGNS: Final = {"ok": "✓", "note": "·", "warning": "!", "fatal": "✗"}
_NO_CHECK: Final = "No check was made before this run."


def verdict(run: RunLike) -> Section:
    """Can the numbers be believed? The verdict, and each reason against them with its remedy."""
    summary = stored(run).summary
    validity = summary["validity"]
    word = str(validity["verdict"])
    lines = [f"verdict: {word} ({len(validity.get('checked') or ())} things checked)"]
    for reason in validity["reasons"]:
        lines += [f"- {reason['what']}: {reason['reason']}", f"  do: {reason['remedy']}"]
    html = f'<div class="bk-verdict bk-{escape(word)}">{_coded(tables.verdict_html(summary))}</div>'
    path = getattr(stored(run), "path", None)
    return Section(html, "\n".join(lines), scrub_paths(str(path)) if path is not None else "")


def objectives(run: RunLike) -> Section:
    """Does the service meet its objectives, as far as this sample can tell?"""
    summary = stored(run).summary
    asked = summary.get("slo") or []
    if not asked:
        return Section(
            "<p>No objectives were given (<code>slo</code>).</p>", "No objectives were given (slo)."
        )
    return Section(
        tables.slo_html(summary), "\n".join(f"{each['text']}: {each['verdict']}" for each in asked)
    )


def metrics(run: RunLike) -> Section:
    """Every metric and rate of the window, each estimate with its 95 % interval."""
    summary = stored(run).summary
    html = _how_sure(summary) + tables.metrics_html(summary)
    steady = tables.metrics_html(summary, "steady")
    if steady:
        part = summary["windows"]["steady"]
        html += (
            f"<details><summary>The same over the steady part alone: {part['start_s']:.1f} to {part['end_s']:.1f} s"
            f"</summary>{steady}</details>"
        )
    elif summary["windows"].get("steady_missing"):
        html += f"<p>No steady part is told apart: {escape(summary['windows']['steady_missing'])}.</p>"
    return Section(html, tables.summary_frame(summary).to_string())


def _how_sure(summary: Mapping[str, Any]) -> str:
    """Where the intervals come from, and how many independent requests this run is worth."""
    told = summary["windows"]["whole"].get("intervals")
    if told is None:
        return ""
    if told["by"] == "run":
        said = f"Small figures: 95 % intervals from this one run. Its {told['requests']:,} requests"
        if told.get("effective_requests") is not None:
            said += (
                f" say as much as {told['effective_requests']:,.0f} independent ones would, since neighbours share a "
                f"queue (memory: {told['memory_requests']:.3g} requests)"
            )
    else:
        said = f"Small figures: 95 % intervals from {told['runs']} {told['by']}{_parts_of_variance(told)}"
    more = (
        f" <strong>Repeats needed</strong>: {escape(told['repeats_needed'])}."
        if told.get("repeats_needed")
        else ""
    )
    return f"<p>{said}. A star marks what the run does not resolve.{more}</p>"


def _parts_of_variance(told: Mapping[str, Any]) -> str:
    """How much of the spread between runs their own memory explains: what is left no longer run would lessen."""
    shares = {
        name: parts["within"] / (parts["within"] + parts["between"])
        for name, parts in (told.get("variance") or {}).items()
        if name in _VARIANCE_OF and parts["within"] + parts["between"] > 0
    }
    if not shares:
        return ""
    listed = ", ".join(f"{100 * share:.0f} % for {_VARIANCE_OF[name]}" for name, share in shares.items())
    return (
        f". Of the spread of their means, chance inside a run explains {listed}; the rest lies between the runs, "
        "and longer runs would not lessen it"
    )


def limits(run: RunLike) -> Section:
    """What does this run not show? Derived from what was asked for and what was found."""
    records = stored(run)
    told = limits_of(records.manifest, records.summary)
    items = [f"<li>{_coded(escape(line))}</li>" for line in told]
    first, more = items[:_SHOWN_LIMITS], items[_SHOWN_LIMITS:]
    html = f"<ul>{''.join(first)}</ul>"
    if more:
        html += f'<details class="bk-more"><summary>and {len(more)} more</summary>'
        html += f"<ul>{''.join(more)}</ul></details>"
    return Section(html, "\n".join(f"- {line}" for line in told))


def preflight(run: RunLike) -> Section:
    """What did the check before the load find?"""
    findings = (stored(run).manifest.get("preflight") or {}).get("findings") or []
    rows = [
        (
            _SIGNS.get(str(found["level"]), "?"),
            str(found["name"]),
            str(found["text"]),
            str(found.get("remedy") or ""),
        )
        for found in findings
    ]
    if not rows:
        return Section(f"<p>{_NO_CHECK}</p>", _NO_CHECK)
    html = "<table><tr><th></th><th>what</th><th>found</th><th>remedy</th></tr>"
    html += (
        "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        + "</table>"
    )
    lines = [
        " ".join(filter(None, [sign, f"{name}:", text, f"({remedy})" if remedy else ""]))
        for sign, name, text, remedy in rows
    ]
    return Section(html, "\n".join(lines))


def manifest(run: RunLike) -> Section:
    """What exactly was run, on what, against what? The manifest, group by group."""
    return record(stored(run).manifest)


def record(records: Mapping[str, Any]) -> Section:
    """A record that is not about a single run, shown as a run's manifest is."""
    groups = {name: value for name, value in records.items() if isinstance(value, (Mapping, list)) and value}
    groups["record"] = {name: value for name, value in records.items() if name not in groups and value != ""}
    order: list[str] = [name for name in _GROUPS if name in groups]
    order += [name for name in groups if name not in order]
    html = "".join(
        f"<details><summary>{escape(name.replace('_', ' '))}</summary>{_facts(groups[name])}</details>"
        for name in order
    )
    text = "\n".join(f"{name}: {_short(groups[name])}" for name in order)
    return Section(f'<div class="bk-manifest">{html}</div>', text)


def _coded(html: str) -> str:
    """Names in backquotes, in text that is escaped already, as code."""
    return _CODE.sub(r"<code>\1</code>", html)


def _facts(value: Any) -> str:
    """Nested facts as nested tables."""
    if isinstance(value, Mapping):
        if not value:
            return NONE
        rows = "".join(
            f"<tr><th>{escape(str(key))}</th><td>{_facts(item)}</td></tr>" for key, item in value.items()
        )
        return f"<table>{rows}</table>"
    if isinstance(value, (list, tuple)):
        if all(not isinstance(item, (Mapping, list, tuple)) for item in value):
            return escape(_short(value))
        return "".join(f"<div>{_facts(item)}</div>" for item in value)
    return escape(NONE if value is None or value == "" else str(value))


def _short(value: Any, limit: int = 300) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
