"""Charts of a capacity analysis for whoever decides: servers against load, and what varies them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import altair as alt
import numpy as np
import pandas as pd

from benchkit.analysis.capacity import Option
from benchkit.analysis.capacity_sensitivity import Variation
from benchkit.report import capacity_rows, theme, titles_capacity
from benchkit.report.amounts import amount
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.titles import headed

if TYPE_CHECKING:
    from benchkit.report.capacity_report import Capacity

_MOST_STEPS: Final = 300
_SHOWN_SERVERS: Final = 20
_DASHES: Final = {"as measured": [1, 0], "estimated": [6, 3]}


def servers(found: Capacity) -> Drawing:
    """How many servers for how much load? Both answers as steps, the target marked."""
    options = found.answer.options
    if not options:
        return nothing("No number of servers can be given", "No measured load meets the objectives.")
    load = max((option.load or 0.0 for option in options), default=0.0)
    top = 2 * load or _SHOWN_SERVERS * max(option.sized_on for option in options)
    table = pd.concat(_steps(option, top) for option in options)
    x = alt.X("load:Q", title="load (requests per second)", scale=alt.Scale(domain=[0, top], nice=False))
    bases = [option.basis for option in options]
    legend = alt.Legend(symbolType="stroke")
    color = alt.Color("basis:N", scale=alt.Scale(domain=bases), legend=legend)
    dashes = alt.Scale(domain=bases, range=[_DASHES[basis] for basis in bases])
    dash = alt.StrokeDash("basis:N", scale=dashes, legend=legend)
    lines = (
        alt.Chart(table)
        .mark_line(interpolate="step-before")
        .encode(
            x=x,
            y=alt.Y("servers:Q", title="servers", scale=alt.Scale(zero=True), axis=alt.Axis(tickMinStep=1)),
            color=color,
            strokeDash=dash,
            tooltip=["basis:N", alt.Tooltip("load:Q", title="up to requests/s", format=",.4~g"), "servers:Q"],
        )
    )
    layers: list[alt.Chart] = [lines]
    marks = pd.DataFrame(
        [
            {
                "load": option.load,
                "servers": option.fleet.servers,
                "basis": option.basis,
                "text": _mark(option),
            }
            for option in options
            if option.fleet is not None
        ]
    )
    if len(marks):
        rule = alt.Chart(marks).mark_rule(strokeDash=[2, 3]).encode(x="load:Q")
        dots = (
            alt.Chart(marks)
            .mark_point(size=90, filled=True, opacity=1)
            .encode(x="load:Q", y="servers:Q", color=color)
        )
        layers += [rule, dots, *_labels(marks)]
    chart: Drawing = alt.layer(*layers).properties(
        width=theme.WIDTH, height=280, title=headed(titles_capacity.servers(found), _told(found))
    )
    return chart


def sensitivity(found: Capacity) -> Drawing:
    """How do target and objective move the number of servers? A heat map, the question itself outlined."""
    variations = found.variations
    if not variations:
        return nothing(
            "How target and objective move the servers is not known",
            "There is no target to vary, or no answer to vary it from.",
        )
    table = pd.DataFrame(
        [
            {
                "target": each.target,
                "factor": each.objective_factor,
                "objective": _factor(each.objective_factor),
                "servers": each.servers,
                "text": _shown(each),
                "basis": each.basis or "no load meets it",
                "asked": each.target_factor == 1 and each.objective_factor == 1,
                "objectives": "; ".join(each.objectives),
            }
            for each in variations
        ]
    )
    unit = "people at once" if found.ask.target_users else "requests per second"
    dark = table["servers"] > 0.55 * (table["servers"].max() or 1)
    # Where no load meets the objectives the page shows through, light or dark.
    table["ink"] = np.select([dark, table["servers"].notna()], ["#ffffff", theme.INK], theme.FAINT)
    x = alt.X("target:O", title=f"target ({unit})", axis=alt.Axis(labelAngle=0, format=",.4~g"))
    y = alt.Y(
        "objective:N",
        title="times in the objectives",
        sort=[_factor(factor) for factor in sorted({each.objective_factor for each in variations})],
    )
    cells = (
        alt.Chart(table)
        .mark_rect()
        .encode(
            x=x,
            y=y,
            color=alt.condition(
                "isValid(datum.servers)",
                alt.Color("servers:Q", scale=alt.Scale(scheme="blues", domainMin=0), legend=None),
                alt.value("#8a94a040"),
            ),
            tooltip=["objectives:N", alt.Tooltip("target:Q", format=",.4~g"), "text:N", "basis:N"],
        )
    )
    numbers = (
        alt.Chart(table)
        .mark_text(fontSize=12)
        .encode(
            x=x,
            y=y,
            text="text:N",
            color=alt.Color("ink:N", scale=None),
        )
    )
    outline = (
        alt.Chart(table[table["asked"]])
        .mark_rect(filled=False, stroke=theme.MARK, strokeWidth=2.5, strokeDash=[1, 0])
        .encode(x=x, y=y)
    )
    drawn = alt.layer(cells, numbers, outline).resolve_scale(color="independent")
    chart: Drawing = drawn.properties(
        width=theme.WIDTH,
        height=alt.Step(34),
        title=headed(titles_capacity.sensitivity(variations), _moves(table)),
    )
    return chart


def _steps(option: Option, top: float) -> pd.DataFrame:
    """The fleet up to each load at which it grows."""
    each = option.sized_on / (1 + option.redundancy.headroom)
    count = max(1, math.ceil(top / each))
    by = math.ceil(count / _MOST_STEPS)
    carrying = [1, *range(by, count + by, by)] if by > 1 else list(range(1, count + 1))
    rows: list[dict[str, Any]] = [
        {"load": min(number * each, top), "servers": option.redundancy.servers_for(number)}
        for number in carrying
    ]
    first = {"load": 0.0, "servers": rows[0]["servers"]}
    return pd.DataFrame([first, *rows]).assign(basis=option.basis)


def _mark(option: Option) -> str:
    return f"{capacity_rows.servers(option)} {option.basis}"


def _labels(marks: pd.DataFrame) -> list[alt.Chart]:
    """The more servers above to the left, the fewer below to the right, so that they do not meet."""
    ordered = marks.sort_values("servers", ascending=False)
    upper = alt.Chart(ordered.head(1)).mark_text(align="right", dx=-9, dy=-9, fontSize=12)
    lower = alt.Chart(ordered.iloc[1:]).mark_text(align="left", dx=9, dy=12, fontSize=12)
    return [part.encode(x="load:Q", y="servers:Q", text="text:N") for part in (upper, lower)]


def _told(found: Capacity) -> list[str]:
    options = found.answer.options
    carries = ", ".join(f"{amount(option.sized_on)} requests/s {option.basis}" for option in options)
    redundancy = options[0].redundancy
    safety = [f"headroom {100 * redundancy.headroom:.0f} %"] if redundancy.headroom else []
    safety += [f"{redundancy.spare} spare"] if redundancy.spare else []
    safety += [f"{redundancy.zones} zones, one of which may be lost"] if redundancy.zones > 1 else []
    first = f"one server carries {carries}" + (f"; with {', '.join(safety)}" if safety else "")
    return [first]


def _factor(factor: float) -> str:
    if factor == 1:
        return "as asked"
    return f"x {factor:g}" + (" (stricter)" if factor < 1 else "")


def _moves(table: pd.DataFrame) -> list[str]:
    """What the map was counted by."""
    doubt = "; ?: too little was seen to rely on it" if table["text"].str.endswith("?").any() else ""
    how = f"as estimated, or as measured where nothing can be estimated{doubt}"
    return ["outlined: the question as asked", how]


def _shown(each: Variation) -> str:
    if each.servers is None:
        return "none"
    return f"{each.servers:,}" + ("?" if each.doubtful else "")
