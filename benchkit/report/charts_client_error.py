"""Charts of how a client's error grows with its load: of stamps, and of requests that leave late."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import altair as alt
import pandas as pd

from benchkit.analysis.client_error import Spread
from benchkit.analysis.client_map import BOUNDS_MS, VIEWS, Cell, View
from benchkit.report import theme, titles_client
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.titles import headed

if TYPE_CHECKING:
    from benchkit.report.selftest import Selftest

_UNDER: Final = "with 95 % limits as bands where they are known; dashed: 1 and 5 ms"
_LEAST_MS: Final = 0.001
_NEVER_MS: Final = 1e4
_DECADES: Final = [0.001, 0.01, 0.1, 1, 10, 100, 1000, 10_000]


def errors(found: Selftest) -> Drawing:
    """How does the client's error grow with the load? By the kernel's times and without them."""
    rows = [
        {
            "rate": cell.rate,
            "streams": f"{cell.streams:,} streams",
            "times": VIEWS[view],
            **_span(cell, view),
        }
        for streams in found.map.columns
        for cell in found.map.of_streams(streams)
        for view in VIEWS
    ]
    if not rows:
        return nothing("How the client's error grows is not known", "No streams were tried.")
    names = [f"{streams:,} streams" for streams in found.map.columns]
    return _curves(
        pd.DataFrame(rows),
        title=headed(titles_client.error_grows(found.map), [f"p99 over the events of a stage, {_UNDER}"]),
        x="tokens/s over all streams",
        series="streams",
        names=names,
    )


def requests(found: Selftest) -> Drawing:
    """How many requests a second does the client send on time, and how true are their stamps?"""
    rows = [
        {"rate": cell.rate, "what": what, "times": "Poisson arrivals", **span}
        for cell in found.map.of_requests
        for what, span in (
            ("lateness of sends", _of_spread(cell.lateness)),
            ("error by the kernel's times", _span(cell, "kernel")),
            ("error by the event loop's times", _span(cell, "loop")),
        )
    ]
    if not rows:
        return nothing(titles_client.sends(found.map), "The selftest was asked for none (requests_per_s).")
    return _curves(
        pd.DataFrame(rows),
        title=headed(titles_client.sends(found.map), [f"p99, {_UNDER}"]),
        x="requests/s",
        series="what",
        names=list(dict.fromkeys(row["what"] for row in rows)),
    )


def _curves(table: pd.DataFrame, *, title: alt.Title, x: str, series: str, names: list[str]) -> Drawing:
    facets = list(dict.fromkeys(table["times"]))
    ends = [0.8 * float(table["rate"].min()), 1.25 * float(table["rate"].max())]
    values = [*table["p99"], *table["low"].dropna(), *table["high"].dropna(), *BOUNDS_MS]
    heights = [max(_LEAST_MS, 0.7 * min(values)), 1.4 * max(values)]
    y = alt.Scale(type="log", domain=heights, nice=False, clamp=True)
    # A clamped scale would draw those beyond its ends at its ends.
    decades = [each for each in _DECADES if heights[0] <= each <= heights[1]]
    parts = []
    for facet in facets:
        own = table[table["times"] == facet]
        across = alt.X("rate:Q", title=x, scale=_log(ends), axis=alt.Axis(format="~s", tickCount=5))
        color = alt.Color(
            f"{series}:N",
            scale=alt.Scale(domain=names),
            legend=alt.Legend(symbolType="stroke", symbolOpacity=1, symbolDash=[1, 0]),
        )
        lines = (
            alt.Chart(own)
            .mark_line(point={"filled": True, "size": 45})
            .encode(
                x=across,
                y=alt.Y(
                    "p99:Q",
                    title="client's error, p99 (ms)",
                    scale=y,
                    axis=alt.Axis(format="~g", values=decades),
                ),
                color=color,
                tooltip=[
                    f"{series}:N",
                    alt.Tooltip("rate:Q", format=",.0f"),
                    alt.Tooltip("p99:Q", title="p99 (ms)", format=".3f"),
                    alt.Tooltip("events:Q", title="n", format=","),
                ],
            )
        )
        bare = own["low"].isna() | own["high"].isna()
        known = own.assign(piece=own[series] + bare.cumsum().astype(str))[~bare]
        limits = alt.Chart(known).encode(
            x=across, y=alt.Y("low:Q", scale=y), y2="high:Q", color=color, detail="piece:N"
        )
        # A band between neighbours that both have limits, and a stroke at each.
        bands = [limits.mark_area(opacity=0.15), limits.mark_rule(strokeDash=[1, 0], opacity=0.5)]
        rules = (
            alt.Chart(pd.DataFrame({"bound": list(BOUNDS_MS)}))
            .mark_rule()
            .encode(y=alt.Y("bound:Q", scale=y))
        )
        width = (theme.WIDTH - 60 * (len(facets) - 1)) // len(facets)
        parts.append(
            alt.layer(rules, *bands, lines).properties(
                width=width, height=240, title=alt.Title(facet, fontSize=12, fontWeight="normal", offset=4)
            )
        )
    chart: Drawing = alt.hconcat(*parts, title=title)
    return chart


def _span(cell: Cell, view: View) -> dict[str, Any]:
    return _of_spread(cell.spread(view))


def _of_spread(spread: Spread | None) -> dict[str, Any]:
    """A spread's 99th percentile and limits, within what a logarithmic axis shows."""
    if spread is None:
        return {"p99": math.nan, "low": math.nan, "high": math.nan, "events": 0}
    p99 = _NEVER_MS if spread.p99 is None else max(spread.p99, _LEAST_MS)
    low, high = spread.low, spread.high
    if low is None or high is None:
        low = high = math.nan
    return {"p99": p99, "low": max(low, _LEAST_MS), "high": max(high, _LEAST_MS), "events": spread.n}


def _log(domain: list[float]) -> alt.Scale:
    return alt.Scale(type="log", domain=domain, nice=False)
