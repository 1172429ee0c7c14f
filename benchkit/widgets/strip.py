"""A line chart of the last minutes, small enough to be drawn twice a second: SVG in the page's own colours.

Neither Vega nor a picture: either would take a core that the load may need.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 300, 84
_LEFT, _BOTTOM, _TOP, _RIGHT = 6, 14, 6, 6
_COLOURS = ("var(--bk-one)", "var(--bk-two)")
_MOST_POINTS = 400


@dataclass
class Strip:
    """One quantity over time, or two of one unit.

    Attributes:
        title: what is drawn.
        unit: of the values.
        names: of the lines; empty for a single one.
    """

    title: str
    unit: str
    names: tuple[str, ...] = ()
    _points: deque[tuple[float, tuple[float | None, ...]]] = field(
        default_factory=lambda: deque(maxlen=_MOST_POINTS), repr=False
    )

    def add(self, at_s: float, *values: float | None) -> None:
        """Takes in the values of a moment; an earlier time than the last one begins anew."""
        if self._points and at_s < self._points[-1][0]:
            self._points.clear()
        self._points.append((at_s, values))

    def clear(self) -> None:
        """Forgets everything."""
        self._points.clear()

    def html(self) -> str:
        """The chart and its newest values."""
        newest = self._points[-1][1] if self._points else ()
        told = " · ".join(
            f'<span style="color:{_COLOURS[i]}">{escape(self._name(i))}{_short(value)}</span>'
            for i, value in enumerate(newest)
            if value is not None
        )
        return (
            f'<div class="bk-strip"><div class="bk-strip-head"><b>{escape(self.title)}</b> '
            f'<span class="bk-quiet">{escape(self.unit)}</span><span class="bk-now">{told or "no value"}</span></div>'
            f"{self._svg()}</div>"
        )

    def text(self) -> str:
        """The newest values in words, for those who cannot see the chart."""
        newest = self._points[-1][1] if self._points else ()
        told = ", ".join(f"{self._name(i)}{_short(v)}" for i, v in enumerate(newest) if v is not None)
        return f"{self.title}: {told or 'nothing yet'} {self.unit}"

    def _name(self, i: int) -> str:
        return f"{self.names[i]} " if self.names else ""

    def _svg(self) -> str:
        lines = "".join(self._line(i) for i in range(max(len(self.names), 1)))
        top = self._top()
        begin_s, end_s = self._span()
        axis = (
            f'<text x="{_LEFT}" y="{HEIGHT - 2}">{begin_s:.0f} s</text>'
            f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 2}" text-anchor="end">{end_s:.0f} s</text>'
            f'<text x="{_LEFT}" y="{_TOP + 8}">{_short(top)}</text>'
        )
        rules = "".join(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>' for y in (_TOP, HEIGHT - _BOTTOM)
        )
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(self.text())}">'
            f"<g class='bk-rule'>{rules}</g>{lines}{axis}</svg>"
        )

    def _line(self, i: int) -> str:
        begin_s, end_s = self._span()
        top = self._top()
        wide, high = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
        places: list[list[str]] = [[]]
        for at_s, values in self._points:
            value = values[i] if i < len(values) else None
            if value is None:
                places.append([])
                continue
            x = _LEFT + wide * (at_s - begin_s) / max(end_s - begin_s, 1e-9)
            y = _TOP + high * (1 - min(value / top, 1.0))
            places[-1].append(f"{x:.1f},{y:.1f}")
        return "".join(
            f'<polyline points="{" ".join(stretch)}" style="stroke:{_COLOURS[i]}"/>'
            for stretch in places
            if len(stretch) > 1
        )

    def _span(self) -> tuple[float, float]:
        return (self._points[0][0], self._points[-1][0]) if self._points else (0.0, 0.0)

    def _top(self) -> float:
        """A round number that no value is above."""
        values: Sequence[float] = [v for _, told in self._points for v in told if v is not None]
        return _round_up(max(values, default=1.0))


def _round_up(value: float) -> float:
    if value <= 0:
        return 1.0
    step = 10.0 ** math.floor(math.log10(value))
    return next(step * times for times in (1, 2, 5, 10) if step * times >= value * 0.999_999)


def _short(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
