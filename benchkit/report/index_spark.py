"""Lines no larger than a word, as SVG within a page: a run's course, a service's history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from benchkit.report.index_entry import Number

WIDTH, HEIGHT = 120, 26
_LONG: Final = 420
_TALL: Final = 64
_MARGIN: Final = 4


def course(values: Sequence[float | None], label: str) -> str:
    """A line through values from left to right, broken where there is none; it rises from zero.

    Args:
        values: evenly spaced; without any, there is no picture.
        label: what it shows, for those who cannot see it; not escaped.
    """
    known = [value for value in values if value is not None]
    if not known:
        return ""
    top = max(known) or 1.0
    step = (WIDTH - 2 * _MARGIN) / max(len(values) - 1, 1)
    places = [
        None
        if value is None
        else (_MARGIN + at * step, HEIGHT - _MARGIN - value / top * (HEIGHT - 2 * _MARGIN))
        for at, value in enumerate(values)
    ]
    drawn = "".join(_line(stretch) for stretch in _stretches(places))
    return _svg(WIDTH, HEIGHT, label, drawn)


def history(numbers: Sequence[Number | None], changed: Sequence[int], label: str) -> str:
    """A point a run with its interval as a bar, between the lowest and the highest; changes are marked.

    Args:
        numbers: of each run, in the order of time; None where it has none.
        changed: the places of runs that differ from the one before.
        label: what it shows; not escaped.
    """
    ends = [end for number in numbers if number for end in (number.value, *(number.limits or ()))]
    if not ends:
        return ""
    low, high = min(ends), max(ends)
    width = min(_LONG, max(WIDTH, 14 * len(numbers)))
    step = (width - 2 * _MARGIN) / max(len(numbers) - 1, 1)

    def y(value: float) -> float:
        share = 0.5 if high == low else (value - low) / (high - low)
        return _TALL - _MARGIN - share * (_TALL - 2 * _MARGIN)

    marks = []
    places: list[tuple[float, float] | None] = []
    for at, number in enumerate(numbers):
        x = _MARGIN + at * step if len(numbers) > 1 else width / 2
        places.append(None if number is None else (x, y(number.value)))
        if number is None:
            continue
        kind = "bk-spark-changed" if at in changed else "bk-spark-point"
        if number.limits:
            top, bottom = y(number.limits[1]), y(number.limits[0])
            marks.append(f'<path class="bk-spark-limits" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>')
        marks.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y(number.value):.1f}" r="2.4"/>')
    lines = "".join(_line(stretch) for stretch in _stretches(places))
    return _svg(width, _TALL, label, lines + "".join(marks))


def _stretches(places: Sequence[tuple[float, float] | None]) -> Iterator[list[tuple[float, float]]]:
    stretch: list[tuple[float, float]] = []
    for place in [*places, None]:
        if place is not None:
            stretch.append(place)
        elif stretch:
            yield stretch
            stretch = []


def _line(places: list[tuple[float, float]]) -> str:
    if len(places) == 1:
        x, y = places[0]
        return f'<circle class="bk-spark-dot" cx="{x:.1f}" cy="{y:.1f}" r="1.2"/>'
    return f'<path class="bk-spark-line" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in places)}"/>'


def _svg(width: float, height: float, label: str, inside: str) -> str:
    return (
        f'<svg class="bk-spark" role="img" aria-label="{escape(label)}" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}"><title>{escape(label)}</title>{inside}</svg>'
    )
