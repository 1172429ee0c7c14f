"""Lines no larger than a word, as SVG within a page: a run's course, a service's history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from benchkit.report.index_entry import Number

WIDTH, HEIGHT = 96, 26
_LONG: Final = 420
_TALL: Final = 64
_MARGIN: Final = 4
_FEW: Final = 40
"""Up to so many runs each has its point."""


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
    """A point a run with its interval as a band, between the lowest and the highest; changes are marked.

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

    xs = [_MARGIN + at * step if len(numbers) > 1 else width / 2 for at in range(len(numbers))]
    places = [None if number is None else (x, y(number.value)) for x, number in zip(xs, numbers, strict=True)]
    bands = [
        None if number is None or number.limits is None else (x, y(number.limits[1]), y(number.limits[0]))
        for x, number in zip(xs, numbers, strict=True)
    ]
    drawn = [_band(stretch) for stretch in _stretches(bands)]
    drawn += [_line(stretch) for stretch in _stretches(places)]
    for at, place in enumerate(places):
        if place is not None and (at in changed or len(numbers) <= _FEW):
            kind = "bk-spark-changed" if at in changed else "bk-spark-point"
            drawn.append(f'<circle class="{kind}" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="2.4"/>')
    return _svg(width, _TALL, label, "".join(drawn))


def _band(places: list[tuple[float, ...]]) -> str:
    """Intervals as an area; that of a single run as a bar."""
    if len(places) == 1:
        x, top, bottom = places[0]
        return f'<path class="bk-spark-bar" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>'
    there = "L".join(f"{x:.1f} {top:.1f}" for x, top, _ in places)
    back = "L".join(f"{x:.1f} {bottom:.1f}" for x, _, bottom in reversed(places))
    return f'<path class="bk-spark-band" d="M{there}L{back}Z"/>'


def _stretches(places: Sequence[tuple[float, ...] | None]) -> Iterator[list[tuple[float, ...]]]:
    """Places without a gap, each time as many as there are."""
    stretch: list[tuple[float, ...]] = []
    for place in [*places, None]:
        if place is not None:
            stretch.append(place)
        elif stretch:
            yield stretch
            stretch = []


def _line(places: Sequence[tuple[float, ...]]) -> str:
    if len(places) == 1:
        x, y = places[0]
        return f'<circle class="bk-spark-dot" cx="{x:.1f}" cy="{y:.1f}" r="1.2"/>'
    return f'<path class="bk-spark-line" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in places)}"/>'


def _svg(width: float, height: float, label: str, inside: str) -> str:
    return (
        f'<svg class="bk-spark" role="img" aria-label="{escape(label)}" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}"><title>{escape(label)}</title>{inside}</svg>'
    )
