"""Charts of how values are distributed: time to first token, latency, gaps, the client's own lag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd

from benchkit.analysis.binomial import needed_for
from benchkit.report import frames, frames_time, theme, titles_run
from benchkit.report.amounts import amount
from benchkit.report.distribution import MARKED, Series
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.frames import Floats, RunLike
from benchkit.report.precision import between, measured
from benchkit.report.titles import headed

_DECADES: Final = [0.001, 0.01, 0.1, 1, 10, 100, 1000, 10000]
_LEAST_MS: Final = 0.001
_DASHES: Final = ([1, 0], [7, 3], [2, 2])


def ttft(run: RunLike) -> Drawing:
    """How long do people wait for the first token? Its distribution over requests, in milliseconds.

    Counted from the moment the request was sent and, where that differs, also from the moment it was due.
    """
    requests = frames.measured(run)
    series = _with_schedule(run, requests, sent="ttft_ms", due="ttft_from_schedule_ms")
    axis = "time to first token (ms)"
    if not len(series[0].sample):
        return nothing("No request had a first token", f"{len(requests):,} requests were due in the window.")
    return _distribution(
        series, title=titles_run.first_token(series[0], len(requests), *series[1:]), axis=axis
    )


def latency(run: RunLike) -> Drawing:
    """How long until the whole answer is there? Its distribution over requests, in milliseconds."""
    requests = frames.measured(run)
    series = _with_schedule(run, requests, sent="latency_ms", due="latency_from_schedule_ms")
    if not len(series[0].sample):
        return nothing("No answer was whole", f"{len(requests):,} requests were due in the window.")
    return _distribution(
        series, title=titles_run.whole_answer(series[0], len(requests), *series[1:]), axis="latency (ms)"
    )


def gaps(run: RunLike) -> Drawing:
    """How evenly does the answer flow? Gaps between chunks and each request's longest pause, in ms."""
    longest = frames.values(frames.measured(run), "max_gap_ms")
    every = Series("every gap between chunks", frames.gaps_ms(run), "gap", _entry(run, "chunk_gap_ms"))
    pauses = Series("longest pause of each request", longest, "request", _entry(run, "max_gap_ms"))
    if not len(every.sample) and not len(longest):
        return nothing("No answer came in more than one chunk", "0 gaps between chunks.")
    return _distribution(
        [every, pauses], title=titles_run.flow(every, pauses), axis="gap between chunks (ms)"
    )


def client(run: RunLike) -> Drawing:
    """How far can the client be trusted? What it added itself: late sends and late pick-up, in milliseconds.

    The upper part is how they are distributed, the lower part the worst of each stretch of time, which shows
    whether it was one hiccup or a habit.
    """
    requests = frames.measured(run)
    late = Series("sent after it was due (lateness)", frames.values(requests, "lateness_ms"), "request")
    lag = Series(
        "picked up after it arrived (worst lag of a request)",
        frames.values(requests, "pickup_lag_ms"),
        "request",
    )
    if not len(late.sample) and not len(lag.sample):
        return nothing(
            "How late the client was is not known", f"{len(requests):,} requests, none with its delay."
        )
    note = "A delay that is small against the times above cannot have changed them much."
    known = [one for one in (late, lag) if len(one.sample)]
    spread, subtitle = _plot(known, "the client's own delay (ms)")
    worst = _worst_over_time(run, requests, {late.name: "lateness_ms", lag.name: "pickup_lag_ms"})
    return alt.vconcat(spread, worst, title=headed(titles_run.trust(late, lag), [*subtitle, note]))


def _with_schedule(run: RunLike, requests: pd.DataFrame, *, sent: str, due: str) -> list[Series]:
    """A metric from the moment of sending and, where the schedule was not kept, also from when it was due."""
    series = [
        Series("from the moment it was sent", frames.values(requests, sent), "request", _entry(run, sent))
    ]
    scheduled = frames.values(requests, due)
    if len(scheduled) and len(series[0].sample) and _differ(series[0].sample, scheduled):
        series.append(Series("from the moment it was due", scheduled, "request", _entry(run, due)))
    return series


def _entry(run: RunLike, metric: str) -> Mapping[str, Any]:
    """What the summary says of a metric over the whole window."""
    entry: Mapping[str, Any] = frames.stored(run).summary["windows"]["whole"]["metrics"].get(metric) or {}
    return entry


def _differ(one: Floats, other: Floats) -> bool:
    """Whether two samples are apart by more than a line's width at any marked percentile."""
    marked = list(MARKED.values())
    a, b = np.quantile(one, marked), np.quantile(other, marked)
    return bool(np.any(np.abs(a - b) > 0.01 * np.maximum(a, 1e-3)))


def _distribution(series: Sequence[Series], *, title: str, axis: str) -> Drawing:
    chart, subtitle = _plot([one for one in series if len(one.sample)], axis)
    return chart.properties(title=headed(title, subtitle))


def _plot(known: Sequence[Series], axis: str) -> tuple[alt.LayerChart | alt.FacetChart, list[str]]:
    """The curves of samples that are not empty, and the lines below their title."""
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
    subtitle = [*(_sentence(one, with_name=len(known) > 1) for one in known), *meaning]
    layers = [line, spans, dots] if banded else [line, dots]
    return alt.layer(*layers).properties(width=theme.WIDTH, height=230), subtitle


def _sentence(one: Series, *, with_name: bool) -> str:
    """The sample in words: what, how many, and the percentiles that it resolves, each with its interval."""
    n = len(one.sample)
    told = []
    for name in MARKED:
        if one.resolves(name):
            limits, value = one.limits(name), one.at(name)
            sure = f" ({between(*limits)})" if limits else ""
            told.append(f"{name} {measured(value, limits) if limits else amount(value)}{sure}")
    missing = [name for name in MARKED if not one.resolves(name)][:1]
    head = f"{one.name}: " if with_name else ""
    many = f"{n:,} {one.noun}{'' if n == 1 else 's'}"
    judged = "notes" in one.entry
    open_ones = [
        f"{name} not resolved" if judged else f"{name} needs {needed_for(MARKED[name]):,}" for name in missing
    ]
    return head + " · ".join([many, *told, f"max {amount(one.sample[-1])} ms", *open_ones])


def _percentiles(one: Series) -> pd.DataFrame:
    rows = []
    for name, share in MARKED.items():
        if one.resolves(name):
            low, high = one.limits(name) or (None, None)
            told = "" if low is None or high is None else f"{between(low, high)} ms"
            rows.append((one.at(name), share, one.name, name, low, high, told))
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


def _is_wide(series: Sequence[Series]) -> bool:
    """Whether the values span so much that a linear axis would hide most of them."""
    low = min(float(np.quantile(one.sample, 0.05)) for one in series)
    high = max(float(one.sample[-1]) for one in series)
    return high > 30 * max(low, _LEAST_MS)


def _floor(series: Sequence[Series]) -> float:
    """The least value that a logarithmic axis shows; what is below is drawn on it."""
    positive = [float(one.sample[one.sample > 0][0]) for one in series if (one.sample > 0).any()]
    return max(min(positive, default=_LEAST_MS), _LEAST_MS)


def _value_axis(logarithmic: bool) -> alt.Axis:
    return alt.Axis(format=",.6~f", tickCount=6 if logarithmic else 8, labelOverlap=True)
