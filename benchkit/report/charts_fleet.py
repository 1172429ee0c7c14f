"""Charts of a load over time and the fleets under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import altair as alt
import numpy as np
import pandas as pd

from benchkit.analysis.fleet import OverTime
from benchkit.report import theme, titles_capacity
from benchkit.report.amounts import amount
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.titles import headed

if TYPE_CHECKING:
    from benchkit.report.capacity_report import Capacity

_NO_DAY: Final = "No load over time was given (profile), or there is no answer to follow it with."
_MOST_POINTS: Final = 288


def over_time(found: Capacity) -> Drawing:
    """How many servers over the day? The load above, a fixed and a scaling fleet below."""
    if not found.days:
        return nothing("How many servers it takes over the day is not known", _NO_DAY)
    option, day = found.days[0]
    table = _binned(day)
    x = alt.X(
        "hour:Q",
        title=f"hours since {day.profile.starts}",
        scale=alt.Scale(nice=False, domain=[0, day.profile.hours]),
    )
    above = alt.X("hour:Q", title=None, scale=alt.Scale(nice=False, domain=[0, day.profile.hours]))
    load = (
        alt.Chart(table[["hour", "rate"]].round(4))
        .mark_area(opacity=0.35, line={"strokeWidth": 1.5})
        .encode(
            x=above,
            y=alt.Y("rate:Q", title="requests/s"),
            tooltip=[alt.Tooltip("hour:Q", format=".1f"), alt.Tooltip("rate:Q", format=",.3~g")],
        )
        .properties(width=theme.WIDTH, height=110)
    )
    # Above the fleets there is room for the marks of minutes outside.
    heights = alt.Scale(domain=[0, 1.15 * max(day.fixed.most, day.scaling.most)], nice=False)
    fleets = pd.concat(_changes(table, name) for name in ("fixed", "scaling"))
    lines = (
        alt.Chart(fleets)
        .mark_line(interpolate="step-after")
        .encode(
            x=x,
            y=alt.Y("servers:Q", title="servers", scale=heights, axis=alt.Axis(tickMinStep=1)),
            color=alt.Color("fleet:N", scale=alt.Scale(domain=["fixed", "scaling"])),
            tooltip=["fleet:N", alt.Tooltip("hour:Q", format=".1f"), "servers:Q"],
        )
    )
    late = (
        alt.Chart(table.loc[table["outside"], ["hour"]])
        .mark_tick(color=theme.MARK, thickness=2, height=9)
        .encode(x=x, y=alt.value(4))
    )
    below = alt.layer(lines, late).properties(width=theme.WIDTH, height=170)
    when = (
        f"a new server serves after {amount(day.start_up_s)} s" if day.start_up_s else "start-up taken as 0 s"
    )
    subtitle = [f"{option.basis}; red: minutes in which the scaling fleet is too small; {when}"]
    title = headed(titles_capacity.over_time(option, day), subtitle)
    chart: Drawing = alt.vconcat(load, below, title=title).resolve_scale(x="shared")
    return chart


def smaller(found: Capacity) -> Drawing:
    """What does a smaller fleet cost in the objective? The share of the day's requests inside it, by servers."""
    if not found.days:
        return nothing("What a smaller fleet would cost in the objective is not known", _NO_DAY)
    option, day = found.days[0]
    table = pd.DataFrame(
        [
            {"servers": fleet.most, "share": 100 * share, "of": of}
            for fleet in day.smaller
            for of, share in (("requests", fleet.share_of_requests), ("minutes", fleet.share_of_minutes))
        ]
    )
    lines = (
        alt.Chart(table)
        .mark_line(point=alt.OverlayMarkDef(size=45, opacity=1))
        .encode(
            x=alt.X(
                "servers:Q",
                title="servers, all the time",
                axis=alt.Axis(format="d", tickCount=min(day.fixed.most, 20)),
            ),
            y=alt.Y("share:Q", title="inside the objective (%)", scale=alt.Scale(domain=[0, 100])),
            color=alt.Color("of:N", scale=alt.Scale(domain=["requests", "minutes"])),
            tooltip=["servers:Q", "of:N", alt.Tooltip("share:Q", title="%", format=".2f")],
        )
    )
    title = headed(titles_capacity.smaller(day), [option.basis])
    chart: Drawing = lines.properties(width=theme.WIDTH, height=220, title=title)
    return chart


def _changes(table: pd.DataFrame, fleet: str) -> pd.DataFrame:
    """The fleet where it grows or shrinks, and at both ends."""
    counts = table[fleet]
    kept = counts.ne(counts.shift()) | (table.index == table.index[-1])
    return pd.DataFrame({"hour": table["hour"][kept].round(4), "servers": counts[kept], "fleet": fleet})


def _binned(day: OverTime) -> pd.DataFrame:
    """Minutes in at most so many stretches: of each the mean load, the most servers, and whether any was outside."""
    size = day.profile.rates.size
    width = -(-size // _MOST_POINTS)
    starts = np.arange(0, size, width)
    counts = np.diff([*starts, size])
    return pd.DataFrame(
        {
            "hour": starts / 60.0,
            "rate": np.add.reduceat(day.profile.rates, starts) / counts,
            "fixed": np.maximum.reduceat(day.fixed.paid, starts),
            "scaling": np.maximum.reduceat(day.scaling.ready, starts),
            "outside": np.logical_or.reduceat(~day.scaling.inside, starts),
        }
    )
