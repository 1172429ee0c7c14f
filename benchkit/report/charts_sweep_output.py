"""The chart of what a server gave against how much it had at once, with its knee."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import altair as alt
import pandas as pd

from benchkit.analysis.knee import Knee, Output, knee
from benchkit.analysis.points import LoadPoint
from benchkit.report import theme, titles_sweep
from benchkit.report.amounts import amount
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.sweep_loads import Load, loads
from benchkit.report.sweep_marks import (
    color_of,
    crosses,
    lines,
    shapes,
    told_first,
    told_off,
    why_off,
    wide_ticks,
)
from benchkit.report.titles import headed

_HEIGHT: Final = 250
_WIDE: Final = 20.0


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is counted as output."""

    rate: str
    axis: str
    short: str


_TOKENS: Final = _Unit("output_tokens_per_s", "output tokens per second", "tokens/s")
_REQUESTS: Final = _Unit("requests_per_s", "requests answered per second", "requests/s")


def throughput(points: Iterable[LoadPoint]) -> Drawing:
    """Where does more load stop helping? Output against requests in flight, with the knee marked.

    The knee is the load with the most output for the time that it takes (`benchkit.analysis.knee`). Full throughput
    is on the curve: its concurrency was held.
    """
    every = [load for load in loads(points) if load.in_flight]
    unit = _TOKENS if all(load.rate_of(_TOKENS.rate) is not None for load in every) else _REQUESTS
    known = [load for load in every if load.rate_of(unit.rate)]
    if not known:
        return nothing(
            "How much comes out with how much at once is not known",
            f"{len(every)} loads tell how many requests were in flight, and none the output.",
        )
    table = _output_table(known, unit)
    names = list(dict.fromkeys(table["series"]))
    knees = {name: _knee(known, name, unit) for name in names}
    x = _concurrency(table)
    height = alt.Scale(domain=[0, 1.12 * float(table["per_s"].max())], nice=False)
    y = alt.Y(
        "per_s:Q",
        title=unit.axis,
        scale=height,
        axis=alt.Axis(format=",.6~g"),
    )
    color = color_of("series", names)
    steady, piled = table[~table["saturated"]], table[table["saturated"]]
    layers: list[Any] = [*_knee_layers(knees, x, height, color)]
    layers += lines(steady, "series", names, x=x, y=y, order="in_flight:Q")
    dots = alt.Chart(steady).mark_point(filled=True, size=60, opacity=1)
    layers.append(dots.encode(x=x, y=y, color=color, shape=shapes("series", names), tooltip=_tooltip(unit)))
    if len(piled):
        layers.append(crosses(piled, x, y, names, _tooltip(unit)))
    subtitle = told_first([_told_knee(found, name, unit) for name, found in knees.items()])
    if any(knees.values()):
        subtitle.append(
            "beyond the knee, 1 % more in flight gives less than 1/2 % more output; dotted: the most"
        )
    subtitle += told_off([load for load in known if load.saturated], "crosses")
    chart: Drawing = alt.layer(*layers).properties(
        width=theme.WIDTH,
        height=_HEIGHT,
        title=headed(titles_sweep.knee(knees, table, unit.short), subtitle),
    )
    return chart


def _concurrency(table: pd.DataFrame) -> alt.X:
    low, high = 0.85 * float(table["in_flight"].min()), 1.15 * float(table["in_flight"].max())
    title = "requests in flight, on average"
    if high <= _WIDE * low:
        scale = alt.Scale(domain=[0, high], nice=False)
        return alt.X("in_flight:Q", title=title, scale=scale, axis=alt.Axis(format=",.6~g"))
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    axis = alt.Axis(format=",.6~g", values=wide_ticks(low, high))
    return alt.X("in_flight:Q", title=f"{title}, logarithmic", scale=scale, axis=axis)


def _output_table(known: Sequence[Load], unit: _Unit) -> pd.DataFrame:
    rows = [
        {
            "series": load.series,
            "load": load.label,
            "in_flight": load.in_flight,
            "per_s": load.rate_of(unit.rate),
            "requests_per_s": load.requests_per_s,
            "saturated": load.saturated,
            "state": why_off(load) if load.saturated else "steady",
        }
        for load in known
    ]
    return pd.DataFrame(rows)


def _knee(known: Sequence[Load], name: str, unit: _Unit) -> Knee | None:
    return knee(
        [
            Output(load.in_flight or 0.0, load.rate_of(unit.rate) or 0.0, not load.saturated)
            for load in known
            if load.series == name
        ]
    )


def _knee_layers(
    knees: dict[str, Knee | None], x: alt.X, height: alt.Scale, color: alt.Color
) -> list[alt.Chart]:
    """Where each curve's knee is, and the most that its server gave."""
    found = {name: one for name, one in knees.items() if one is not None}
    if not found:
        return []
    marks = pd.DataFrame(
        [
            {
                "series": name,
                "in_flight": one.in_flight,
                "per_s": one.per_s,
                "most": one.most,
                "text": f"knee{'' if one.reached else ', or beyond'}: {amount(one.in_flight)} in flight",
            }
            for name, one in found.items()
        ]
    )
    base = alt.Chart(marks).encode(color=color)
    layers = [
        base.mark_rule(strokeWidth=1.2, strokeDash=[2, 3]).encode(y=alt.Y("most:Q", scale=height)),
        base.mark_rule(strokeWidth=1.4, strokeDash=[5, 3]).encode(x=x, tooltip=["series:N", "text:N"]),
    ]
    if len(found) == 1:
        words = alt.Chart(marks).mark_text(align="right", dx=-6)
        layers.append(words.encode(x=x, y=alt.value(_HEIGHT - 12), text="text:N"))
    return layers


def _tooltip(unit: _Unit) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("load:N"),
        alt.Tooltip("series:N"),
        alt.Tooltip("in_flight:Q", title="in flight", format=",.3~r"),
        alt.Tooltip("per_s:Q", title=unit.short, format=",.4~r"),
        alt.Tooltip("requests_per_s:Q", title="requests/s", format=",.3~r"),
        alt.Tooltip("state:N"),
    ]


def _told_knee(found: Knee | None, name: str, unit: _Unit) -> str:
    head = f"{name}: " if name else ""
    if found is None:
        return f"{head}1 level of concurrency only: no knee can be told"
    most = f"{head}at most {amount(found.most)} {unit.short}"
    where = f"{amount(found.in_flight)} in flight"
    if not found.reached:
        return f"{most}, and still worth more at once: the knee lies at {where} or beyond"
    between = ""
    if found.low is not None:
        to = "" if found.high is None else f" and {amount(found.high)}"
        between = f" (between {amount(found.low)}{to})" if to else f" (above {amount(found.low)})"
    return f"{most}; knee at about {where}{between}, with {100 * found.share:.0f} % of that"
