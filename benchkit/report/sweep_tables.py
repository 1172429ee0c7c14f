"""The two tables of a sweep, what was run and what came of it, as text, as HTML and as DataFrames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd

from benchkit.analysis.binomial import needed_for
from benchkit.analysis.limits import unresolved
from benchkit.analysis.points import LoadPoint
from benchkit.report.amounts import NONE, amount
from benchkit.report.precision import doubt, limits_of, measured
from benchkit.report.section import Section
from benchkit.report.sweep_layout import STAR, Column, lay_out
from benchkit.report.sweep_loads import cell_columns, in_order, label, named

STATISTICS: Final = (("mean", "mean"), ("p50", "median"), ("p99", "p99"))
_TIMES: Final = (
    ("latency_ms", "latency (s)", 1e-3),
    ("ttft_ms", "TTFT (ms)", 1.0),
    ("itl_ms", "ITL (ms)", 1.0),
    ("tpot_ms", "TPOT (ms)", 1.0),
)
_RATES: Final = (
    ("", "requests/s", "requests_per_s"),
    ("tokens/s", "output", "output_tokens_per_s"),
    ("tokens/s", "total", "total_tokens_per_s"),
)
_SATURATED: Final = "\N{DAGGER}"
_PER_TOKEN: Final = ("ITL (ms)", "TPOT (ms)")


def info(points: Iterable[LoadPoint]) -> Section:
    """What was run? When, for how long, how many requests in which state, how many tokens; one row a point."""
    ordered = in_order(points)
    columns = [*_names(ordered), *_info_columns(ordered)]
    return lay_out(columns, _daggers(ordered), [columns])


def stats(points: Iterable[LoadPoint]) -> Section:
    """What came of it? Rates, concurrency, and mean, median and p99 of the times; one row a point.

    A star marks a p99 that the point's requests do not resolve, a dagger a point in which requests piled up.
    """
    ordered = in_order(points)
    names, columns = _names(ordered), _stats_columns(ordered)
    stars = any(cell.endswith(STAR) for column in columns for cell in column.cells)
    feet = (
        [f"* not resolved by its sample: a p99 needs {needed_for(0.99)} independent requests"]
        if stars
        else []
    )
    # A page is not as wide as a terminal: what is about tokens stands in a table of its own there.
    per_token = [column for column in columns if column.group in _PER_TOKEN]
    others = [column for column in columns if column.group not in _PER_TOKEN]
    notes = [*feet, *_daggers(ordered), *_notes(ordered)]
    return lay_out([*names, *columns], notes, [[*names, *others], [*names, *per_token]])


def frame(points: Iterable[LoadPoint]) -> pd.DataFrame:
    """Every number of both tables, unrounded, one row a point: settings, load, counts, rates, statistics.

    Times are in ms, under ``<metric>.<statistic>``; what a source lacks is missing.
    """
    return pd.DataFrame([_row(point) for point in in_order(points)])


def _row(point: LoadPoint) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": point.name,
        "tool": point.tool,
        **point.cell,
        "load": point.load,
        "rate": point.rate,
        "concurrency": point.concurrency,
        "repeat": point.repeat,
        "saturated": point.saturated,
        "verdict": _verdict(point),
        "duration_s": _duration_s(point),
    }
    row |= {
        name: point.summary.get("requests", {}).get(name) for name in ("ok", "failed", "shed", "incomplete")
    }
    row |= {name: point.rate_of(name) for *_, name in _RATES} | {"in_flight": point.mean_in_flight}
    row |= {"goodput_per_s": point.rate_of("goodput_per_s")}
    for metric, *_ in _TIMES:
        row |= {f"{metric}.{name}": point.statistic(metric, name) for name, _ in STATISTICS}
    return row


def _names(points: Sequence[LoadPoint]) -> list[Column]:
    """Which point a row is: the settings that varied, the load, and its repeat where there are several."""
    columns = [
        Column("", name, tuple(str(point.cell.get(name, NONE)) for point in points), is_number=False)
        for name in cell_columns(points)
    ]
    if len({point.tool for point in points}) > 1:
        columns.append(Column("", "tool", tuple(point.tool for point in points), is_number=False))
    loads = tuple(label(point) + (f" {_SATURATED}" if point.saturated else "") for point in points)
    columns.append(Column("", "load", loads, is_number=False))
    if any(point.repeat for point in points):
        columns.append(Column("", "repeat", tuple(str(point.repeat + 1) for point in points)))
    return columns


def _info_columns(points: Sequence[LoadPoint]) -> list[Column]:
    counts = [point.summary.get("requests", {}) for point in points]
    spans = [_span(point) for point in points]
    per = [_per_request(point) for point in points]
    totals = [_totals(point) for point in points]
    columns = [
        Column("measured (UTC)", "start", tuple(_clock(span[0]) for span in spans)),
        Column("measured (UTC)", "end", tuple(_clock(span[1]) for span in spans)),
        Column("", "duration (s)", tuple(amount(_duration_s(point)) for point in points)),
        Column("requests", "ok", tuple(_count(each.get("ok")) for each in counts)),
        Column("requests", "incomplete", tuple(_count(each.get("incomplete")) for each in counts)),
        Column("requests", "failed", tuple(_count(each.get("failed")) for each in counts)),
        Column("requests", "shed", tuple(_count(each.get("shed")) for each in counts)),
        Column("tokens per request", "in", tuple(amount(each[0]) for each in per)),
        Column("tokens per request", "out", tuple(amount(each[1]) for each in per)),
        Column("tokens in all", "in", tuple(_count(each[0]) for each in totals)),
        Column("tokens in all", "out", tuple(_count(each[1]) for each in totals)),
        Column("", "verdict", tuple(map(_verdict, points)), is_number=False),
    ]
    return [column for column in columns if column.name != "shed" or any(map(_is_some, column.cells))]


def _stats_columns(points: Sequence[LoadPoint]) -> list[Column]:
    columns = [
        Column(group, name, tuple(_rate(point, rate) for point in points)) for group, name, rate in _RATES
    ]
    in_flight = tuple(
        _shown(point.mean_in_flight, limits_of(_entry(point, "metrics", "in_flight"), "mean"))
        for point in points
    )
    columns.insert(1, Column("", "in flight", in_flight))
    goodput = tuple(_rate(point, "goodput_per_s") for point in points)
    if any(cell != NONE for cell in goodput):
        columns.insert(1, Column("", "goodput/s", goodput))
    for metric, group, factor in _TIMES:
        columns += [
            Column(group, title, tuple(_time(point, metric, name, factor) for point in points))
            for name, title in STATISTICS
        ]
    return columns


def _time(point: LoadPoint, metric: str, name: str, factor: float) -> str:
    value = point.statistic(metric, name)
    if value is None:
        return NONE
    # Tokens are many and share steps: what stands behind them are requests.
    entry = _entry(point, "metrics", metric)
    judged = "notes" in entry or entry.get("ci95")
    few = point.count is not None and name in unresolved(point.count)
    star = STAR if (doubt(metric, entry, name) if judged else few) else ""
    limits = limits_of(entry, name)
    return _shown(value * factor, limits and (limits[0] * factor, limits[1] * factor)) + star


def _rate(point: LoadPoint, name: str) -> str:
    return _shown(point.rate_of(name), limits_of(_entry(point, "rates", name)))


def _shown(value: float | None, limits: tuple[float, float] | None) -> str:
    """With the digits that the interval leaves it; with three or so where there is none."""
    return amount(value) if value is None or limits is None else measured(value, limits)


def _entry(point: LoadPoint, group: str, name: str) -> Mapping[str, Any]:
    """What the summary says of a metric or a rate over the whole window."""
    whole = (point.summary.get("windows") or {}).get("whole") or {}
    entry: Mapping[str, Any] = (whole.get(group) or {}).get(name) or {}
    return entry


def _daggers(points: Sequence[LoadPoint]) -> list[str]:
    if not any(point.saturated for point in points):
        return []
    return [f"{_SATURATED} saturated: requests piled up, so that its times would be longer had it run longer"]


def _notes(points: Sequence[LoadPoint]) -> list[str]:
    """What is to be known of single points, each note once with the loads that it is about."""
    about: dict[str, list[LoadPoint]] = {}
    for point in points:
        for note in point.notes:
            about.setdefault(note, []).append(point)
    notes = []
    for note, those in about.items():
        # A note of everything that a tool measured is about the tool.
        every = len(those) == sum(point.tool == those[0].tool for point in points)
        notes.append(note if every else f"{', '.join(map(named, those))}: {note}")
    return notes


def _span(point: LoadPoint) -> tuple[datetime | None, datetime | None]:
    """When the window began and ended by the wall clock, where the source knows."""
    manifest: Mapping[str, Any] = point.records.manifest if point.records is not None else {}
    began_ns = (manifest.get("clock") or {}).get("wall_ns")
    window = (manifest.get("load") or {}).get("window") or {}
    if not began_ns or window.get("end_ns") is None:
        return None, None
    start, end = ((began_ns + int(window[key])) / 1e9 for key in ("start_ns", "end_ns"))
    return datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)


def _duration_s(point: LoadPoint) -> float | None:
    whole = (point.summary.get("windows") or {}).get("whole") or {}
    length: float | None = whole.get("length_s")
    return length


def _totals(point: LoadPoint) -> tuple[float | None, float | None]:
    """Prompt and answer tokens of the window, as its rates count them."""
    totals = ((point.summary.get("windows") or {}).get("whole") or {}).get("totals") or {}
    return totals.get("prompt_tokens"), totals.get("output_tokens")


def _per_request(point: LoadPoint) -> tuple[float | None, float | None]:
    """Mean lengths of the requests that ended well; where there are no requests, totals over their number."""
    if point.records is not None and len(point.records.requests):
        table = point.records.requests
        table = table[(table["phase"] == "window") & (table["outcome"] == "ok")]
        told = (pd.to_numeric(table[name]).mean() for name in ("prompt_tokens", "output_tokens"))
        prompt, output = (None if pd.isna(value) else float(value) for value in told)
        return prompt, output
    prompts, outputs = _totals(point)
    count = point.count
    if not count:
        return None, None
    return (None if prompts is None else prompts / count), (None if outputs is None else outputs / count)


def _verdict(point: LoadPoint) -> str:
    return point.verdict or NONE


def _clock(moment: datetime | None) -> str:
    return NONE if moment is None else f"{moment:%H:%M:%S}"


def _count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _is_some(cell: str) -> bool:
    return cell not in (NONE, "0")
