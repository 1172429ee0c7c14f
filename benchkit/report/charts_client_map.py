"""The map of what a machine's client holds, with its limits; with the charts of errors, all charts of a test."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import altair as alt
import pandas as pd

from benchkit.analysis.client_map import BOUNDS_MS, VIEWS, ClientMap, View
from benchkit.analysis.client_placement import RunLoad
from benchkit.report import theme, titles_client
from benchkit.report.amounts import amount
from benchkit.report.charts_client_error import errors, requests
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.titles import headed

if TYPE_CHECKING:
    from benchkit.report.selftest import Selftest

__all__ = ["client_map", "errors", "of_map", "requests"]

_CLASSES: Final = ["below 0.1 ms", "0.1 to 1 ms", "1 to 5 ms", "5 ms and more"]
_EDGES: Final = (0.1, *BOUNDS_MS)
_DASHES: Final = {1.0: [1, 0], 5.0: [7, 4]}


def client_map(found: Selftest, view: View = "kernel") -> Drawing:
    """What does this machine's client hold? Streams by tokens/s, coloured by the client's own error."""
    return of_map(found.map, view)


def of_map(
    found: ClientMap, view: View = "kernel", load: RunLoad | None = None, finding: str = ""
) -> Drawing:
    """The map in one view, with the limits as lines and, where given, a run as a mark.

    Args:
        found: the map.
        view: the error of the kernel's times, or of the event loop's.
        load: what a run asked of the client.
        finding: the title, where it is about the run.
    """
    columns = found.columns
    if not columns:
        return nothing("What this machine's client holds is not known", "No streams were tried.")
    table = pd.DataFrame(_rectangles(found, view))
    ends = [float(table["x"].min()), float(table["x2"].max())]
    heights = [float(table["y"].min()), float(table["y2"].max())]
    if load is not None:
        ends = [min(ends[0], 0.8 * load.events_per_s or 1.0), max(ends[1], 1.25 * load.events_per_s)]
        heights = [min(heights[0], 0.8 * load.streams or 1.0), max(heights[1], 1.25 * load.streams)]
    x = alt.X("x:Q", title="tokens/s over all streams", scale=_log(ends), axis=alt.Axis(format="~s"))
    y = alt.Y("y:Q", title="streams", scale=_log(heights), axis=alt.Axis(values=list(columns), grid=False))
    rectangles = (
        alt.Chart(table)
        .mark_rect(stroke="white", strokeWidth=1)
        .encode(
            x=x,
            x2="x2:Q",
            y=y,
            y2="y2:Q",
            color=alt.Color(
                "error:N",
                scale=alt.Scale(domain=_CLASSES, range=theme.HEAT),
                legend=alt.Legend(symbolType="square", symbolStrokeWidth=0),
            ),
            tooltip=[
                alt.Tooltip("streams:Q", format=","),
                alt.Tooltip("rate:Q", title="tokens/s sent", format=",.0f"),
                alt.Tooltip("p99:N", title="error, p99"),
                alt.Tooltip("limits:N", title="95 % limits"),
                alt.Tooltip("events:Q", format=","),
                alt.Tooltip("server:N", title="server late, p99"),
            ],
        )
    )
    texts = (
        alt.Chart(table)
        .mark_text(fontSize=11, align="left", baseline="bottom", dx=6, dy=-5)
        .encode(
            x=alt.X("x:Q", scale=_log(ends)),
            y=alt.Y("y:Q", scale=_log(heights)),
            text="text:N",
            color=alt.Color("ink:N", scale=None),
        )
    )
    layers = [rectangles, *_lines(found, view, ends, heights), texts]
    if load is not None:
        layers += _mark(load, ends, heights)
    subtitle = [
        f"p99 of the client's stamp less the server's own, in ms, {VIEWS[view]}",
        "line: up to here it is below 1 ms; dashed: below 5 ms; arrow: not reached",
    ]
    if load is not None:
        subtitle.append("ring: this run, its most streams and its busiest second")
    chart: Drawing = (
        alt.layer(*layers)
        .resolve_scale(color="independent")
        .properties(
            width=theme.WIDTH,
            height=60 + 62 * len(columns),
            title=headed(finding or titles_client.holds(found, view), subtitle),
        )
    )
    return chart


def _lines(found: ClientMap, view: View, ends: list[float], heights: list[float]) -> list[alt.Chart]:
    """The limits of each bound, white on a dark edge, so that they are seen on every colour."""
    table = pd.DataFrame(_frontiers(found, view))
    if not len(table):
        return []
    drawn = []
    for bound_ms in BOUNDS_MS:
        reached = table[(table["bound"] == _bound(bound_ms)) & ~table["open"]]
        if not len(reached):
            continue
        own = alt.Chart(reached).encode(
            x=alt.X("rate:Q", scale=_log(ends)),
            y=alt.Y("streams:Q", scale=_log(heights)),
            order="streams:Q",
            tooltip=["bound:N", alt.Tooltip("told:N", title="tokens/s")],
        )
        for width, color in ((6, "#111111"), (3, "#ffffff")):
            point = {"filled": True, "size": 14 * width, "color": color}
            drawn.append(
                own.mark_line(strokeWidth=width, color=color, strokeDash=_DASHES[bound_ms], point=point)
            )
    unreached = table[table["open"]].drop_duplicates("streams")
    if len(unreached):
        arrows = alt.Chart(unreached).mark_text(text="▸", color="#111111", fontSize=26, dx=16)
        drawn.append(
            arrows.encode(
                x=alt.X("rate:Q", scale=_log(ends)),
                y=alt.Y("streams:Q", scale=_log(heights)),
                tooltip=["bound:N", alt.Tooltip("told:N", title="tokens/s")],
            )
        )
    return drawn


def _mark(load: RunLoad, ends: list[float], heights: list[float]) -> list[alt.Chart]:
    """A ring, yellow on a dark edge, so that it is seen on every colour."""
    at = pd.DataFrame({"x": [max(load.events_per_s, 1e-3)], "y": [max(load.streams, 1e-3)]})
    ring = alt.Chart(at).encode(
        x=alt.X("x:Q", scale=_log(ends)),
        y=alt.Y("y:Q", scale=_log(heights)),
        tooltip=[
            alt.Tooltip("y:Q", title="this run's streams", format=",.0f"),
            alt.Tooltip("x:Q", title="its events/s", format=",.0f"),
        ],
    )
    return [
        ring.mark_point(size=260, strokeWidth=width, color=color, opacity=1)
        for width, color in ((7, "#111111"), (3.5, "#f5d90a"))
    ]


def _rectangles(found: ClientMap, view: View) -> list[dict[str, Any]]:
    """A rectangle a cell, whose edges lie in the middle between its neighbours on logarithmic axes."""
    rows = []
    heights = _middles([float(each) for each in found.columns])
    for (low, high), streams in zip(pairwise(heights), found.columns, strict=True):
        cells = found.of_streams(streams)
        edges = _middles([cell.rate for cell in cells])
        for (left, right), cell in zip(pairwise(edges), cells, strict=True):
            spread, error = cell.spread(view), cell.error_ms(view)
            place = sum(error >= edge for edge in _EDGES)
            rows.append(
                {
                    "x": left,
                    "x2": right,
                    "y": low,
                    "y2": high,
                    "middle": math.sqrt(left * right),
                    "at": math.sqrt(low * high),
                    "error": _CLASSES[place],
                    "ink": theme.ON_HEAT[place],
                    "text": amount(error) if math.isfinite(error) else "lost",
                    "streams": streams,
                    "rate": cell.rate,
                    "p99": f"{amount(error)} ms",
                    "limits": _limits(spread.low, spread.high) if spread else "",
                    "events": spread.n if spread else 0,
                    "server": f"{amount(cell.server.p99)} ms" if cell.server else "",
                }
            )
    return rows


def _middles(values: list[float]) -> list[float]:
    """Edges round rising values, in the middle between neighbours on a logarithmic axis; the outer ones as far out."""
    if len(values) == 1:
        return [values[0] / 1.5, values[0] * 1.5]
    inner = [math.sqrt(first * second) for first, second in pairwise(values)]
    return [values[0] ** 2 / inner[0], *inner, values[-1] ** 2 / inner[-1]]


def _frontiers(found: ClientMap, view: View) -> list[dict[str, Any]]:
    rows = []
    for bound_ms in BOUNDS_MS:
        for streams in found.columns:
            limit = found.events_limit(streams, bound_ms, view)
            if limit is not None and not limit.below:
                rows.append(
                    {
                        "rate": limit.rate,
                        "streams": streams,
                        "bound": _bound(bound_ms),
                        "told": str(limit),
                        "open": limit.open,
                    }
                )
    return rows


def _limits(low: float | None, high: float | None) -> str:
    return f"{amount(low)} to {amount(high) if high is not None else 'unknown'} ms"


def _bound(bound_ms: float) -> str:
    return f"{bound_ms:g} ms"


def _log(domain: list[float]) -> alt.Scale:
    return alt.Scale(type="log", domain=domain, nice=False)
