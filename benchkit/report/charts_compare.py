"""Charts of a comparison: how much each number differs, and where in the distribution the difference lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.analysis.compared_run import ComparedRun
from benchkit.analysis.comparison import LoadCompared, NumberCompared, starts_of
from benchkit.analysis.difference import CLIENT_FLOOR, difference
from benchkit.analysis.run_samples import GRID
from benchkit.report import theme
from benchkit.report.drawing import Drawing, nothing

if TYPE_CHECKING:
    from benchkit.report.compare import Comparison

Floats = NDArray[np.float64]

METRICS: Final = {
    "ttft_ms": "time to first token",
    "itl_ms": "time between tokens",
    "latency_ms": "whole answer",
}
"""The metrics that are drawn as distributions, and what they are called."""
_WORSE, _BETTER, _SAME, _OPEN = "worse", "better", "no difference that matters", "cannot tell"
_COLOURS: Final = {_WORSE: theme.MARK, _BETTER: "#2e7d5b", _SAME: "#1b4f8a", _OPEN: theme.FAINT}
_SHAPES: Final = {_WORSE: "square", _BETTER: "triangle-up", _SAME: "circle", _OPEN: "diamond"}
_ROWS: Final = 4_500
"""Altair takes 5,000 rows."""
_SHIFT_AT: Final = np.array([0.01, 0.05, *np.arange(0.1, 0.9, 0.05), 0.9, 0.925, 0.95, 0.975, 0.99])


def differences(found: Comparison, load: int = 0) -> Drawing:
    """How much does each number differ? Its change in percent with the interval, beside what would matter.

    Args:
        found: the comparison.
        load: which of its loads, from 0.
    """
    base, new = found.names
    title = f"How much does {new} differ from {base}?"
    shown = found.loads[load]
    rows = [row for each in shown.numbers if (row := _row(each, found.parameters.change)) is not None]
    if not rows:
        return nothing(title, "No number has a value in every run of both sides.")
    table = pd.DataFrame(rows)
    limits = _span(table, found.parameters.change)
    table["shown_low"], table["shown_high"] = (
        table[name].clip(limits[0], limits[1]) for name in ("low", "high")
    )
    table["shown"] = table["change"].clip(limits[0], limits[1])
    names = [kind for kind in _COLOURS if (table["kind"] == kind).any()]
    y = alt.Y("number:N", title=None, sort=None, axis=alt.Axis(labelLimit=200, grid=False))
    x = alt.X("shown:Q", title="change (%)", scale=alt.Scale(domain=list(limits), nice=False))
    # A dash of the theme's rules would run round the legend's symbols.
    legend = alt.Legend(symbolStrokeWidth=0)
    color = alt.Color(
        "kind:N", scale=alt.Scale(domain=names, range=[_COLOURS[kind] for kind in names]), legend=legend
    )
    shape = alt.Shape(
        "kind:N", scale=alt.Scale(domain=names, range=[_SHAPES[kind] for kind in names]), legend=legend
    )
    tooltip = [
        alt.Tooltip("number:N", title="number"),
        alt.Tooltip("told:N", title="change"),
        alt.Tooltip("words:N", title="in words"),
    ]
    matters = 100 * found.parameters.change
    area = pd.DataFrame({"low": [max(-matters, limits[0])], "high": [min(matters, limits[1])]})
    layers = [
        alt.Chart(area).mark_rect(color=theme.FAINT, opacity=0.16).encode(x="low:Q", x2="high:Q"),
        alt.Chart(pd.DataFrame({"at": [0.0]})).mark_rule(strokeDash=[1, 0]).encode(x="at:Q"),
        alt.Chart(table.dropna(subset=["low"]))
        .mark_rule(strokeWidth=3, strokeDash=[1, 0])
        .encode(x=alt.X("shown_low:Q"), x2="shown_high:Q", y=y, color=color, tooltip=tooltip),
        alt.Chart(table)
        .mark_point(filled=True, size=80, opacity=1)
        .encode(x=x, y=y, color=color, shape=shape, tooltip=tooltip),
    ]
    gates = pd.DataFrame(_gates(found, shown, limits), columns=["number", "at", "told"])
    if len(gates):
        layers.append(
            alt.Chart(gates)
            .mark_tick(color=theme.MARK, thickness=2, size=20)
            .encode(x="at:Q", y=y, tooltip=[alt.Tooltip("told:N", title="gate")])
        )
    subtitle = [
        f"{_of(shown)}; {_runs(shown)}",
        f"lines: {_level(shown)} intervals; grey: changes below {matters:g} %, which do not matter"
        + ("; red ticks: gates" if len(gates) else ""),
    ]
    if (table["low"] < limits[0]).any() or (table["high"] > limits[1]).any():
        subtitle.append("intervals that reach the frame go on beyond it")
    if table["low"].isna().all():
        subtitle.append("without a line: a single run a side has no interval of its difference")
    drawn: Drawing = alt.layer(*layers).properties(
        width=theme.WIDTH - 100, height=max(26 * len(table), 60), title=alt.Title(title, subtitle=subtitle)
    )
    return drawn


def distributions(found: Comparison, metric: str = "ttft_ms", load: int = 0) -> Drawing:
    """How are the values distributed on both sides? A thin line a run, so that their own scatter shows.

    Args:
        found: the comparison.
        metric: by summary.json's name.
        load: which of its loads, from 0.
    """
    word = METRICS.get(metric, metric)
    title = f"How is the {word} distributed on both sides?"
    shown = found.loads[load]
    sides = dict(zip(found.names, (shown.base, shown.new), strict=True))
    known = {name: _quantiles(runs, metric) for name, runs in sides.items()}
    if not all(known.values()):
        return nothing(title, "The sources of a side do not have this, request by request.")
    count = sum(map(len, known.values()))
    places = np.unique(np.rint(np.linspace(0, len(GRID) - 1, min(len(GRID), _ROWS // count))).astype(int))
    parts = [
        pd.DataFrame({"value": run[places], "share": GRID[places], "side": name, "run": told})
        for name, runs in known.items()
        for told, run in runs.items()
    ]
    table = pd.concat(parts)
    low, high = float(table["value"].min()), float(table["value"].max())
    wide = low > 0 and high > 30 * low
    names = list(sides)
    chart: Drawing = (
        alt.Chart(table)
        .mark_line(strokeWidth=1.4, opacity=0.75)
        .encode(
            x=alt.X(
                "value:Q",
                title=f"{word} (ms{', logarithmic' if wide else ''})",
                scale=alt.Scale(type="log", nice=False) if wide else alt.Scale(zero=False),
                axis=alt.Axis(format=",.6~f", tickCount=6 if wide else 8, labelOverlap=True),
            ),
            y=alt.Y("share:Q", title="share at or below", axis=alt.Axis(format="%", tickCount=5)),
            color=alt.Color("side:N", scale=alt.Scale(domain=names), legend=alt.Legend(symbolType="stroke")),
            strokeDash=alt.StrokeDash("side:N", scale=alt.Scale(domain=names, range=[[1, 0], [6, 3]])),
            detail="run:N",
            order="share:Q",
            tooltip=[
                alt.Tooltip("side:N", title="side"),
                alt.Tooltip("run:N", title="run"),
                alt.Tooltip("value:Q", title="ms", format=",.3~f"),
                alt.Tooltip("share:Q", title="share at or below", format=".1%"),
            ],
        )
        .properties(
            width=theme.WIDTH,
            height=220,
            title=alt.Title(title, subtitle=[f"{_of(shown)}; a line a run: {_runs(shown)}"]),
        )
    )
    return chart


def shift(found: Comparison, metric: str = "ttft_ms", load: int = 0) -> Drawing:
    """Where in the distribution does the difference lie? The change of each percentile in percent, with its band.

    Args:
        found: the comparison.
        metric: by summary.json's name.
        load: which of its loads, from 0.
    """
    word = METRICS.get(metric, metric)
    base, new = found.names
    title = f"Where does the {word} differ: for fast requests, or for slow ones?"
    if metric == "itl_ms":
        title = f"Where does the {word} differ: in short gaps, or in long ones?"
    shown = found.loads[load]
    ours, theirs = (_quantiles(side, metric) for side in (shown.base, shown.new))
    if len(ours) < len(shown.base) or len(theirs) < len(shown.new):
        return nothing(title, "The sources of a side do not have this, request by request.")
    table = _shifts([*ours.values()], [*theirs.values()], shown)
    if table.empty:
        return nothing(title, "Its values are not above zero, so that there are no ratios.")
    x = alt.X("percentile:Q", title="percentile", scale=alt.Scale(domain=[0, 100]))
    y = alt.Y("change:Q", title=f"{new} against {base} (%)", scale=alt.Scale(zero=False, nice=True))
    tooltip = [
        alt.Tooltip("percentile:Q", format=".3~f"),
        alt.Tooltip("change:Q", title="change (%)", format="+.2f"),
        alt.Tooltip("limits:N", title="interval"),
    ]
    layers = [alt.Chart(pd.DataFrame({"at": [0.0]})).mark_rule(strokeDash=[1, 0]).encode(y="at:Q")]
    banded = table.dropna(subset=["low"])
    if len(banded):
        layers.append(alt.Chart(banded).mark_area(opacity=0.25).encode(x=x, y="low:Q", y2="high:Q"))
    layers.append(alt.Chart(table).mark_line(point={"size": 28}).encode(x=x, y=y, tooltip=tooltip))
    meaning = (
        f"band: {_level(shown)} intervals, each percentile by itself, from the spread between runs"
        if len(banded)
        else "no band: a single run a side does not show how much runs differ from each other"
    )
    drawn: Drawing = alt.layer(*layers).properties(
        width=theme.WIDTH,
        height=200,
        title=alt.Title(title, subtitle=[f"{_of(shown)}; {_runs(shown)}", meaning]),
    )
    return drawn


def _row(compared: NumberCompared, matters: float) -> dict[str, object] | None:
    found = compared.difference
    if found.ratio is None:
        return None
    limits = found.interval()
    low, high = (None, None) if limits is None else (100 * (limit - 1) for limit in limits)
    change = 100 * (found.ratio - 1)
    told = f"{change:+.3g} %" if low is None else f"{change:+.3g} % ({low:+.3g} to {high:+.3g} %)"
    return {
        "number": compared.number.text,
        "change": change,
        "low": math.nan if low is None else low,
        "high": math.nan if high is None else high,
        "kind": _kind(compared, matters),
        "told": told,
        "words": compared.words(matters),
    }


def _kind(compared: NumberCompared, matters: float) -> str:
    found = compared.difference
    largest = found.largest()
    if compared.stands_out:
        return _WORSE if found.is_worse else _BETTER
    return _SAME if largest is not None and largest <= matters and not found.differs() else _OPEN


def _span(table: pd.DataFrame, matters: float) -> tuple[float, float]:
    """What the axis shows: all changes, and as much of the intervals as leaves these legible."""
    reach = max(200 * matters, 1.6 * float(table["change"].abs().max()))
    low = float(np.nanmin([table["low"].min(), table["change"].min(), -150 * matters]))
    high = float(np.nanmax([table["high"].max(), table["change"].max(), 150 * matters]))
    return max(low, -reach) * 1.03, min(high, reach) * 1.03


def _gates(
    found: Comparison, shown: LoadCompared, limits: tuple[float, float]
) -> list[tuple[str, float, str]]:
    told = []
    for judged in found.gates:
        gate = judged.gate
        at = 100 * gate.threshold * (1 if gate.direction == "rise" else -1)
        if judged.load == shown.label and limits[0] <= at <= limits[1]:
            told.append((gate.number.text, at, f"{gate.text}: {judged.outcome}"))
    return told


def _quantiles(runs: Sequence[ComparedRun], metric: str) -> dict[str, Floats]:
    """The quantiles of each run that has them, by its name."""
    found = {run.name: run.samples for run in runs}
    return {
        name: np.asarray(samples.quantiles[metric])
        for name, samples in found.items()
        if samples is not None and metric in samples.quantiles
    }


def _shifts(base: list[Floats], new: list[Floats], shown: LoadCompared) -> pd.DataFrame:
    rows = []
    starts = starts_of(shown.base, shown.new)
    for share in _SHIFT_AT:
        sides = [[float(np.interp(share, GRID, run)) for run in side] for side in (base, new)]
        found = difference(
            *sides, paired=shown.pairing.paired, starts=starts, floor=CLIENT_FLOOR, alpha=_alpha(shown)
        )
        if found.ratio is None:
            continue
        limits = found.interval()
        low, high = (math.nan, math.nan) if limits is None else (100 * (limit - 1) for limit in limits)
        told = "" if limits is None else f"{low:+.3g} to {high:+.3g} %"
        rows.append((100 * share, 100 * (found.ratio - 1), low, high, told))
    return pd.DataFrame(rows, columns=["percentile", "change", "low", "high", "limits"])


def _alpha(shown: LoadCompared) -> float:
    return shown.numbers[0].difference.alpha if shown.numbers else 0.05


def _level(shown: LoadCompared) -> str:
    return f"{100 * (1 - _alpha(shown)):.3g} %"


def _of(shown: LoadCompared) -> str:
    return shown.label or ("in pairs" if shown.pairing.paired else "not paired")


def _runs(shown: LoadCompared) -> str:
    ours, theirs = len(shown.base), len(shown.new)
    if shown.pairing.paired:
        return f"{ours} pair{'' if ours == 1 else 's'} of runs"
    return f"{ours} against {theirs} runs"
