"""Titles that say what a chart found: how they are set, and the words that they share."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from typing import Final

import altair as alt

from benchkit.report.amounts import NONE, amount
from benchkit.report.precision import measured

LINE: Final = 80
"""Characters of a title's line, about what a plot is wide."""
UNDER: Final = 112
"""Characters of a line below it, which is smaller."""
_MOST_LINES: Final = 2
_MOST_NAME: Final = 34
_MORE: Final = "\N{HORIZONTAL ELLIPSIS}"
_TIE: Final = "\N{NO-BREAK SPACE}"
_DOT: Final = " \N{MIDDLE DOT} "
_WITH_UNIT: Final = re.compile(r"(\d) (ms|s|%|tokens/s|requests/s)(?=\W|$)")


def headed(finding: str, under: Sequence[str] = ()) -> alt.Title:
    """A finding as a chart's title, on one or two lines, with quieter lines below.

    Args:
        finding: what the chart shows, as a sentence without its full stop.
        under: what is drawn and how; long ones are broken, between their parts where a dot separates these.
    """
    lines = _even(_printable(finding))
    below = [line for told in under for line in _broken(_glued(_printable(told)), UNDER, 3)]
    text = lines[0] if len(lines) == 1 else lines
    return alt.Title(text, subtitle=below) if below else alt.Title(text)


def _even(text: str) -> list[str]:
    """On one line, or on two of much the same length; a number stays with its unit."""
    told = _WITH_UNIT.sub(rf"\1{_TIE}\2", text)
    lines = _broken(told, LINE, _MOST_LINES)
    if len(lines) > 1 and not lines[-1].endswith(_MORE):
        for width in range(len(told) // 2, LINE):
            evened = _broken(told, width, _MOST_LINES)
            if not evened[-1].endswith(_MORE):
                return evened
    return lines


def _broken(text: str, width: int, most: int) -> list[str]:
    lines = textwrap.wrap(text, width, max_lines=most, placeholder=f" {_MORE}")
    return [line.replace(_TIE, " ") for line in lines] or [""]


def _glued(text: str) -> str:
    """The text with its parts tied together, so that it is broken between them; where one is too long, as it is."""
    parts = text.split(_DOT)
    if len(parts) == 1 or max(map(len, parts)) > UNDER:
        return text
    return f"{_TIE}\N{MIDDLE DOT} ".join(part.replace(" ", _TIE) for part in parts)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def short(name: str) -> str:
    """A name that others chose, so short that a title has room for its finding."""
    return name if len(name) <= _MOST_NAME else name[: _MOST_NAME - 1].rstrip() + _MORE


def first_up(text: str) -> str:
    """The sentence with a capital in front, unless it begins with a word that is written small, as p99 is."""
    small = len(text) > 1 and text[0] in "pP" and text[1].isdigit()
    return text if small or not text else text[0].upper() + text[1:]


def ms(value: float, limits: tuple[float, float] | None = None) -> str:
    """A time as people say it, in seconds from one on, with three digits or fewer by its limits: ``31 ms``, ``1.2 s``.

    Args:
        value: in milliseconds.
        limits: of it; None where they are not known.
    """
    if not math.isfinite(value):
        return NONE
    factor, unit = (1e-3, "s") if abs(value) >= 1000 else (1.0, "ms")
    scaled = None if limits is None else (limits[0] * factor, limits[1] * factor)
    return f"{number(value * factor, scaled)} {unit}"


def number(value: float, limits: tuple[float, float] | None) -> str:
    """Three digits or so, fewer where the limits leave fewer: a title is no table."""
    return min(amount(value), measured(value, limits) if limits else amount(value), key=_decimals)


def _decimals(told: str) -> int:
    return len(told.partition(".")[2])


def span(low: str, high: str) -> str:
    """``31 ms to 52 ms``; one of them where they read the same."""
    return low if low == high else f"{low} to {high}"


def every(count: int, noun: str) -> str:
    """``both curves``, ``all 3 curves``."""
    return f"both {noun}s" if count == 2 else f"all {count} {noun}s"


def bound_ms(value: float) -> str:
    """A bound as it was asked for: ``80 ms``, ``1.5 s``."""
    return f"{value:g} ms" if value < 1000 else f"{value / 1000:g} s"


def no_more(value: float) -> str:
    """Rounded up to two figures, so that "never more than" stays true."""
    if value <= 0 or not math.isfinite(value):
        return "0" if value <= 0 else NONE
    places = 1 - math.floor(math.log10(value))
    factor = 10.0**places
    up = math.ceil(value * factor - 1e-9) / factor
    return f"{up:,.{max(places, 0)}f}"


def percent(share: float) -> str:
    """A share without false precision: ``under 1 %``, ``87 %``, ``over 99 %``, ``100 %``."""
    if 0 < share < 0.01:
        return "under 1 %"
    if 0.99 < share < 1:
        return "over 99 %"
    return f"{100 * share:.0f} %"


def counted(count: int, noun: str) -> str:
    """``1 request``, ``1,200 requests``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def joined(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def apart(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool | None:
    """Whether two intervals do not meet; None where one of them is not known."""
    if one is None or other is None:
        return None
    return one[1] < other[0] or other[1] < one[0]
