"""Charts along a run's time: single requests, throughput, requests under way, and whether it slowed down."""

from __future__ import annotations

from typing import Final

import altair as alt
import numpy as np
import pandas as pd

from benchkit.analysis.steady_state import mser5
from benchkit.report import frames, frames_time, frames_timeline, theme, titles_time
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.frames import RunLike
from benchkit.report.titles import headed

_SECONDS: Final = "seconds since the window began"
_HOW_TO: Final = "Drag to move, Alt + wheel to zoom, double click to reset."


def timeline(run: RunLike, limit: int = 200) -> Drawing:
    """Where did requests spend their time? Those under way together lie side by side.

    At most `limit` are shown, consecutive ones from the middle of the window.
    """
    table = frames_timeline.timeline(run, limit)
    if not table.shown:
        return nothing("No request was sent", "0 requests were due.")
    pitch = min(22.0, max(3.0, 300 / table.lanes))
    thickness = 0.75 if pitch > 5 else 0.9
    click = alt.selection_point(fields=["stage"], bind="legend")
    y_scale = alt.Scale(domain=[0, table.lanes], reverse=True, nice=False)
    bars = (
        alt.Chart(table.stages.assign(lane_end=table.stages["lane"] + thickness))
        .mark_rect()
        .encode(
            x=time_axis("begin_s:Q"),
            x2="end_s:Q",
            y=alt.Y(
                "lane:Q", title="under way together", scale=y_scale, axis=alt.Axis(grid=False, labels=False)
            ),
            y2="lane_end:Q",
            color=alt.Color(
                "stage:N",
                scale=alt.Scale(domain=list(frames_timeline.STAGES), range=theme.STAGES),
                legend=alt.Legend(symbolType="square"),
            ),
            opacity=alt.condition(click, alt.value(1), alt.value(0.15)),
            tooltip=[
                alt.Tooltip("request:N"),
                alt.Tooltip("stage:N"),
                alt.Tooltip("took_ms:Q", title="took (ms)", format=",.1f"),
                alt.Tooltip("begin_s:Q", title="from (s)", format=".3f"),
                alt.Tooltip("outcome:N"),
                alt.Tooltip("output_tokens:Q", title="output tokens", format=",d"),
            ],
        )
        .add_params(click, _zoom())
    )
    layers = [bars]
    if len(table.ends):
        crosses = alt.Chart(table.ends.assign(middle=table.ends["lane"] + thickness / 2))
        layers.append(
            crosses.mark_point(shape="cross", angle=45, size=70, filled=True, opacity=1).encode(
                x="end_s:Q", y="middle:Q", color=alt.value(theme.MARK), tooltip=["outcome:N"]
            )
        )
    which = (
        f"all {table.total:,} requests"
        if table.shown == table.total
        else f"{table.shown} of {table.total:,} requests, consecutive ones from the middle of the window"
    )
    how = "A cross ends a request that did not end well. " if len(table.ends) else ""
    return alt.layer(*layers).properties(
        width=theme.WIDTH,
        height=round(pitch * table.lanes),
        title=headed(titles_time.stages(table), [which, how + _HOW_TO]),
    )


def throughput(run: RunLike) -> Drawing:
    """How much came out, and how much was under way? Output tokens a second above requests in flight."""
    tokens, flying = frames_time.tokens_per_s(run), frames_time.in_flight(run)
    grid = frames_time.bins(run)
    records, levels = frames.stored(run), _levels(flying, grid)
    whole = records.summary["windows"]["whole"]
    mean = float((whole["rates"].get("output_tokens_per_s") or {}).get("value") or 0.0)
    out = (
        alt.Chart(tokens)
        .mark_line(interpolate="step-after", opacity=1, point={"opacity": 0, "size": 40})
        .encode(
            x=time_axis("start_s:Q", title=None),
            y=alt.Y("tokens_per_s:Q", title="output tokens/s", scale=alt.Scale(zero=True)),
            tooltip=[
                alt.Tooltip("start_s:Q", title="second", format=".2f"),
                alt.Tooltip("tokens_per_s:Q", title="tokens/s", format=",.1f"),
            ],
        )
        .add_params(_zoom())
    )
    states = [frames_time.STREAMING, frames_time.WAITING]
    flying["layer"] = flying["state"].map({frames_time.STREAMING: 0, frames_time.WAITING: 1})
    under_way = (
        alt.Chart(flying)
        .mark_area(interpolate="step-after")
        .encode(
            x=time_axis("start_s:Q"),
            y=alt.Y("requests:Q", title="requests in flight", stack="zero"),
            color=alt.Color(
                "state:N", scale=alt.Scale(domain=states), legend=alt.Legend(symbolType="square")
            ),
            order=alt.Order("layer:Q"),
            tooltip=[
                alt.Tooltip("start_s:Q", title="second", format=".2f"),
                alt.Tooltip("state:N"),
                alt.Tooltip("requests:Q", format=",.2f"),
            ],
        )
    )
    steady = _steady_part(run)
    under_way_mean = (whole["metrics"].get("in_flight") or {}).get("mean")
    found = titles_time.output(
        whole["rates"],
        float(levels["requests"].mean() if under_way_mean is None else under_way_mean),
        titles_time.piled_up(records),
        levels,
    )
    subtitle = [
        f"{mean:,.0f} tokens/s over the window, by when they came in; drawn as means of {grid.length_s:g} s",
        "dashed: the measured window; before it the warm-up, after it the drain"
        + ("; grey: its steady part" if steady else ""),
    ]
    chart: Drawing = alt.vconcat(
        alt.layer(*steady, out, window_rules(run)).properties(width=theme.WIDTH, height=170),
        alt.layer(*steady, under_way, window_rules(run)).properties(width=theme.WIDTH, height=130),
        title=headed(found, subtitle),
    ).resolve_scale(x="shared")
    return chart


def slowing(run: RunLike) -> Drawing:
    """Did it get slower as the run went on? TTFT of requests, median and p95, by when they were due."""
    span, requests = frames.window(run), frames.measured(run)
    told = frames_time.over_time(span, requests, "ttft_ms")
    if not len(told.points):
        return nothing("No request had a first token", f"{len(requests):,} requests were due in the window.")
    names = ["median", "p95"]
    across = alt.Scale(domain=[0, span.length_s])
    y = alt.Y("value:Q", title="time to first token (ms)", scale=alt.Scale(zero=True))
    dots = (
        alt.Chart(told.points)
        .mark_circle(size=18, opacity=0.55, color=theme.FAINT)
        .encode(
            x=alt.X("at_s:Q", title=_SECONDS, scale=across, axis=alt.Axis(format="~g")),
            y=y,
            tooltip=[
                alt.Tooltip("at_s:Q", title="due (s)", format=".3f"),
                alt.Tooltip("value:Q", title="ms", format=",.1f"),
            ],
        )
    )
    lines = (
        alt.Chart(told.table.dropna(subset=["value"]))
        .mark_line(point={"size": 26, "filled": True})
        .encode(
            x="middle_s:Q",
            y=y,
            color=alt.Color(
                "statistic:N", scale=alt.Scale(domain=names), legend=alt.Legend(symbolType="stroke")
            ),
            strokeDash=alt.StrokeDash("statistic:N", scale=alt.Scale(domain=names, range=[[1, 0], [6, 3]])),
            tooltip=[
                alt.Tooltip("middle_s:Q", title="about second", format=".2f"),
                alt.Tooltip("statistic:N"),
                alt.Tooltip("value:Q", title="ms", format=",.1f"),
                alt.Tooltip("count:Q", title="requests"),
            ],
        )
    )
    known = requests[requests["ttft_ms"].notna()]
    count = len(known)
    drawn = "" if count == len(told.points) else f", {len(told.points)} of them drawn"
    subtitle = [
        f"{count:,} requests by when they were due{drawn}; median and p95 of {told.length_s:g} s each"
    ]
    cut = _settling(run, requests)
    if len(cut):
        subtitle.append("dashed: before it MSER-5 sees a beginning that is unlike the rest; nothing is cut")
    rule = alt.Chart(cut).mark_rule(color=theme.MARK).encode(x="at_s:Q", tooltip=["what:N"])
    chart: Drawing = alt.layer(dots, lines, *([rule] if len(cut) else [])).properties(
        width=theme.WIDTH, height=190, title=headed(_slowed(run, known), subtitle)
    )
    return chart


def time_axis(field: str, title: str | None = _SECONDS) -> alt.X:
    """The axis of a run's time, in seconds since its window began."""
    return alt.X(
        field, title=title, scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(format="~g", tickCount=10)
    )


def window_rules(run: RunLike) -> alt.Chart:
    """Lines where the measured window begins and ends."""
    span = frames.window(run)
    edges = pd.DataFrame(
        {"at_s": np.array([0.0, span.length_s]), "what": ["the window begins", "the window ends"]}
    )
    rules: alt.Chart = alt.Chart(edges).mark_rule(strokeWidth=1.2).encode(x="at_s:Q", tooltip=["what:N"])
    return rules


def _levels(flying: pd.DataFrame, grid: frames_time.Bins) -> pd.DataFrame:
    """Requests under way along the window, in whole bins of it: `start_s`, `requests`."""
    levels = pd.DataFrame(flying.groupby("start_s", as_index=False)["requests"].sum())
    ends = levels["start_s"] + grid.length_s
    inside: pd.DataFrame = levels[(levels["start_s"] >= 0) & (ends <= grid.span.length_s + 1e-9)]
    return inside


def _slowed(run: RunLike, requests: pd.DataFrame) -> str:
    records = frames.stored(run)
    return titles_time.slowing(
        frames.column(requests, "scheduled_ns") / frames.NS,
        frames.column(requests, "ttft_ms"),
        titles_time.ttft_drift(records),
        titles_time.piled_up(records),
    )


def _steady_part(run: RunLike) -> list[alt.Chart]:
    """A shade behind the steady part of the window, where there is one in one piece."""
    span = frames.window(run)
    steady = frames.stored(run).summary["windows"].get("steady")
    if steady is None or span.holes:
        return []
    edges = pd.DataFrame(
        {
            "begin_s": [steady["start_s"] - span.start_ns / frames.NS],
            "end_s": [steady["end_s"] - span.start_ns / frames.NS],
            "what": ["the steady part: settled, and not near the end"],
        }
    )
    shade = alt.Chart(edges).mark_rect(color=theme.FAINT, opacity=0.12)
    return [shade.encode(x="begin_s:Q", x2="end_s:Q", tooltip=["what:N"])]


def _settling(run: RunLike, requests: pd.DataFrame) -> pd.DataFrame:
    """Where MSER-5 would cut the window's beginning, if it would cut more than a tenth of it; else empty."""
    due = requests[requests["ttft_ms"].notna()].sort_values("scheduled_ns", kind="stable")
    cut = mser5(due["ttft_ms"].to_numpy(dtype=np.float64))
    kept = cut if len(due) and cut > 0.1 * len(due) else 0
    at = frames.seconds(frames.window(run), frames.column(due, "scheduled_ns")[kept : kept + 1])
    return pd.DataFrame({"at_s": at, "what": "MSER-5 would begin here"})[: 1 if kept else 0]


def _zoom() -> alt.Parameter:
    """Zoom in time only, and not by the bare wheel, which belongs to the page."""
    return alt.selection_interval(bind="scales", encodings=["x"], zoom="wheel![event.altKey]")
