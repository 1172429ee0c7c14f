"""What a sweep's charts have in common: axes, colours, and how loads outside of a curve are shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import altair as alt
import pandas as pd

from benchkit.report import theme
from benchkit.report.sweep_loads import Load

ANSWERED: Final = "requests answered per second"
_DASHES: Final = ([1, 0], [7, 3], [2, 2])
_SHAPES: Final = ("circle", "square", "diamond", "triangle-down")
_COLOURS: Final = 8
_SHOWN_LINES: Final = 4


def color_of(field: str, names: Sequence[str]) -> alt.Color:
    """The colour of each curve, told in a legend where there are several.

    Args:
        field: the column that names the curve.
        names: all curves, in order.
    """
    # A legend would otherwise take the opacity of bands for its symbols.
    columns = 2 if max(map(len, names), default=0) > 24 else 4
    legend = alt.Legend(columns=columns, symbolOpacity=1, symbolStrokeWidth=0)
    return alt.Color(
        f"{field}:N", scale=alt.Scale(domain=list(names)), legend=legend if len(names) > 1 else None
    )


def lines(table: pd.DataFrame, field: str, names: Sequence[str], **encodings: Any) -> list[alt.Chart]:
    """One line a curve, each with a dash of its own, so that a dozen stay apart, in grey as well."""
    color = color_of(field, names)
    return [
        alt.Chart(table[table[field] == name])
        # The dash is no encoding: a legend would draw its symbols with it.
        .mark_line(strokeDash=list(_DASHES[(at // _COLOURS + at) % len(_DASHES)]))
        .encode(color=color, **encodings)
        for at, name in enumerate(names)
        if (table[field] == name).any()
    ]


def shapes(field: str, names: Sequence[str]) -> alt.Shape:
    """The shape of each curve's points."""
    chosen = [_SHAPES[(at // _COLOURS + at) % len(_SHAPES)] for at in range(len(names))]
    return alt.Shape(f"{field}:N", scale=alt.Scale(domain=list(names), range=chosen), legend=None)


def why_off(load: Load) -> str:
    """Why a load is in no curve."""
    return "saturated: requests piled up" if load.saturated else "as much as the server would take"


def told_off(loads: Sequence[Load], what: str) -> list[str]:
    """A sentence on the loads that are in no curve; none when there are none.

    Args:
        loads: all loads of the chart.
        what: where they are drawn instead.
    """
    saturated = sum(load.saturated for load in loads)
    everything = sum(load.is_everything and not load.saturated for load in loads)
    told = []
    if saturated:
        told.append(f"{saturated} saturated load{'' if saturated == 1 else 's'}")
    if everything:
        told.append("full throughput")
    return [f"{what}: {' and '.join(told)}, no part of the curve"] if told else []


def told_first(told: Sequence[str]) -> list[str]:
    """The first few sentences, and how many more there would be."""
    more = len(told) - _SHOWN_LINES
    return [*told[:_SHOWN_LINES], f"and {more} more"] if more > 1 else list(told)


def top_marks(table: pd.DataFrame, x: alt.X, names: Sequence[str]) -> alt.Chart:
    """Triangles at the upper edge for loads whose times are in no curve: they would grow with the run's length.

    Args:
        table: `series`, `at`, `load`, `why`, `value` and `requests` of each.
        x: the chart's axis of `at`.
        names: the curves that colours stand for; of a single one, or where colours are statistics, none.
    """
    marks: alt.Chart = (
        alt.Chart(table)
        .mark_point(shape="triangle-up", size=80, filled=True, opacity=1)
        .encode(
            x=x,
            y=alt.value(6),
            color=_apart(names),
            tooltip=[
                alt.Tooltip("load:N"),
                alt.Tooltip("series:N"),
                alt.Tooltip("why:N", title="why apart"),
                alt.Tooltip("at:Q", title="answered per s", format=",.3~r"),
                alt.Tooltip("value:N", title="its own times (ms)"),
                alt.Tooltip("requests:Q", format=",d"),
            ],
        )
    )
    return marks


def crosses(
    table: pd.DataFrame, x: alt.X, y: alt.Y, names: Sequence[str], tooltip: list[alt.Tooltip]
) -> alt.Chart:
    """Crosses for loads that are in no curve, where they were measured."""
    marks: alt.Chart = (
        alt.Chart(table)
        .mark_point(shape="cross", angle=45, size=90, filled=True, opacity=1)
        .encode(x=x, y=y, color=_apart(names), tooltip=tooltip)
    )
    return marks


def wide_ticks(low: float, high: float) -> list[float]:
    """Round values for a logarithmic axis: 1, 2 and 5 of each power of ten where these are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) < 6 else (1,)
    return [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]


def _apart(names: Sequence[str]) -> alt.Color | alt.ColorValue:
    """The curve's own colour where there are several, else the one that marks what went wrong."""
    if len(names) > 1:
        return color_of("series", names)
    plain: alt.ColorValue = alt.ColorValue(theme.MARK)
    return plain
