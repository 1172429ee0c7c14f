"""A number's interval, and the digits that it leaves the number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def limits_of(entry: Mapping[str, Any], statistic: str = "") -> tuple[float, float] | None:
    """The 95 % limits of a metric's statistic, or of a rate (no statistic); None where there are none."""
    told = entry.get("ci95")
    if isinstance(told, Mapping):
        told = told.get(statistic)
    return None if told is None else (float(told[0]), float(told[1]))


def between(low: float, high: float) -> str:
    """Two limits, with two digits of what lies between them: ``47.1 to 55.2``."""
    places = _places(high - low, max(abs(low), abs(high)))
    return f"{_fixed(low, places)} to {_fixed(high, places)}"


def measured(value: float, limits: tuple[float, float] | None) -> str:
    """A value with the digits that its limits leave it; with four where nothing is known."""
    if limits is None or not math.isfinite(limits[1] - limits[0]) or limits[0] == limits[1]:
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return _fixed(value, _places(limits[1] - limits[0], max(map(abs, limits))))


def _places(width: float, size: float) -> int:
    """Decimals that show the half-width in two digits, and never more than five digits of the number itself."""
    if width <= 0 or not math.isfinite(width):
        return 2
    wanted = 1 - math.floor(math.log10(width / 2))
    most = 4 - math.floor(math.log10(size)) if size > 0 else wanted
    return max(0, min(wanted, most, 9))


def _fixed(value: float, places: int) -> str:
    return f"{value:,.{places}f}"
