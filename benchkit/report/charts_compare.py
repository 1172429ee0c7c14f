"""Charts of a comparison: the change of each number, and how each run came out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import altair as alt
import pandas as pd

from benchkit.analysis.comparison import LoadCompared, NumberCompared
from benchkit.report import theme, titles_compare
from benchkit.report.compare_rows import change_of
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.titles import headed

if TYPE_CHECKING:
    from benchkit.report.compare import Comparison

_KINDS: Final = ("worse", "better", "no difference that matters", "cannot tell")
_SHAPES: Final = ("triangle-up", "triangle-down", "circle", "diamond")
_NOTHING: Final = "No number is there on both sides."
_ROW: Final = 22
_RUN_PANELS: Final = 6
_WIDE: Final = 4
"""Times the change that matters beyond which the axis presses large changes together."""
_LOWEST: Final = 90.0
_HIGHEST: Final = 400.0
_TICKS: Final = (2, 5, 10, 20, 50, 100, 200, 400)
_SIGNED: Final = "datum.value == 0 ? '0' : datum.label"
_DOTS: Final = alt.Legend(symbolStrokeWidth=0, symbolDash=[1, 0])


def changes(found: Comparison) -> Drawing:
    """How much did each number change, and how sure is that? In percent of the base, with its interval."""
    rows = list(_changes(found))
    if not rows:
        return nothing("What changed is not known", _NOTHING)
    table = pd.DataFrame(rows)
    names = list(dict.fromkeys(table["name"]))
    change = 100 * found.parameters.change
    scale, ticks, cut = _scale(table, change)
    x = alt.X(
        "change:Q",
        title=f"change against {found.names[0]} (%)",
        scale=scale,
        axis=alt.Axis(format="+~g", labelExpr=_SIGNED, values=ticks or alt.Undefined),
    )
    y = alt.Y("name:N", title=None, sort=names, axis=alt.Axis(labelLimit=320))
    color = alt.Color("kind:N", scale=alt.Scale(domain=list(_KINDS), range=theme.JUDGED), legend=_DOTS)
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=list(_KINDS), range=list(_SHAPES)), legend=_DOTS)
    tooltip = [alt.Tooltip("name:N"), alt.Tooltip("told:N", title="change"), alt.Tooltip("words:N"), "runs:N"]
    band = alt.Chart(pd.DataFrame({"from": [-change], "to": [change]})).mark_rect(
        color=theme.FAINT, opacity=0.16
    )
    zero = alt.Chart(pd.DataFrame({"at": [0.0]})).mark_rule(strokeDash=[1, 0])
    spans = alt.Chart(table.dropna(subset=["low"])).mark_rule(strokeDash=[1, 0], strokeWidth=3, clip=True)
    dots = alt.Chart(table).mark_point(filled=True, size=45, opacity=1, clip=True)
    layers: list[Any] = [
        band.encode(x=alt.X("from:Q", scale=scale), x2="to:Q"),
        zero.encode(x="at:Q"),
        spans.encode(x=alt.X("low:Q"), x2="high:Q", y=y, color=color, tooltip=tooltip),
        dots.encode(x=x, y=y, color=color, shape=shape, tooltip=tooltip),
        *_limits(found, names),
    ]
    alpha = found.loads[0].numbers[0].difference.alpha
    subtitle = [
        f"bars: {100 * (1 - alpha):.3g} % intervals; grey: changes up to {change:g} %, which do not matter",
        *(["upright ticks: what the gates allow"] if found.gates else []),
        *(["intervals go on beyond the edge"] if cut else []),
    ]
    if not table["low"].notna().any():
        subtitle = ["a single run a side: no interval, and nothing is decided"]
    drawn: Drawing = alt.layer(*layers).properties(
        width=theme.WIDTH - 120,
        height=_ROW * len(names),
        title=headed(titles_compare.changes(found), subtitle),
    )
    return drawn


def _scale(table: pd.DataFrame, change: float) -> tuple[alt.Scale, list[float], bool]:
    """The axis, with small changes spread out where some number is known badly; its ticks; whether it cuts."""
    ends = table[["low", "high", "change"]]
    low, high = min(float(ends.min().min()), -1.5 * change), max(float(ends.max().max()), 1.5 * change)
    cut = low < -_LOWEST or high > _HIGHEST
    low, high = max(1.1 * low, -_LOWEST), min(1.1 * high, _HIGHEST)
    if max(-low, high) <= _WIDE * change:
        return alt.Scale(domain=[low, high], nice=False), [], cut
    ticks = [sign * each for each in _TICKS for sign in (-1, 1) if low <= sign * each <= high]
    return alt.Scale(type="symlog", constant=change, domain=[low, high], nice=False), [0, *ticks], cut


def _changes(found: Comparison) -> Iterator[dict[str, Any]]:
    for load in found.loads:
        for each in load.numbers:
            ratio, limits = each.difference.ratio, each.difference.interval()
            if ratio is None:
                continue
            yield {
                "name": _name(load, each),
                "change": 100 * (ratio - 1),
                "low": None if limits is None else 100 * (limits[0] - 1),
                "high": None if limits is None else 100 * (limits[1] - 1),
                "kind": _kind(each, found.parameters.change),
                "told": change_of(each),
                "words": each.words(found.parameters.change),
                "runs": f"{len(load.base)} against {len(load.new)}",
            }


def _kind(each: NumberCompared, change: float) -> str:
    largest = each.difference.largest()
    if each.stands_out:
        return "worse" if each.difference.is_worse else "better"
    return (
        _KINDS[2]
        if largest is not None and largest <= change and not each.difference.differs()
        else _KINDS[3]
    )


def _limits(found: Comparison, names: Sequence[str]) -> list[alt.Chart]:
    rows = [
        {
            "name": each.gate.number.text + (f" under {each.load}" if each.load else ""),
            "at": 100 * each.gate.threshold * (1 if each.gate.direction == "rise" else -1),
            "gate": f"{each.gate.text}: {each.outcome}",
        }
        for each in found.gates
    ]
    rows = [row for row in rows if row["name"] in names]
    if not rows:
        return []
    ticks = alt.Chart(pd.DataFrame(rows)).mark_tick(thickness=3, size=_ROW - 4, style=theme.STRONG, clip=True)
    return [ticks.encode(x="at:Q", y=alt.Y("name:N", sort=list(names)), tooltip=["gate:N"])]


def runs(found: Comparison) -> Drawing:
    """How did each run come out? Each number's value by run, in percent of the base, in the order of time.

    A run that stands far off, or a drift over time, shows here and in no average.
    """
    chosen = [
        (load, each) for load in found.loads for each in load.numbers if each.difference.ratio is not None
    ]
    chosen = sorted(chosen, key=lambda pair: not pair[1].stands_out)[:_RUN_PANELS]
    rows = [row for load, each in chosen for row in _by_run(found, load, each)]
    if not rows:
        return nothing("How the runs came out is not known", _NOTHING)
    table = pd.DataFrame(rows)
    names = list(dict.fromkeys(table["number"]))
    order = "in the order in which they were measured" if table["timed"].all() else "in the order given"
    scale = alt.Scale(domain=list(found.names))
    across = alt.Scale(domain=[0.5, float(table["at"].max()) + 0.5], nice=False)
    lines = (
        alt.Chart()
        .mark_line(strokeWidth=1, opacity=0.5, color=theme.FAINT)
        .encode(x="at:Q", y="value:Q", detail="pair:N")
    )
    dots = (
        alt.Chart()
        .mark_point(filled=True, size=55, opacity=0.95)
        .encode(
            x=alt.X("at:Q", title=f"runs, {order}", scale=across, axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("value:Q", title="% of the base", scale=alt.Scale(zero=False)),
            color=alt.Color("side:N", scale=scale),
            shape=alt.Shape(
                "side:N", scale=alt.Scale(domain=list(found.names), range=["circle", "triangle-up"])
            ),
            tooltip=["run:N", "side:N", alt.Tooltip("told:N", title="value")],
        )
    )
    paired = any(load.pairing.paired for load, _ in chosen)
    subtitle = "100 % is the mean of the base" + ("; a line joins the runs of a pair" if paired else "")
    drawn: Drawing = (
        alt.layer(lines, dots, data=table)
        .properties(width=(theme.WIDTH - 80) // 2, height=110)
        .facet(facet=alt.Facet("number:N", sort=names, title=None), columns=2)
        .resolve_scale(y="independent")
        .properties(title=headed(titles_compare.runs(found, chosen), [subtitle]))
    )
    return drawn


def _by_run(found: Comparison, load: LoadCompared, each: NumberCompared) -> Iterator[dict[str, Any]]:
    every = [
        (side, place, run, value)
        for side, (side_runs, values) in enumerate(zip((load.base, load.new), each.by_run, strict=True))
        for place, (run, value) in enumerate(zip(side_runs, values, strict=True))
        if value is not None
    ]
    timed = all(run.begun_s is not None for _, _, run, _ in every)
    if timed:
        every.sort(key=lambda item: item[2].begun_s or 0.0)
    middle = each.difference.base or 1.0
    for at, (side, place, run, value) in enumerate(every, start=1):
        yield {
            "number": _name(load, each),
            "at": at,
            "value": 100 * value / middle,
            "side": found.names[side],
            "run": run.name,
            "told": f"{value:,.4g} {each.number.unit}",
            "pair": str(place) if load.pairing.paired else f"{side} {place}",
            "timed": timed,
        }


def _name(load: LoadCompared, compared: NumberCompared) -> str:
    return compared.number.text + (f" under {load.label}" if load.label else "")
