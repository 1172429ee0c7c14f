"""Load as a curve over a day, a week or any stretch of time: from a CSV, or of a ready shape."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import InvalidParameter

Floats = NDArray[np.float64]

MINUTE_S: Final = 60.0
_DAY_S: Final = 86400.0
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MOST_MINUTES: Final = 60 * 24 * 366
_CLOCK: Final = re.compile(
    r"(?:(?P<day>[a-z]{3})[a-z]*\s+)?(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?"
)

_OFFICE: Final = (8, 6, 5, 5, 5, 8, 15, 35, 70, 95, 100, 95, 75, 90, 98, 92, 80, 60, 38, 26, 20, 16, 13, 10)
_CONSUMER: Final = (
    45, 30, 20, 15, 14, 16, 25, 38, 48, 54, 58, 62, 66, 64, 62, 63, 66, 72, 80, 90, 98, 100, 88, 66
)  # fmt: skip
_BATCH: Final = (100, 100, 100, 100, 100, 80, 30, 10, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 10, 30, 70, 95, 100)
SHAPES: Final = {
    "office_day": _OFFICE,
    "consumer_day": _CONSUMER,
    "batch_night": _BATCH,
    "office_week": _OFFICE * 5 + tuple(0.15 * each for each in _OFFICE) * 2,
}
"""Percent of the peak at each full hour. They are drawn by hand, for a first idea, and nobody's traffic."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Mean load of each minute."""

    name: str
    rates: Floats
    """Requests/s, one value a minute."""
    repeats: bool
    """Whether its end is followed by its beginning, as in a day's or a week's curve."""
    starts: str = "00:00"
    """What its first minute is called."""

    @property
    def peak(self) -> float:
        """Requests/s of the busiest minute."""
        return float(self.rates.max())

    @property
    def hours(self) -> float:
        """Its length."""
        return self.rates.size / 60.0

    @property
    def requests(self) -> float:
        """Requests over its length."""
        return float(self.rates.sum() * MINUTE_S)

    def at_peak(self, peak: float) -> Profile:
        """The same curve with another busiest minute, requests/s."""
        return Profile(self.name, self.rates * (peak / self.peak), self.repeats, self.starts)


def profile_of(text: str, peak: float | None = None) -> Profile:
    """The curve that the parameter ``profile`` names: a ready shape, which needs a peak, or a CSV's path.

    Args:
        text: the parameter.
        peak: requests/s of the busiest minute; a CSV's curve is scaled to it, and taken as it is where None.

    Raises:
        InvalidParameter: neither a shape nor a readable CSV, or a shape without a peak.
    """
    if text in SHAPES:
        if not peak:
            raise InvalidParameter(
                f"'profile' {text} is a shape without a size: say its peak with 'target_rps' or 'target_users'"
            )
        hours = np.asarray(SHAPES[text], dtype=np.float64) / 100.0
        times = np.arange(hours.size, dtype=np.float64) * 3600.0
        curve = _per_minute(times, hours, period_s=hours.size * 3600.0)
        return Profile(text, curve, repeats=True).at_peak(peak)
    path = Path(text).expanduser()
    if not path.is_file():
        raise InvalidParameter(
            f"'profile' {text!r} is neither a file nor a ready shape; the shapes are {', '.join(SHAPES)}"
        )
    try:
        found = parse_profile(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"'profile' {text} could not be read: {error}") from None
    return found.at_peak(peak) if peak else found


def parse_profile(text: str, name: str) -> Profile:
    """The curve in a CSV's text, linear between its rows.

    Two columns, ``time`` and ``rate`` (requests/s); lines that begin with ``#`` are comments. Times rise, and are
    all seconds, all ``08:30`` (a day, which repeats), all ``Mon 08:30`` (a week, which repeats), or all ISO dates
    with times.

    Args:
        text: of the file.
        name: of the file, for messages.

    Raises:
        InvalidParameter: names the line and what it should be.
    """
    rows = list(_rows(text, name))
    if len(rows) < 2:
        raise InvalidParameter(f"'profile' {name} needs two rows of time,rate at least; it has {len(rows)}")
    first, kind = rows[0], _kind(rows[0].time)
    times = np.asarray([_seconds(row, kind, name) for row in rows])
    rates = np.asarray([_rate(row, name) for row in rows])
    if np.any(np.diff(times) <= 0):
        at = rows[int(np.argmax(np.diff(times) <= 0)) + 1]
        raise InvalidParameter(
            f"'profile' {name}, line {at.line}: {at.time!r} is not later than the line before it"
        )
    if rates.max() <= 0:
        raise InvalidParameter(f"'profile' {name}: no rate is above 0")
    period_s = {"day": _DAY_S, "week": 7 * _DAY_S}.get(kind)
    if (period_s or times[-1] - times[0]) / MINUTE_S > _MOST_MINUTES:
        raise InvalidParameter(f"'profile' {name} is longer than a year; times without a unit are seconds")
    starts = {"day": "00:00", "week": "Mon 00:00"}.get(kind, first.time)
    return Profile(name, _per_minute(times, rates, period_s), period_s is not None, starts)


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    time: str
    rate: str


def _rows(text: str, name: str) -> list[_Row]:
    rows = []
    for line, written in enumerate(text.splitlines(), start=1):
        if not written.strip() or written.lstrip().startswith("#"):
            continue
        cells = [cell.strip() for cell in next(csv.reader([written]))]
        if len(cells) != 2:
            raise InvalidParameter(f"'profile' {name}, line {line}: {len(cells)} cells in place of time,rate")
        rows.append(_Row(line, *cells))
    return rows[1:] if rows and rows[0].time.lower() == "time" else rows


def _kind(time: str) -> str:
    clock = _CLOCK.fullmatch(time.lower())
    if clock:
        return "week" if clock["day"] else "day"
    return "seconds" if _number(time) is not None else "dates"


def _seconds(row: _Row, kind: str, name: str) -> float:
    wrong = InvalidParameter(
        f"'profile' {name}, line {row.line}: {row.time!r} is no time like the first row's; "
        "times are all seconds, all '08:30', all 'Mon 08:30' or all '2026-01-31T08:30'"
    )
    if kind == "seconds":
        number = _number(row.time)
        if number is None:
            raise wrong
        return number
    if kind == "dates":
        try:
            return datetime.fromisoformat(row.time).timestamp()
        except ValueError:
            raise wrong from None
    clock = _CLOCK.fullmatch(row.time.lower())
    if (
        clock is None
        or bool(clock["day"]) != (kind == "week")
        or int(clock["hour"]) > 23
        or int(clock["minute"]) > 59
    ):
        raise wrong
    if kind == "week" and clock["day"] not in _WEEKDAYS:
        raise wrong
    day = _WEEKDAYS.index(clock["day"]) if kind == "week" else 0
    return (
        day * _DAY_S + 3600.0 * int(clock["hour"]) + 60.0 * int(clock["minute"]) + int(clock["second"] or 0)
    )


def _rate(row: _Row, name: str) -> float:
    rate = _number(row.rate)
    if rate is None or rate < 0:
        raise InvalidParameter(
            f"'profile' {name}, line {row.line}: {row.rate!r} is no rate of 0 or more requests/s"
        )
    return rate


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _per_minute(times: Floats, rates: Floats, period_s: float | None) -> Floats:
    """The curve at each minute's middle, linear between its rows."""
    if period_s is None:
        middles = np.arange(times[0] + MINUTE_S / 2, max(times[-1], times[0] + MINUTE_S), MINUTE_S)
        return np.asarray(np.interp(middles, times, rates), dtype=np.float64)
    middles = np.arange(MINUTE_S / 2, period_s, MINUTE_S)
    return np.asarray(np.interp(middles, times, rates, period=period_s), dtype=np.float64)
