"""A run's numbers as data frames and as HTML tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

import pandas as pd

from benchkit.analysis.limits import limits
from benchkit.report.precision import between, doubt, limits_of, measured

_COLUMNS: Final = ("unit", "count", "mean", "std", "min", "p50", "p90", "p95", "p99", "p99_9", "max")
_ESTIMATES: Final = ("mean", "p50", "p90", "p95", "p99", "p99_9")
_DESCRIPTIVE: Final = frozenset({"lateness_ms", "pickup_lag_ms"})
"""Facts about the client during this run: nothing is estimated from them."""


def summary_frame(summary: Mapping[str, Any]) -> pd.DataFrame:
    """The metrics of the whole window: one row a metric, its unit, count and statistics as columns.

    Beside each estimate stand its limits (``p99_low``, ``p99_high``), NaN where the run does not give them.
    """
    metrics = summary["windows"]["whole"]["metrics"]
    rows = {name: {column: entry.get(column) for column in _COLUMNS} for name, entry in metrics.items()}
    for name, entry in metrics.items():
        for statistic in _ESTIMATES:
            low, high = limits_of(entry, statistic) or (None, None)
            rows[name] |= {f"{statistic}_low": low, f"{statistic}_high": high}
    sides = [f"{statistic}_{side}" for statistic in _ESTIMATES for side in ("low", "high")]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=[*_COLUMNS, *sides])
    numbers = [column for column in frame.columns if column != "unit"]
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    return frame


def rates_frame(summary: Mapping[str, Any]) -> pd.DataFrame:
    """The rates of the whole window: one row a rate, its unit, value and limits."""
    rates = summary["windows"]["whole"]["rates"]
    rows = {
        name: [entry["unit"], entry["value"], *(limits_of(entry) or (None, None))]
        for name, entry in rates.items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["unit", "value", "low", "high"])
    numbers = ["value", "low", "high"]
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    return frame


def metrics_html(summary: Mapping[str, Any], window: str = "whole") -> str:
    """The metrics and rates of a window as HTML tables, each estimate with its limits below it.

    Args:
        summary: summary.json.
        window: ``whole`` or ``steady``; empty where the summary has no such window.
    """
    shown = summary["windows"].get(window)
    if shown is None:
        return ""
    metrics, rates = shown["metrics"], shown["rates"]
    header = ["metric", *(column.replace("_", ".") for column in _COLUMNS)]
    rows = [
        [escape(name), *(_cell(name, entry, column) for column in _COLUMNS)]
        for name, entry in metrics.items()
        if entry.get("count") or entry.get("mean") is not None
    ]
    rated = [
        [escape(name), escape(entry["unit"]), _value(entry["value"], limits_of(entry))]
        for name, entry in rates.items()
        if entry["value"] is not None
    ]
    return _of_cells(header, rows) + _doubts(metrics, rates) + _of_cells(["rate", "unit", "value"], rated)


def slo_html(summary: Mapping[str, Any]) -> str:
    """The objectives and what the run says of them, as an HTML table; empty without objectives."""
    rows = [
        [each["text"], each["verdict"], quantity(each), interval(each), each.get("note") or ""]
        for each in summary.get("slo") or ()
    ]
    return _table(["objective", "verdict", "value", "95 % interval", "note"], rows) if rows else ""


def verdict_html(summary: Mapping[str, Any]) -> str:
    """The verdict and its reasons as HTML."""
    validity = summary["validity"]
    rows = [
        [
            reason["level"],
            f"{reason['what']}: {judged(reason)}",
            reason["reason"],
            reason["remedy"],
        ]
        for reason in validity["reasons"]
    ]
    checked = len(validity.get("checked") or ())
    text = f"<p><strong>Verdict: {escape(validity['verdict'])}</strong> ({checked} things checked)</p>"
    return text + (_table(["level", "seen", "why it matters", "remedy"], rows) if rows else "")


def limits_html(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """What the run does not show, as an HTML list."""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in limits(manifest, summary))
    return f"<ul>{items}</ul>"


def result_html(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """Verdict, objectives, metrics and limits of a run as one piece of HTML, all text escaped."""
    name = escape(str(manifest.get("name") or "run"))
    judged_html = verdict_html(summary) + slo_html(summary)
    shown = metrics_html(summary)
    limited = f"<h4>What this run does not show</h4>{limits_html(manifest, summary)}"
    return f'<section class="benchkit-result"><h3>{name}</h3>{judged_html}{shown}{limited}</section>'


def judged(reason: Mapping[str, Any]) -> str:
    """What was seen against its limit, for one reason of a verdict."""
    value, limit = (_with_unit(reason[key], reason["unit"]) for key in ("value", "threshold"))
    named = f" ({reason['detail']})" if reason.get("detail") else ""
    return f"{value} (limit {limit}){named}"


def quantity(each: Mapping[str, Any]) -> str:
    """The value of an objective with its unit."""
    return "no value" if each["value"] is None else _with_unit(each["value"], each.get("unit", ""))


def interval(each: Mapping[str, Any]) -> str:
    """The interval of an objective's value; empty where there is none."""
    if not each.get("ci95"):
        return ""
    low, high = each["ci95"]
    if each.get("unit") == "share":
        return f"{_with_unit(low, 'share')} to {_with_unit(high, 'share')}"
    return f"{between(low, high)} {each.get('unit', '')}".strip()


def _with_unit(value: float, unit: str) -> str:
    if unit == "share":
        return f"{100 * value:.3g} %"
    return f"{value:.4g} {unit}".strip()


def _cell(name: str, entry: Mapping[str, Any], column: str) -> str:
    value = entry.get(column)
    if column in ("unit", "count"):
        return "" if value is None else escape(str(value))
    if column not in _ESTIMATES or name in _DESCRIPTIVE:
        return _number(value)
    return _value(value, limits_of(entry, column), doubtful=bool(doubt(name, entry, column)))


def _value(value: float | None, found: tuple[float, float] | None, *, doubtful: bool = False) -> str:
    """A value with its limits below it, or with a star."""
    if value is None:
        return ""
    if found is None:
        return _number(value) + (" *" if doubtful else "")
    return f'<span class="bk-value">{measured(value, found)}</span><div class="bk-limits">{between(*found)}</div>'


def _doubts(metrics: Mapping[str, Any], rates: Mapping[str, Any]) -> str:
    """Why some numbers have a star, the same reason once, with the numbers that it is about."""
    why: dict[str, list[str]] = {}
    for name, entry in metrics.items():
        for statistic in _ESTIMATES:
            reason = "" if name in _DESCRIPTIVE else doubt(name, entry, statistic)
            if reason:
                why.setdefault(reason, []).append(f"{statistic.replace('_', '.')} {name}")
    for name, entry in rates.items():
        if entry["value"] is not None and entry.get("note"):
            why.setdefault(str(entry["note"]), []).append(name)
    if not why:
        return ""
    items = "".join(f"<li>{escape(', '.join(names))}: {escape(reason)}</li>" for reason, names in why.items())
    return f"<details><summary>* not resolved by its sample: why, number by number</summary><ul>{items}</ul></details>"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return _of_cells(header, [[escape(text) for text in row] for row in rows])


def _of_cells(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{escape(text)}</th>" for text in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _number(value: float | None) -> str:
    return "" if value is None else measured(value, None)
