"""Charts of a sweep's times against its load: first token, whole answer, time between tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import altair as alt
import pandas as pd

from benchkit.analysis.binomial import needed_for
from benchkit.analysis.points import LoadPoint
from benchkit.objectives import StatisticObjective
from benchkit.report import sweep_objectives, theme
from benchkit.report.amounts import amount
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.sweep_bands import QUANTILES, kinds, statistic
from benchkit.report.sweep_loads import Load, loads
from benchkit.report.sweep_marks import (
    ANSWERED,
    color_of,
    lines,
    shapes,
    told_first,
    told_off,
    top_marks,
    why_off,
    wide_ticks,
)
from benchkit.report.titles import headed
from benchkit.report.titles_sweep_time import WORDS, Value, times

_WIDE: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Question:
    """What a chart asks of one metric."""

    metric: str
    axis: str


def ttft(points: Iterable[LoadPoint], slo: Sequence[str] | None = None) -> Drawing:
    """How long do people wait for the first token as load grows? Against requests answered per second.

    Args:
        points: the loads.
        slo: objectives to draw; what the points were judged by when None.
    """
    asks = _Question("ttft_ms", "time to first token (ms)")
    return _against_load(asks, points, slo)


def latency(points: Iterable[LoadPoint], slo: Sequence[str] | None = None) -> Drawing:
    """How long does the whole answer take as load grows? Against requests answered per second; as `ttft`."""
    asks = _Question("latency_ms", "latency (ms)")
    return _against_load(asks, points, slo)


def itl(points: Iterable[LoadPoint], slo: Sequence[str] | None = None) -> Drawing:
    """How fast does text flow as load grows? Time between tokens against requests answered; as `ttft`."""
    asks = _Question("itl_ms", "time between tokens (ms)")
    return _against_load(asks, points, slo)


def _against_load(question: _Question, points: Iterable[LoadPoint], slo: Sequence[str] | None) -> Drawing:
    given = list(points)
    every = [load for load in loads(given) if load.requests_per_s is not None]
    curve = [load for load in every if load.on_curve]
    limits = sweep_objectives.upper_bounds(given, slo, question.metric, list(WORDS))
    names = _statistics(curve, question.metric, {limit.statistic for limit in limits})
    values = [
        Value(load, name, found)
        for load in curve
        for name in names
        if (found := statistic(load, question.metric, name)) is not None
    ]
    if not values:
        return nothing(
            f"No steady load tells of the {question.axis.removesuffix(' (ms)')}",
            f"{len(every)} loads, and none with a steady state and this metric.",
        )
    off = _off_curve([load for load in every if not load.on_curve], question.metric, names)
    series = list(dict.fromkeys(value.load.series for value in values))
    title = headed(times(question.metric, values, limits), _subtitle(values, every, limits, series))
    if len(series) == 1:
        chart: Drawing = _panel(values, off, limits, by="statistic", axis=question.axis, height=250)
        return chart.properties(title=title)
    panels = [
        _panel(
            [value for value in values if value.name == name],
            off,
            [limit for limit in limits if limit.statistic == name],
            by="series",
            axis=f"{WORDS[name]} {question.axis}",
            height=190,
        )
        for name in names
    ]
    stacked: Drawing = alt.vconcat(*panels, title=title)
    return stacked


def _statistics(curve: Sequence[Load], metric: str, asked: set[str]) -> list[str]:
    """The middle, and the tail: what objectives are about, else p99. The mean where no median is known."""
    there = {
        name
        for name in WORDS
        if any(point.statistic(metric, name) is not None for load in curve for point in load.points)
    }
    wanted = {"p50" if "p50" in there else "mean", *(asked or {"p99"})}
    return [name for name in WORDS if name in wanted & there]


def _panel(
    values: Sequence[Value],
    off: pd.DataFrame,
    limits: Sequence[StatisticObjective],
    *,
    by: str,
    axis: str,
    height: int,
) -> alt.LayerChart | alt.FacetChart:
    table = _table(values)
    names = list(dict.fromkeys(table[by]))
    high = float(table["value"].max())
    # A logarithmic axis has no place for nothing: what is 0 is drawn on its floor.
    positive = table["value"][table["value"] > 0]
    least = float(positive.min()) if len(positive) else 0.0
    wide = high > _WIDE * max(least, 1e-3)
    shown = [limit for limit in limits if limit.bound <= 2 * high]
    top = 1.1 * max(float(table[["value", "high"]].max().max()), *(limit.bound for limit in shown), 0.0)
    bottom = 0.8 * max(least, 1e-3) if wide else 0.0
    table["drawn"] = table["value"].clip(lower=bottom)
    scale = alt.Scale(type="log" if wide else "linear", domain=[bottom, top], nice=False)
    right = 1.04 * max([float(table["at"].max()), float(off["at"].max() if len(off) else 0.0)])
    x = alt.X("at:Q", title=ANSWERED, scale=alt.Scale(domain=[0, right], nice=False))
    y = alt.Y(
        "drawn:Q",
        title=axis + (", logarithmic" if wide else ""),
        scale=scale,
        axis=alt.Axis(format=",.6~g", tickCount=6, values=wide_ticks(bottom, top) if wide else alt.Undefined),
    )
    color = color_of(by, names)
    layers: list[Any] = [*_bands(table, bottom, x, scale, color), *lines(table, by, names, x=x, y=y)]
    for resolved in (True, False):
        rows = table[table["resolved"] == resolved]
        if len(rows):
            dots = alt.Chart(rows).mark_point(filled=resolved, size=60, strokeWidth=1.8, opacity=1)
            layers.append(dots.encode(x=x, y=y, color=color, shape=shapes(by, names), tooltip=_tooltip(by)))
    layers += _limit_lines(shown, right, x, scale)
    if len(off):
        layers.append(top_marks(off, x, names if by == "series" else []))
    return alt.layer(*layers).properties(width=theme.WIDTH, height=height)


def _bands(
    table: pd.DataFrame, bottom: float, x: alt.X, scale: alt.Scale, color: alt.Color
) -> list[alt.Chart]:
    """Areas between neighbours that both have a band, and a line at each, so that none is drawn where none is."""
    banded = table.dropna(subset=["low", "high"])
    if not len(banded):
        return []
    banded = banded.assign(low=banded["low"].clip(lower=bottom))
    base = alt.Chart(banded).encode(
        x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q", color=color, detail="piece:N"
    )
    return [base.mark_area(opacity=0.15), base.mark_rule(strokeDash=[1, 0], opacity=0.55, strokeWidth=1.5)]


def _limit_lines(
    limits: Sequence[StatisticObjective], right: float, x: alt.X, scale: alt.Scale
) -> list[alt.Chart]:
    if not limits:
        return []
    # Side by side, so that bounds near one another can be read.
    step = right / 4
    table = pd.DataFrame(
        [
            {"at": (place % 4) * step, "value": limit.bound, "text": limit.text}
            for place, limit in enumerate(limits)
        ]
    )
    y = alt.Y("value:Q", scale=scale)
    rules = alt.Chart(table).mark_rule(strokeWidth=1.4).encode(y=y, tooltip=["text:N"])
    words = alt.Chart(table).mark_text(align="left", baseline="bottom", dy=-3, dx=4)
    return [rules, words.encode(x=x, y=y, text="text:N")]


def _table(values: Sequence[Value]) -> pd.DataFrame:
    """One row a point of a curve; those of a curve follow each other by load, curves as they first came."""
    curves = list(dict.fromkeys((value.load.series, value.name) for value in values))
    ordered = sorted(values, key=lambda value: (curves.index((value.load.series, value.name)), value.at))
    rows = [
        {
            "series": value.load.series,
            "statistic": WORDS[value.name],
            "at": value.at,
            "value": value.found.value,
            "low": value.found.low,
            "high": value.found.high,
            "resolved": value.found.resolved,
            "load": value.load.label,
            "requests": value.found.requests,
        }
        for value in ordered
    ]
    table = pd.DataFrame(rows)
    numbers = ["low", "high", "requests"]
    table[numbers] = table[numbers].apply(pd.to_numeric)
    bare = table["low"].isna() | table["high"].isna()
    table["piece"] = table["series"] + table["statistic"] + bare.cumsum().astype(str)
    return table


def _tooltip(by: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("load:N"),
        alt.Tooltip(f"{by}:N"),
        alt.Tooltip("at:Q", title="answered per s", format=",.3~r"),
        alt.Tooltip("value:Q", title="ms", format=",.4~r"),
        alt.Tooltip("low:Q", title="from (ms)", format=",.4~r"),
        alt.Tooltip("high:Q", title="to (ms)", format=",.4~r"),
        alt.Tooltip("requests:Q", format=",d"),
    ]


def _off_curve(off: Sequence[Load], metric: str, names: Sequence[str]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            "series": load.series,
            "at": load.requests_per_s,
            "load": load.label,
            "why": why_off(load),
            "value": ", ".join(
                f"{WORDS[name]} {amount(found.value)}"
                for name in names
                if (found := statistic(load, metric, name)) is not None
            ),
            "requests": load.count,
        }
        for load in off
    ]
    table = pd.DataFrame(rows, columns=["series", "at", "load", "why", "value", "requests"])
    table["requests"] = pd.to_numeric(table["requests"])
    return table


def _subtitle(
    values: Sequence[Value],
    every: Sequence[Load],
    limits: Sequence[StatisticObjective],
    series: Sequence[str],
) -> list[str]:
    found = []
    for limit in limits:
        for name in series:
            told = sweep_objectives.told(
                limit,
                [
                    (value.load, value.found.value)
                    for value in values
                    if value.name == limit.statistic and value.load.series == name
                ],
                "ms",
            )
            found += [f"{name}: {told}" if name else told] if told else []
    if not limits and len({(value.load.series, value.name) for value in values}) > 1:
        found = [_range(values, name) for name in series]
    told_lines = told_first(found) + told_off(every, "triangles at the top")
    short = dict.fromkeys(value.name for value in values if not value.found.resolved)
    if short:
        needs = ", ".join(f"a {name} needs {needed_for(q)}" for name, q in QUANTILES.items() if name in short)
        told_lines.append(f"hollow: too few independent requests{f' ({needs})' if needs else ''}")
    return told_lines + kinds([value.found for value in values])


def _range(values: Sequence[Value], series: str) -> str:
    """How much each statistic rises from the lightest to the heaviest steady load of a curve."""
    own = [value for value in values if value.load.series == series]
    first, last = min(value.at for value in own), max(value.at for value in own)
    told = []
    for name in dict.fromkeys(value.name for value in own):
        ends = [value for value in own if value.name == name and value.at in (first, last)]
        told.append(f"{WORDS[name]} " + " to ".join(dict.fromkeys(amount(end.found.value) for end in ends)))
    head = f"{series}: " if series else ""
    return f"{head}{', '.join(told)} ms from {amount(first)} to {amount(last)} requests/s"
