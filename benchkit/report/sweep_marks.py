"""What a sweep's charts have in common: axes, colours, and how loads outside of a curve are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import altair as alt
import pandas as pd

from benchkit.report import theme
from benchkit.report.sweep_loads import Load

ANSWERED: Final = "requests answered per second"
_DASHES: Final = ([1, 0], [7, 3], [2, 2])
_SHAPES: Final = ("circle", "square", "diamond", "triangle-down")
_COLOURS: Final = 4


def styles(field: str, names: Sequence[str]) -> dict[str, Any]:
    """Colour, dash and shape of each curve, so that a dozen stay apart, in grey as well; for ``encode``.

    Args:
        field: the column that names the curve.
        names: all curves, in order.
    """
    # A legend would otherwise take the opacity of bands and the dashes of lines for its symbols.
    columns = 2 if max(map(len, names), default=0) > 24 else 4
    legend = alt.Legend(columns=columns, symbolOpacity=1, symbolStrokeWidth=0)
    shown = legend if len(names) > 1 else None
    order = list(names)
    dash = [list(_DASHES[(at // _COLOURS + at) % len(_DASHES)]) for at in range(len(order))]
    return {
        "color": alt.Color(f"{field}:N", scale=alt.Scale(domain=order), legend=shown),
        "strokeDash": alt.StrokeDash(f"{field}:N", scale=alt.Scale(domain=order, range=dash), legend=None),
    }


def shapes(field: str, names: Sequence[str]) -> alt.Shape:
    """The shape of each curve's points."""
    chosen = [_SHAPES[at % len(_SHAPES)] for at in range(len(names))]
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


def top_marks(table: pd.DataFrame, x: alt.X) -> alt.Chart:
    """Triangles at the upper edge for loads whose times are in no curve: they would grow with the run's length.

    Args:
        table: `at`, `load`, `why`, `value` and `requests` of each.
        x: the chart's axis of `at`.
    """
    marks: alt.Chart = (
        alt.Chart(table)
        .mark_point(shape="triangle-up", size=80, filled=True, opacity=1, color=theme.MARK)
        .encode(
            x=x,
            y=alt.value(6),
            tooltip=[
                alt.Tooltip("load:N"),
                alt.Tooltip("why:N", title="why apart"),
                alt.Tooltip("at:Q", title="answered per s", format=",.3~r"),
                alt.Tooltip("value:N", title="its own times (ms)"),
                alt.Tooltip("requests:Q", format=",d"),
            ],
        )
    )
    return marks


def crosses(table: pd.DataFrame, x: alt.X, y: alt.Y, tooltip: list[alt.Tooltip]) -> alt.Chart:
    """Crosses for loads that are in no curve, where they were measured."""
    marks: alt.Chart = (
        alt.Chart(table)
        .mark_point(shape="cross", angle=45, size=90, filled=True, opacity=1, color=theme.MARK)
        .encode(x=x, y=y, tooltip=tooltip)
    )
    return marks
