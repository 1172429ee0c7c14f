"""How every chart looks: colours, type and axes, in light and in dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

NAME: Final = "benchkit"
"""By which Altair knows the theme, once `renderer` is imported."""
WIDTH: Final = 660
"""Width of a plot in pixels, axes not counted."""

INK: Final = "#24292f"
QUIET: Final = "#5b6470"
FAINT: Final = "#8a94a0"
"""Grey that is seen on white and on black."""
MARK: Final = "#c8321f"
"""Marks what went wrong; legible on white and on black."""

JUDGED: Final = "diverging"
"""Range of colours for worse, better, alike and unknown, in this order; Vega-Lite knows no other names for ranges."""
HEAT: Final = "heatmap"
"""Range of colours for four classes from harmless to bad; text on them is `ON_HEAT`."""
ON_HEAT: Final = ("#1b1f24", "#1b1f24", "#1b1f24", "#ffffff")
STAGES: Final = "ordinal"
"""Range of colours for what a request goes through."""

STRONG: Final = "bk-strong"
"""Style of a mark in the colour of text."""
ACCENT: Final = "bk-accent"
"""Style of a mark in the first colour of a series."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one kind of page.

    Of each range any two colours stay apart for eyes without red or green cones; those that lie side by side, and
    the first four of the series among each other, also in grey.
    """

    background: str
    ink: str
    quiet: str
    grid: str
    series: tuple[str, ...]
    stages: tuple[str, ...]
    judged: tuple[str, ...]
    heat: tuple[str, ...] = ("#cfe8dc", "#8fb8de", "#c9761a", "#8c1d10")


LIGHT_PALETTE: Final = Palette(
    background="#ffffff",
    ink=INK,
    quiet=QUIET,
    grid="#e6e9ed",
    series=(
        *("#123d73", "#d98200", "#a8376b", "#7cc0ec"),
        *("#5c3d1e", "#57b894", "#7b61b8", "#dccb4a"),
    ),
    stages=("#cdd3db", "#a8376b", "#e8962a", "#123d73"),
    judged=("#b32413", "#1a8f95", "#123d73", "#b3bac3"),
)
DARK_PALETTE: Final = Palette(
    background="transparent",
    ink="#e6edf3",
    quiet="#9aa4b0",
    grid="#30363d",
    series=(
        *("#79b8f2", "#cf6f12", "#ffd9ea", "#3a5f9e"),
        *("#f2e58a", "#2c9a78", "#b7b7a8", "#7d5d2c"),
    ),
    stages=("#4a525c", "#c46a9c", "#f7d98a", "#7fb2e8"),
    judged=("#e8604f", "#4fc7b8", "#d6e8ff", "#5a636e"),
)

_FONT: Final = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif"


def _config(colours: Palette) -> dict[str, Any]:
    ink, quiet = colours.ink, colours.quiet
    return {
        "background": colours.background,
        "font": _FONT,
        "padding": 8,
        "view": {"stroke": None, "continuousWidth": WIDTH, "continuousHeight": 260},
        "title": {
            "anchor": "start",
            "frame": "group",
            "color": ink,
            "fontSize": 15,
            "fontWeight": 600,
            "lineHeight": 19,
            "subtitleColor": quiet,
            "subtitleFontSize": 12,
            "subtitleLineHeight": 16,
            "subtitlePadding": 5,
            "offset": 14,
        },
        "axis": {
            "labelColor": quiet,
            "titleColor": quiet,
            "labelFontSize": 11,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "titlePadding": 8,
            "gridColor": colours.grid,
            "domainColor": quiet,
            "tickColor": quiet,
            "labelFlush": False,
        },
        "axisY": {"domain": False, "ticks": False},
        "axisX": {"grid": False},
        "header": {"labelColor": ink, "titleColor": quiet, "labelFontSize": 12},
        "legend": {
            "orient": "bottom",
            "direction": "horizontal",
            "title": None,
            "labelColor": ink,
            "labelFontSize": 12,
            "labelLimit": 400,
            "symbolStrokeWidth": 2.5,
            "symbolSize": 140,
            "columnPadding": 18,
        },
        "mark": {"color": colours.series[0]},
        "range": {
            "category": list(colours.series),
            STAGES: list(colours.stages),
            JUDGED: list(colours.judged),
            HEAT: list(colours.heat),
        },
        "line": {"strokeWidth": 2},
        "rule": {"color": quiet, "strokeDash": [3, 3]},
        "text": {"color": quiet, "fontSize": 11},
        "style": {STRONG: {"color": ink}, ACCENT: {"color": colours.series[0]}},
        "concat": {"spacing": 26},
    }


CONFIG: Final = _config(LIGHT_PALETTE)
"""Vega-Lite's `config` on white: what is stored in notebooks and drawn to PNG."""

DARK: Final = _config(DARK_PALETTE)
"""The same on a dark page; a report lays it over `CONFIG` when its reader's system is dark."""
