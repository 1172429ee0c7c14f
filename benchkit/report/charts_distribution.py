"""Charts of how values are distributed: time to first token, latency, gaps, the client's own lag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd

from benchkit.analysis.binomial import needed_for
from benchkit.report import frames, frames_time, theme
from benchkit.report.amounts import amount
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.frames import Floats, RunLike
from benchkit.report.precision import between, limits_of, measured

_MARKED: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_DECADES: Final = [0.001, 0.01, 0.1, 1, 10, 100, 1000, 10000]
_LEAST_MS: Final = 0.001
_DASHES: Final = ([1, 0], [7, 3], [2, 2])


@dataclass(frozen=True, slots=True)
class _Series:
    """A sorted sample, its name, what one value of it is, and what the summary says of it."""

    name: str
    sample: Floats
    noun: str
    entry: Mapping[str, Any]

    def resolves(self, statistic: str) -> bool:
        """Whether a percentile may be marked: it has an interval, or nothing is known against it."""
        if limits_of(self.entry, statistic) is not None:
            return True
        return "notes" not in self.entry and len(self.sample) >= needed_for(_MARKED[statistic])


def ttft(run: RunLike) -> Drawing:
    """How long do people wait for the first token? Its distribution over requests, in milliseconds.

    Counted from the moment the request was sent and, where that differs, also from the moment it was due.
    """
    return _with_schedule(
        run,
        sent="ttft_ms",
        due="ttft_from_schedule_ms",
        title="How long until the first token?",
        axis="time to first token (ms)",
    )


def latency(run: RunLike) -> Drawing:
    """How long until the whole answer is there? Its distribution over requests, in milliseconds."""
    return _with_schedule(
        run,
        sent="latency_ms",
        due="latency_from_schedule_ms",
        title="How long until the whole answer?",
        axis="latency (ms)",
    )


def gaps(run: RunLike) -> Drawing:
    """How evenly does the answer flow? Gaps between chunks and each request's longest pause, in ms."""
    pauses = frames.values(frames.measured(run), "max_gap_ms")
    return _distribution(
        [
            _Series("every gap between chunks", frames.gaps_ms(run), "gap", _entry(run, "chunk_gap_ms")),
            _Series("longest pause of each request", pauses, "request", _entry(run, "max_gap_ms")),
        ],
        title="How evenly does the answer flow?",
        axis="gap between chunks (ms)",
    )


def client(run: RunLike) -> Drawing:
    """How far can the client be trusted? What it added itself: late sends and late pick-up, in milliseconds.

    The upper part is how they are distributed, the lower part the worst of each stretch of time, which shows
    whether it was one hiccup or a habit.
    """
    requests = frames.measured(run)
    late, lag = "sent after it was due (lateness)", "picked up after it arrived (worst lag of a request)"
    spread = _distribution(
        [
            _Series(late, frames.values(requests, "lateness_ms"), "request", {}),
            _Series(lag, frames.values(requests, "pickup_lag_ms"), "request", {}),
        ],
        title="How far can the client be trusted?",
        axis="the client's own delay (ms)",
        note="A delay that is small against the times above cannot have changed them much.",
    )
    return alt.vconcat(spread, _worst_over_time(run, requests, {late: "lateness_ms", lag: "pickup_lag_ms"}))


def _with_schedule(run: RunLike, *, sent: str, due: str, title: str, axis: str) -> Drawing:
    requests = frames.measured(run)
    values = frames.values(requests, sent)
    series = [_Series("from the moment it was sent", values, "request", _entry(run, sent))]
    scheduled = frames.values(requests, due)
    if len(scheduled) and len(series[0].sample) and _differ(series[0].sample, scheduled):
        series.append(_Series("from the moment it was due", scheduled, "request", _entry(run, due)))
    return _distribution(series, title=title, axis=axis)


def _entry(run: RunLike, metric: str) -> Mapping[str, Any]:
    """What the summary says of a metric over the whole window."""
    entry: Mapping[str, Any] = frames.stored(run).summary["windows"]["whole"]["metrics"].get(metric) or {}
    return entry


def _differ(one: Floats, other: Floats) -> bool:
    """Whether two samples are apart by more than a line's width at any marked percentile."""
    marked = list(_MARKED.values())
    a, b = np.quantile(one, marked), np.quantile(other, marked)
    return bool(np.any(np.abs(a - b) > 0.01 * np.maximum(a, 1e-3)))


def _distribution(series: list[_Series], *, title: str, axis: str, note: str = "") -> Drawing:
    known = [one for one in series if len(one.sample)]
    if not known:
        return nothing(title, "No request gave a value.")
    logarithmic = _is_wide(known)
    points = pd.concat(frames.ecdf(one.sample, one.name) for one in known)
    marks = pd.concat(_percentiles(one) for one in known)
    if logarithmic:
        floor = _floor(known)
        points["value"] = points["value"].clip(lower=floor)
        marks[["value", "low", "high"]] = marks[["value", "low", "high"]].clip(lower=floor)
    scale = alt.Scale(type="log", nice=False) if logarithmic else alt.Scale(zero=False, nice=True)
    names = [one.name for one in known]
    told_axis = axis + (", logarithmic" if logarithmic else "")
    x = alt.X("value:Q", title=told_axis, scale=scale, axis=_value_axis(logarithmic))
    y = alt.Y(
        "share:Q",
        title="share at or below",
        axis=alt.Axis(format="%", tickCount=5),
        scale=alt.Scale(domain=[0, 1]),
    )
    legend = alt.Legend(symbolType="stroke") if len(known) > 1 else None
    color = alt.Color("series:N", scale=alt.Scale(domain=names), legend=legend)
    dashes = alt.Scale(domain=names, range=list(_DASHES[: len(names)]))
    dash = alt.StrokeDash("series:N", scale=dashes, legend=legend)
    tooltip = [
        alt.Tooltip("series:N", title="what"),
        alt.Tooltip("value:Q", title="ms", format=",.3~f"),
        alt.Tooltip("share:Q", title="share at or below", format=".2%"),
    ]
    line = (
        alt.Chart(points)
        .mark_line(interpolate="step-after", point={"opacity": 0, "size": 40})
        .encode(x=x, y=y, color=color, strokeDash=dash, tooltip=tooltip)
    )
    dots = (
        alt.Chart(marks)
        .mark_point(filled=True, opacity=1, size=55)
        .encode(
            x="value:Q",
            y="share:Q",
            color=color,
            tooltip=[alt.Tooltip("label:N", title="percentile"), *tooltip[:2]],
        )
    )
    spans = (
        alt.Chart(marks.dropna(subset=["low"]))
        .mark_rule(strokeWidth=5, strokeDash=[1, 0], strokeCap="round", opacity=0.35)
        .encode(x="low:Q", x2="high:Q", y="share:Q", color=color, tooltip=["label:N", "limits:N"])
    )
    banded = bool(marks["low"].notna().any())
    meaning = ["thick: 95 % interval of a percentile; one without a dot is not resolved"] if banded else []
    subtitle = [
        *(_sentence(one, with_name=len(known) > 1) for one in known),
        *meaning,
        *([note] if note else []),
    ]
    layers = [line, spans, dots] if banded else [line, dots]
    return alt.layer(*layers).properties(
        width=theme.WIDTH, height=230, title=alt.Title(title, subtitle=subtitle)
    )


def _sentence(one: _Series, *, with_name: bool) -> str:
    """The sample in words: what, how many, and the percentiles that it resolves, each with its interval."""
    n = len(one.sample)
    told = []
    for name, share in _MARKED.items():
        if one.resolves(name):
            limits = limits_of(one.entry, name)
            value = float(np.quantile(one.sample, share))
            sure = f" ({between(*limits)})" if limits else ""
            told.append(f"{name} {measured(value, limits) if limits else amount(value)}{sure}")
    missing = [name for name in _MARKED if not one.resolves(name)][:1]
    head = f"{one.name}: " if with_name else ""
    many = f"{n:,} {one.noun}{'' if n == 1 else 's'}"
    judged = "notes" in one.entry
    open_ones = [
        f"{name} not resolved" if judged else f"{name} needs {needed_for(_MARKED[name]):,}"
        for name in missing
    ]
    return head + " · ".join([many, *told, f"max {amount(one.sample[-1])} ms", *open_ones])


def _percentiles(one: _Series) -> pd.DataFrame:
    rows = []
    for name, share in _MARKED.items():
        if one.resolves(name):
            low, high = limits_of(one.entry, name) or (None, None)
            told = "" if low is None or high is None else f"{between(low, high)} ms"
            value = float(np.quantile(one.sample, share))
            rows.append((value, share, one.name, name, low, high, told))
    columns = ["value", "share", "series", "label", "low", "high", "limits"]
    return pd.DataFrame(rows, columns=columns).astype({"low": float, "high": float})


def _worst_over_time(run: RunLike, requests: pd.DataFrame, columns: dict[str, str]) -> Drawing:
    grid = frames_time.bins(run)
    at = frames.column(requests, "sent_ns")
    parts = []
    for name, column in columns.items():
        worst = np.maximum(grid.largest(at, frames.column(requests, column)), _LEAST_MS)
        parts.append(pd.DataFrame({"start_s": grid.start_s, "worst": worst, "series": name}))
    table = pd.concat(parts).dropna()
    names = list(columns)
    chart: Drawing = (
        alt.Chart(table)
        .mark_point(filled=True, size=28, opacity=0.9)
        .encode(
            x=alt.X("start_s:Q", title="seconds since the window began", axis=alt.Axis(grid=False)),
            y=alt.Y(
                "worst:Q",
                title=f"worst in {grid.length_s:g} s (ms)",
                scale=alt.Scale(type="log", nice=True),
                axis=alt.Axis(values=_DECADES, format=",.6~f"),
            ),
            color=alt.Color("series:N", scale=alt.Scale(domain=names)),
            shape=alt.Shape("series:N", scale=alt.Scale(domain=names, range=["circle", "triangle-up"])),
            tooltip=[
                alt.Tooltip("series:N", title="what"),
                alt.Tooltip("start_s:Q", title="second", format=".2f"),
                alt.Tooltip("worst:Q", title="worst (ms)", format=",.3~f"),
            ],
        )
        .properties(width=theme.WIDTH, height=110)
    )
    return chart


def _is_wide(series: list[_Series]) -> bool:
    """Whether the values span so much that a linear axis would hide most of them."""
    low = min(float(np.quantile(one.sample, 0.05)) for one in series)
    high = max(float(one.sample[-1]) for one in series)
    return high > 30 * max(low, _LEAST_MS)


def _floor(series: list[_Series]) -> float:
    """The least value that a logarithmic axis shows; what is below is drawn on it."""
    positive = [float(one.sample[one.sample > 0][0]) for one in series if (one.sample > 0).any()]
    return max(min(positive, default=_LEAST_MS), _LEAST_MS)


def _value_axis(logarithmic: bool) -> alt.Axis:
    return alt.Axis(format=",.6~f", tickCount=6 if logarithmic else 8, labelOverlap=True)
