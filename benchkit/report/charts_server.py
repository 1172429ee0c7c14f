"""The chart of what the server itself said while it was measured."""

from __future__ import annotations

from typing import Final

import altair as alt
import numpy as np
import pandas as pd

from benchkit.report import frames, theme, titles_time
from benchkit.report.charts_time import time_axis, window_rules
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.frames import NS, RunLike
from benchkit.report.titles import headed

_STATES: Final = {"vllm:num_requests_running": "running", "vllm:num_requests_waiting": "waiting"}
_MOST_READINGS: Final = 400
_USAGE: Final = "vllm:kv_cache_usage_perc"


def server(run: RunLike) -> Drawing:
    """Did requests queue in the server? Running and waiting ones, by its own ``/metrics``, above its cache's use."""
    telemetry = frames.stored(run).telemetry
    said = telemetry[(telemetry["source"] == "server") & telemetry["name"].isin([*_STATES, _USAGE])]
    if not len(said):
        return nothing(
            "Whether requests queued in the server is not known",
            "0 readings: the server has no /metrics that say so, or they were not read.",
        )
    span = frames.window(run)
    # A server of several engines says so of each: the sum of their requests is the server's, the mean of their use.
    grouped = said.groupby(["time_ns", "name"], as_index=False)["value"]
    table, means = pd.DataFrame(grouped.sum()), pd.DataFrame(grouped.mean())
    table["value"] = table["value"].where(table["name"] != _USAGE, means["value"])
    readings = table["time_ns"].nunique()
    waiting = table[table["name"].map(_STATES) == "waiting"]["value"].to_numpy(dtype=np.float64)
    step_ns = max(1, int(table["time_ns"].max() - table["time_ns"].min()) // _MOST_READINGS)
    if readings > _MOST_READINGS:  # of several readings near one another the highest is drawn
        table["time_ns"] = table["time_ns"] // step_ns * step_ns
        table = pd.DataFrame(table.groupby(["time_ns", "name"], as_index=False)["value"].max())
    table["at_s"] = (table["time_ns"] - span.start_ns) / NS
    counts = table[table["name"].isin(list(_STATES))].assign(state=lambda rows: rows["name"].map(_STATES))
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
    found = titles_time.queue(waiting, readings)
    subtitle = [
        "by its own /metrics, read twice a second: shorter queues are not seen; dashed: the measured window"
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
    chart: Drawing = alt.vconcat(*parts, title=headed(found, subtitle)).resolve_scale(x="shared")
    return chart
