"""The chart of what the server itself said while it was measured."""

from __future__ import annotations

from typing import Final

import altair as alt

from benchkit.report import frames, theme
from benchkit.report.charts_time import time_axis, window_rules
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.frames import NS, RunLike

_TITLE: Final = "Did requests queue in the server?"
_STATES: Final = {"vllm:num_requests_running": "running", "vllm:num_requests_waiting": "waiting"}
_MOST_READINGS: Final = 400
_USAGE: Final = "vllm:kv_cache_usage_perc"


def server(run: RunLike) -> Drawing:
    """Did requests queue in the server? Running and waiting ones, by its own ``/metrics``, above its cache's use."""
    telemetry = frames.stored(run).telemetry
    said = telemetry[(telemetry["source"] == "server") & telemetry["name"].isin([*_STATES, _USAGE])]
    if not len(said):
        return nothing(_TITLE, "0 readings: the server has no /metrics that say so, or they were not read.")
    span = frames.window(run)
    # A server of several engines says so of each: their sum is the server's.
    table = said.groupby(["time_ns", "name"], as_index=False)["value"].sum()
    readings = table["time_ns"].nunique()
    step_ns = max(1, int(table["time_ns"].max() - table["time_ns"].min()) // _MOST_READINGS)
    if readings > _MOST_READINGS:  # of several readings near one another the highest is drawn
        table["time_ns"] = table["time_ns"] // step_ns * step_ns
        table = table.groupby(["time_ns", "name"], as_index=False)["value"].max()
    table["at_s"] = (table["time_ns"] - span.start_ns) / NS
    counts = table[table["name"].isin(list(_STATES))].assign(state=lambda rows: rows["name"].map(_STATES))
    waiting = counts[counts["state"] == "waiting"]["value"]
    usage = table[table["name"] == _USAGE].assign(percent=lambda rows: 100 * rows["value"])
    names = list(_STATES.values())
    queue = (
        alt.Chart(counts)
        .mark_area(interpolate="step-after")
        .encode(
            x=time_axis("at_s:Q"),
            y=alt.Y("value:Q", title="requests", stack="zero"),
            color=alt.Color("state:N", scale=alt.Scale(domain=names), legend=alt.Legend(symbolType="square")),
            order=alt.Order("state:N"),
            tooltip=[
                alt.Tooltip("at_s:Q", title="second", format=".2f"),
                alt.Tooltip("state:N"),
                alt.Tooltip("value:Q", title="requests", format=",.0f"),
            ],
        )
    )
    most = float(waiting.max()) if len(waiting) else 0.0
    share = float((waiting > 0).mean()) if len(waiting) else 0.0
    subtitle = [
        f"at most {most:,.0f} waited at once; some did in {100 * share:.0f} % of {readings} readings",
        "by its own /metrics, read twice a second: shorter queues are not seen; dashed: the measured window",
    ]
    parts = [alt.layer(queue, window_rules(run)).properties(width=theme.WIDTH, height=150)]
    if len(usage) and usage["percent"].max() > 0:
        line = (
            alt.Chart(usage)
            .mark_line(interpolate="step-after")
            .encode(
                x=time_axis("at_s:Q"),
                y=alt.Y("percent:Q", title="KV cache in use (%)", scale=alt.Scale(zero=True)),
                tooltip=[
                    alt.Tooltip("at_s:Q", title="second", format=".2f"),
                    alt.Tooltip("percent:Q", title="%", format=".1f"),
                ],
            )
        )
        parts.append(alt.layer(line, window_rules(run)).properties(width=theme.WIDTH, height=90))
    chart: Drawing = alt.vconcat(*parts, title=alt.Title(_TITLE, subtitle=subtitle)).resolve_scale(x="shared")
    return chart
