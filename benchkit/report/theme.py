"""How every chart looks: colours, type and axes, in light and in dark."""

from __future__ import annotations

from typing import Any, Final

WIDTH: Final = 660
"""Width of a plot in pixels, axes not counted."""

INK: Final = "#24292f"
QUIET: Final = "#5b6470"
FAINT: Final = "#8a94a0"
MARK: Final = "#c8321f"
"""Marks what went wrong; legible on white and on black."""

# Neighbours differ in lightness as well as in hue, so that they stay apart in grey and for colour-blind eyes.
_SERIES: Final = [
    *("#1b4f8a", "#e08a00", "#8f2d56", "#7cc0ec"),
    *("#2e7d5b", "#c79bd8", "#6b4f2f", "#a9b43a"),
]
_SERIES_DARK: Final = [
    *("#8ec5ff", "#d07a1c", "#f0a8c8", "#4f93d6"),
    *("#7fd1a8", "#9a6fb0", "#d3b48c", "#7d8a2a"),
]
_STAGES: Final = ["#cdd3db", "#7b3f98", "#f2a93b", "#1b4f8a"]
_STAGES_DARK: Final = ["#59626e", "#b784d6", "#f2b75a", "#4f93d6"]

_FONT: Final = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif"


def _config(
    *, ink: str, quiet: str, grid: str, series: list[str], stages: list[str], background: str
) -> dict[str, Any]:
    return {
        "background": background,
        "font": _FONT,
        "padding": 8,
        "view": {"stroke": None, "continuousWidth": WIDTH, "continuousHeight": 260},
        "title": {
            "anchor": "start",
            "frame": "group",
            "color": ink,
            "fontSize": 15,
            "fontWeight": 600,
            "subtitleColor": quiet,
            "subtitleFontSize": 12,
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
            "gridColor": grid,
            "domainColor": quiet,
            "tickColor": quiet,
            "labelFlush": False,
        },
        "axisY": {"domain": False, "ticks": False},
        "axisX": {"grid": False},
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
        "mark": {"color": series[0]},
        "range": {"category": series, "ordinal": stages},
        "line": {"strokeWidth": 2},
        "rule": {"color": quiet, "strokeDash": [3, 3]},
        "text": {"color": quiet, "fontSize": 11},
        "concat": {"spacing": 26},
    }


CONFIG: Final = _config(
    ink=INK, quiet=QUIET, grid="#e6e9ed", series=_SERIES, stages=_STAGES, background="#ffffff"
)
"""Vega-Lite's `config` on white: what is stored in notebooks and drawn to PNG."""

DARK: Final = _config(
    ink="#e6edf3",
    quiet="#9aa4b0",
    grid="#30363d",
    series=_SERIES_DARK,
    stages=_STAGES_DARK,
    background="transparent",
)
"""The same on a dark page; a report lays it over `CONFIG` when its reader's system is dark."""
