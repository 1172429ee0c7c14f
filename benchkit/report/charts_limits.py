"""Charts of a capacity analysis for engineers: where a server misses its objectives, and what limits it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import altair as alt
import pandas as pd

from benchkit.analysis.boundary import Boundary
from benchkit.analysis.capacity import CapacityAnswer
from benchkit.analysis.limits_of_load import Wall
from benchkit.objectives import Single
from benchkit.report import capacity_rows, theme, titles_capacity
from benchkit.report.amounts import amount
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.titles import headed

if TYPE_CHECKING:
    from benchkit.report.capacity_report import Capacity

_WIDE: Final = 20.0
_FAR: Final = 8.0
"""Times the lowest limit: limits beyond are not drawn to scale."""
_MOST_OBJECTIVES: Final = 4
_STATES: Final = ["meets", "misses", "saturated, or full throughput"]
_OTHERS: Final = "#5b8ec4"
"""Legible on white and on black."""
_X: Final = "requests answered per second"


def boundary(found: Capacity) -> Drawing:
    """Where does one server miss its objective? Each load's value, the bound, the boundary and its interval."""
    answer = found.answer
    objectives = answer.carried.objectives[:_MOST_OBJECTIVES]
    parts = [
        part for at, each in enumerate(objectives) if (part := _of_objective(answer, at, each)) is not None
    ]
    if not parts:
        return nothing(
            "Where one server misses its objective is not known",
            "No load has a value of what the objectives bound.",
        )
    more = len(answer.carried.objectives) - len(objectives)
    left = [f"{more} more objectives are in the table"] if more else []
    unresolved = capacity_rows.has_unresolved(answer)
    hollow = ["hollow: too few requests to resolve the value"] if unresolved else []
    subtitle = [_found(answer), "; ".join(["line: the bound; shaded: 95 % of the boundary", *hollow, *left])]
    chart: Drawing = alt.vconcat(
        *parts, title=headed(titles_capacity.boundary(answer, answer.carried.objectives), subtitle)
    ).resolve_scale(x="shared", color="shared")
    return chart


def limits(found: Capacity) -> Drawing:
    """What sets the limit of one server? Saturation, objective and memory as loads, with their intervals."""
    walls = [wall for wall in found.answer.carried.walls if wall.rate is not None]
    if not walls:
        return nothing("What sets the limit of one server is not known", "The sources tell of no limit.")
    lowest = found.answer.carried.limit
    table = pd.DataFrame([_row(wall, lowest) for wall in walls])
    order = list(table["name"])
    # What lies far beyond would push all else against the axis: it stands at the edge, with its number.
    edge = _FAR * float(table["rate"].min())
    far = table["rate"] > edge
    table.loc[far, "text"] += " ▸"
    table.loc[far, ["low", "high"]] = float("nan")
    table["at"] = table["rate"].clip(upper=edge)
    top = 1.15 * max(table["at"].max(), table["high"].max() if table["high"].notna().any() else 0.0)
    x = alt.X("at:Q", title="requests per second of one server", scale=alt.Scale(domain=[0, top], nice=False))
    y = alt.Y("name:N", title=None, sort=order, axis=alt.Axis(labelFontSize=12, labelLimit=200))
    color = alt.Color("colour:N", scale=None)
    stems = (
        alt.Chart(table)
        .mark_rule(strokeWidth=3, strokeDash=[1, 0], opacity=0.5)
        .encode(x=x, x2=alt.datum(0), y=y, color=color)
    )
    points = (
        alt.Chart(table)
        .mark_point(size=130, strokeWidth=2.5, opacity=1)
        .encode(
            x=x,
            y=y,
            color=color,
            fill=alt.Fill("fill:N", scale=None),
            tooltip=["name:N", alt.Tooltip("rate:Q", format=",.4~g"), "evidence:N"],
        )
    )
    texts = (
        alt.Chart(table).mark_text(align="left", dx=12, dy=-10, fontSize=12).encode(x=x, y=y, text="text:N")
    )
    layers = [stems, points, texts]
    spans = table.dropna(subset=["low", "high"])
    if len(spans):
        layers.append(
            alt.Chart(spans)
            .mark_rule(strokeWidth=7, strokeDash=[1, 0], opacity=0.45)
            .encode(x="low:Q", x2="high:Q", y=y, color=color)
        )
    notes = (
        "thick: 95 % interval, or the loads between which it lies; hollow: not reached by any measured load"
    )
    chart: Drawing = alt.layer(*layers).properties(
        width=theme.WIDTH,
        height=alt.Step(58),
        title=headed(titles_capacity.limits(found.answer), [notes]),
    )
    return chart


def _of_objective(answer: CapacityAnswer, at: int, objective: Single) -> Drawing | None:
    rows = [
        {
            "at": level.requests_per_s,
            "value": judged.value,
            "state": _STATES[2] if not level.is_steady else _STATES[0 if judged.holds else 1],
            "resolved": judged.resolved,
            "load": level.label,
            "requests": level.requests,
        }
        for level in answer.carried.levels
        if (judged := level.judged[at]).value is not None
    ]
    if not rows:
        return None
    table = pd.DataFrame(rows)
    unit = answer.carried.levels[0].judged[at].unit
    share = unit == "share"
    if share:
        table["value"] *= 100
    bound = 100 * objective.bound if share else objective.bound
    values = [*table["value"], bound]
    wide = min(values) > 0 and max(values) > _WIDE * min(values)
    scale = alt.Scale(type="log", nice=True) if wide else alt.Scale(zero=False, nice=True, padding=8)
    x = alt.X("at:Q", title=_X, scale=alt.Scale(zero=True, nice=True))
    title = f"{_named(objective.text)} ({'%' if share else unit}{', logarithmic' if wide else ''})"
    y = alt.Y("value:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5, grid=not wide))
    points = (
        alt.Chart(table)
        .mark_point(size=75, strokeWidth=2, opacity=1)
        .encode(
            x=x,
            y=y,
            color=alt.Color("state:N", scale=_scale(), legend=alt.Legend()),
            fill=alt.condition(
                "datum.resolved", alt.Fill("state:N", scale=_scale(), legend=None), alt.value("transparent")
            ),
            shape=alt.Shape(
                "state:N",
                scale=alt.Scale(domain=_STATES, range=["circle", "diamond", "triangle-up"]),
                legend=None,
            ),
            tooltip=[
                "load:N",
                alt.Tooltip("at:Q", title="answered/s", format=",.4~g"),
                alt.Tooltip("value:Q", format=",.4~g"),
                "requests:Q",
            ],
        )
    )
    steady = table[table["state"] != _STATES[2]]
    line = alt.Chart(steady).mark_line(strokeWidth=1, opacity=0.6, color=theme.QUIET).encode(x=x, y=y)
    rule = alt.Chart(pd.DataFrame({"value": [bound]})).mark_rule(strokeDash=[5, 3]).encode(y=y)
    shown = capacity_rows.with_unit(objective.bound, unit)
    label = (
        alt.Chart(pd.DataFrame({"value": [bound], "text": [f"{objective.op} {shown}"]}))
        .mark_text(align="left", dx=4, dy=-8, fontSize=12)
        .encode(x=alt.value(0), y=y, text="text:N")
    )
    edges = _edges(_boundary_of(answer, objective))
    chart: Drawing = alt.layer(*edges, line, rule, label, points).properties(width=theme.WIDTH, height=210)
    return chart


def _scale() -> alt.Scale:
    meets, misses, apart = _STATES
    return alt.Scale(domain=[misses, meets, apart], range=theme.JUDGED)


def _named(text: str) -> str:
    """What an objective bounds, without the bound."""
    return re.split("[<>]", text, maxsplit=1)[0].strip()


def _boundary_of(answer: CapacityAnswer, objective: Single) -> Boundary | None:
    return next((each for each in answer.carried.boundaries if each.objective == objective.text), None)


def _edges(found: Boundary | None) -> list[alt.Chart]:
    """The boundary as a line from bottom to top, and its interval as a band."""
    if found is None:
        return []
    table = pd.DataFrame(
        {"at": [found.rate], "low": [found.low], "high": [found.high], "text": [f"{found.rate:.3g}"]}
    )
    band = alt.Chart(table).mark_rect(opacity=0.18, style=theme.ACCENT).encode(x="low:Q", x2="high:Q")
    edge = alt.Chart(table).mark_rule(strokeDash=[1, 0], strokeWidth=1.5, style=theme.ACCENT).encode(x="at:Q")
    text = (
        alt.Chart(table)
        .mark_text(align="right", dx=-5, fontSize=12)
        .encode(x="at:Q", y=alt.value(10), text="text:N")
    )
    return [edge, text] if found.low is None else [band, edge, text]


def _found(answer: CapacityAnswer) -> str:
    estimate, best = answer.carried.estimated, answer.carried.measured
    if best is None:
        return "no measured load meets the objectives"
    told = f"the highest load that meets them: {amount(best.requests_per_s)} requests/s"
    if estimate is None:
        return f"{told}; no boundary can be estimated"
    between = "" if estimate.low is None else f" ({capacity_rows.interval(estimate.low, estimate.high)})"
    none = ", without an interval" if estimate.low is None else ""
    extrapolated = ", extrapolated" if estimate.extrapolated else ""
    return f"{told}; estimated boundary: {amount(estimate.rate)}{between}{none}{extrapolated}"


def _row(wall: Wall, lowest: Wall | None) -> dict[str, object]:
    spread = ""
    if wall.low is not None and wall.high is not None:
        spread = f" ({capacity_rows.interval(wall.low, wall.high)})"
    not_reached = "at most " if wall.kind == "memory" else "beyond "
    colour = theme.MARK if wall is lowest else _OTHERS
    return {
        "name": wall.kind,
        "rate": wall.rate,
        "low": wall.low,
        "high": wall.high,
        "colour": colour,
        "fill": colour if wall.reached else "transparent",
        "evidence": wall.evidence,
        "text": ("" if wall.reached else not_reached) + amount(wall.rate) + spread,
    }
