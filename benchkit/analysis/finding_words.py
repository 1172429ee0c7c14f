"""How numbers of a run are said in a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchkit.analysis.digits import between, limits_of, measured

_SECONDS_FROM_MS = 10_000.0
_NAMES = {"ttft": "TTFT", "tpot": "TPOT", "itl": "ITL"}


def estimate(entry: Mapping[str, Any], statistic: str = "value", unit: str | None = None) -> str:
    """A number of a summary with its unit and its limits: ``50.2 ms (49.9 to 50.5)``; empty where it has no value."""
    value = entry.get(statistic)
    if value is None:
        return ""
    limits = limits_of(entry, "" if statistic == "value" else statistic)
    said = f"{measured(float(value), limits)} {entry['unit'] if unit is None else unit}".strip()
    return said if limits is None else f"{said} ({between(*limits)})"


def number(value: float) -> str:
    """Three digits, thousands marked."""
    if not math.isfinite(value):
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def milliseconds(value: float) -> str:
    """A time in ms; in seconds from ten on."""
    return f"{number(value / 1e3)} s" if abs(value) >= _SECONDS_FROM_MS else f"{number(value)} ms"


def seconds(value: float) -> str:
    """A time in s, in minutes or hours where those are easier to read."""
    if value >= 7200:
        return f"{number(value / 3600)} hours"
    return f"{number(value / 60)} minutes" if value >= 300 else f"{number(value)} s"


def share(value: float) -> str:
    """A share as percent; what is not quite all or none is not said to be."""
    percent = 100 * value
    if 0 < percent < 0.1:
        return "less than 0.1 %"
    if 99.5 <= percent < 100:
        return f"{math.floor(10 * percent) / 10:.1f} %"
    return f"{percent:.2g} %" if percent < 10 else f"{percent:.0f} %"


def many(count: float, noun: str, plural: str = "") -> str:
    """A count with its noun: ``1 request``, ``1,080 requests``."""
    return f"{count:,.0f} {noun if count == 1 else plural or noun + 's'}"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def sentence(text: str) -> str:
    """The text with a capital at its head and a full stop at its end."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def plainly(text: str) -> str:
    """One line of somebody's text, without control characters."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def metric_name(name: str) -> str:
    """A metric's short name as people write it."""
    short = name.removesuffix("_ms")
    return _NAMES.get(short, short.replace("_", " "))


def round_up(value: float) -> float:
    """The next larger number with two digits: what a reader would type."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit - 1e-9) * unit
