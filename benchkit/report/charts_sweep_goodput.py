"""The chart of how much of each load met its objectives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from benchkit.analysis.binomial import wilson
from benchkit.analysis.points import LoadPoint
from benchkit.analysis.recorded import measured_of
from benchkit.analysis.slo_terms import meeting
from benchkit.objectives import PER_REQUEST, AttainmentObjective, Single, StatisticObjective, Term
from benchkit.report import sweep_objectives, theme, titles_sweep
from benchkit.report.amounts import amount
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.sweep_bands import MEANING
from benchkit.report.sweep_loads import Load, loads
from benchkit.report.sweep_marks import color_of, crosses, lines, shapes, told_first, told_off, why_off
from benchkit.report.titles import headed


@dataclass(frozen=True, slots=True)
class Goodput:
    """How much of one load met the objectives."""

    load: Load
    per_s: float
    low: float | None
    """95 % limits, as if requests were independent; None where the source only states the rate."""
    high: float | None

    @property
    def offered_per_s(self) -> float:
        """Requests that came per second."""
        return self.load.offered_per_s or 0.0

    @property
    def share(self) -> float | None:
        """Of the requests that were answered, the share that was good."""
        answered = self.load.requests_per_s
        return self.per_s / answered if answered else None


def terms_of(objectives: Iterable[Single]) -> tuple[Term, ...]:
    """What a single request must do to count as good.

    The terms of attainment, as summary.json's goodput has them; where there are none, the bounds of percentiles,
    each of which is one that most requests are to keep.
    """
    given = list(objectives)
    terms = [term for each in given if isinstance(each, AttainmentObjective) for term in each.terms]
    if not terms:
        terms = [
            Term(each.metric, each.op, each.bound, each.per_token)
            for each in given
            if isinstance(each, StatisticObjective)
            and each.quantile is not None
            and each.is_upper
            and each.metric in PER_REQUEST
        ]
    return tuple(dict.fromkeys(terms))


def goodput_of(load: Load, terms: Sequence[Term]) -> Goodput | None:
    """The goodput of a load, all its repeats together; None where neither its requests nor its file tell."""
    records = [point.records for point in load.points if point.records is not None]
    if len(records) < len(load.points) or not terms:
        stated = load.rate_of("goodput_per_s")
        return None if stated is None else Goodput(load, stated, None, None)
    good = ended = 0
    length_s = 0.0
    for each in records:
        measured = measured_of(each)
        inside = measured.columns.ok & measured.window.holds(measured.columns.end)
        good += int((inside & meeting(terms, measured)).sum())
        ended += int(inside.sum())
        length_s += measured.window.length_s
    if not ended or length_s <= 0:
        return None
    share = wilson(good, ended)
    return Goodput(load, good / length_s, share.low * ended / length_s, share.high * ended / length_s)


def goodput(points: Iterable[LoadPoint], slo: Sequence[str] | None = None) -> Drawing:
    """How much of the load is served well enough? Requests that meet the objectives against requests that came.

    Args:
        points: the loads.
        slo: objectives; what the points were judged by when None.
    """
    given = list(points)
    terms = terms_of(sweep_objectives.objectives(given, slo))
    found = [one for load in loads(given) if (one := goodput_of(load, terms)) is not None]
    if not found:
        why = "their requests are not there" if terms else "no objective is about single requests (slo)"
        return nothing(
            "How much of the load is served well enough is not known", f"{len(given)} loads, and {why}."
        )
    table = _table(found)
    names = list(dict.fromkeys(table["series"]))
    most = 1.05 * float(table["offered"].max())
    high = 1.1 * float(table[["good", "high"]].max().max())
    x = alt.X(
        "offered:Q", title="requests that came per second", scale=alt.Scale(domain=[0, most], nice=False)
    )
    y = alt.Y("good:Q", title="good requests per second", scale=alt.Scale(domain=[0, high], nice=False))
    edge = min(most, high)
    every = alt.Chart(pd.DataFrame({"offered": [0.0, edge], "good": [0.0, edge], "what": "all are good"}))
    layers: list[Any] = [
        every.mark_line(strokeDash=[3, 3], strokeWidth=1.2, color=theme.FAINT).encode(x=x, y=y)
    ]
    steady, apart = table[~table["apart"]], table[table["apart"]]
    if len(steady):
        base = alt.Chart(steady).encode(x=x, color=color_of("series", names))
        low = alt.Y("low:Q", scale=alt.Scale(domain=[0, high], nice=False))
        if steady["low"].notna().all():
            layers.append(base.mark_area(opacity=0.15).encode(y=low, y2="high:Q"))
        layers += lines(steady, "series", names, x=x, y=y, order="offered:Q")
        dots = base.mark_point(filled=True, size=60, opacity=1)
        layers.append(dots.encode(y=y, shape=shapes("series", names), tooltip=_tooltip()))
    if len(apart):
        layers.append(crosses(apart, x, y, names, _tooltip()))
    chart: Drawing = alt.layer(*layers).properties(
        width=theme.WIDTH, height=250, title=headed(titles_sweep.goodput(found), _subtitle(found, terms))
    )
    return chart


def _table(found: Sequence[Goodput]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            "series": one.load.series,
            "load": one.load.label,
            "offered": one.offered_per_s,
            "good": one.per_s,
            "share": one.share,
            "low": one.low,
            "high": one.high,
            "apart": not one.load.on_curve,
            "state": "steady" if one.load.on_curve else why_off(one.load),
        }
        for one in found
    ]
    table = pd.DataFrame(rows)
    numbers = ["low", "high", "share"]
    table[numbers] = table[numbers].apply(pd.to_numeric)
    return table


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("load:N"),
        alt.Tooltip("series:N"),
        alt.Tooltip("offered:Q", title="came per s", format=",.3~r"),
        alt.Tooltip("good:Q", title="good per s", format=",.3~r"),
        alt.Tooltip("share:Q", title="good of those answered", format=".1%"),
        alt.Tooltip("state:N"),
    ]


def _subtitle(found: Sequence[Goodput], terms: Sequence[Term]) -> list[str]:
    names = list(dict.fromkeys(one.load.series for one in found))
    best = []
    for name in names if len(names) > 1 else ():
        steady = [one for one in found if one.load.series == name and one.load.on_curve]
        if steady:
            best.append(_most(max(steady, key=lambda one: one.per_s), name))
    told = told_first(best)
    if terms:
        told.append("good: " + ", ".join(map(_told, terms)) + "; thin dashes: if all were good")
    told += told_off([one.load for one in found], "crosses")
    banded = any(one.low is not None and one.load.on_curve for one in found)
    return told + ([MEANING["independent"]] if banded else [])


def _most(best: Goodput, name: str) -> str:
    share = "" if best.share is None else f", {100 * best.share:.0f} % of those answered"
    came = f"where {amount(best.offered_per_s)} came"
    return f"{name}: at most {amount(best.per_s)} good requests/s{share}, {came}"


def _told(term: Term) -> str:
    growth = f" + {term.per_token:g} ms/token" if term.per_token else ""
    return f"{term.metric.removesuffix('_ms').replace('_', ' ')} {term.op} {term.bound:g} ms{growth}"
