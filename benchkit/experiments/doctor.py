"""Writes a preflight for people: one line a finding, with its remedy, and a verdict at the end."""

from __future__ import annotations

import textwrap

from benchkit.experiments.findings import Finding, Level
from benchkit.experiments.preflight import Preflight

__all__ = ["render"]

_LINE = 110
MARKS = {Level.OK: "✓", Level.NOTE: "·", Level.WARNING: "!", Level.FATAL: "✗"}
_COLOURS = {Level.OK: "32", Level.NOTE: "36", Level.WARNING: "33", Level.FATAL: "31"}


def render(preflight: Preflight, *, colour: bool = False) -> str:
    """Give the preflight as text of several lines, without a newline at the end.

    ✓ is as it should be, · is worth knowing, ! changes what some numbers mean, ✗ makes a run senseless.

    Args:
        preflight: What was found.
        colour: Whether marks are coloured by ANSI codes; only for a terminal.
    """
    width = max((len(_title(finding)) for finding in preflight.findings), default=0)
    lines = [f"{preflight.url}{_engine(preflight)}", ""]
    indent = " " * (width + 4)
    for finding in preflight.findings:
        first = f"{_mark(finding.level, colour=colour)} {_title(finding):<{width}}  "
        lines += _wrapped(finding.text, first, indent)
        if finding.remedy:
            lines += _wrapped(finding.remedy, f"{indent}→ ", f"{indent}  ")
    return "\n".join([*lines, "", _verdict(preflight)])


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    room = _LINE - len(rest)
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    return [first + lines[0], *(rest + line for line in lines[1:])]


def _title(finding: Finding) -> str:
    return finding.name.replace("_", " ")


def _mark(level: Level, *, colour: bool) -> str:
    return f"\x1b[{_COLOURS[level]}m{MARKS[level]}\x1b[0m" if colour else MARKS[level]


def _engine(preflight: Preflight) -> str:
    said = [preflight.server.get("engine"), preflight.server.get("version")]
    known = " ".join(str(value) for value in said if value)
    return f" ({known})" if known else ""


def _verdict(preflight: Preflight) -> str:
    if preflight.fatal:
        names = ", ".join(_title(finding) for finding in preflight.fatal)
        return f"A run would measure nothing: {names}."
    warnings = [_title(finding) for finding in preflight.findings if finding.level is Level.WARNING]
    if warnings:
        return f"It can be measured; mind {', '.join(warnings)}."
    return "It can be measured."
