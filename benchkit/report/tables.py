"""A run's numbers as text and as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from benchkit.analysis.catalogue import METRICS
from benchkit.analysis.limits import limits, unresolved

_WIDTH = 50
_LABEL = 40
_STATISTICS = (("mean", "Mean"), ("p50", "Median"), ("p90", "P90"), ("p95", "P95"), ("p99", "P99"))
_SECTIONS = (
    ("ttft_ms", "TTFT", "Time to First Token"),
    ("tpot_ms", "TPOT", "Time per Output Token (excl. 1st token)"),
    ("itl_ms", "ITL", "Inter-token Latency"),
    ("latency_ms", "E2EL", "End-to-end Latency"),
    ("max_gap_ms", "Pause", "Longest Pause of a Request"),
    ("lateness_ms", "Lateness", "Client: Lateness of Sends"),
)
_BY_REQUEST = frozenset(metric.name for metric in METRICS if metric.weight == "request")
_COLUMNS = ("unit", "count", "mean", "std", "min", "p50", "p90", "p95", "p99", "p99_9", "max")


def result_block(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """The result as ``vllm bench serve`` prints it, line by line, with lines of ours between and after.

    Definitions are benchkit's, see docs/metrics.md. A percentile that the number of requests does not resolve
    has a star. The verdict stands at the end, with its reasons and remedies.

    Args:
        summary: summary.json.
        manifest: manifest.json; names the run in the last section.
    """
    whole = summary["windows"]["whole"]
    lines = [*_overview(summary, whole)]
    starred = False
    for name, short, title in _SECTIONS:
        section, has_star = _section(whole["metrics"][name], name, short, title)
        lines += section
        starred |= has_star
    if starred:
        lines.append("* not resolved by its sample")
    lines += _objectives(summary.get("slo") or ())
    lines += _verdict(summary["validity"], manifest)
    return "\n".join([_title("Serving Benchmark Result", "="), *lines, "=" * _WIDTH])


def summary_frame(summary: Mapping[str, Any]) -> pd.DataFrame:
    """The metrics of the whole window: one row a metric, its unit, count and statistics as columns."""
    metrics = summary["windows"]["whole"]["metrics"]
    rows = {name: {column: entry.get(column) for column in _COLUMNS} for name, entry in metrics.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(_COLUMNS))
    numbers = [column for column in _COLUMNS if column != "unit"]
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    return frame


def rates_frame(summary: Mapping[str, Any]) -> pd.DataFrame:
    """The rates of the whole window: one row a rate, its unit and value."""
    rates = summary["windows"]["whole"]["rates"]
    frame = pd.DataFrame.from_dict(rates, orient="index", columns=["unit", "value"])
    frame["value"] = pd.to_numeric(frame["value"])
    return frame


def metrics_html(summary: Mapping[str, Any]) -> str:
    """The metrics and rates of the whole window as HTML tables."""
    metrics = summary["windows"]["whole"]["metrics"]
    header = ["metric", *(column.replace("_", ".") for column in _COLUMNS)]
    rows = [
        [name, *(_cell(name, entry, column) for column in _COLUMNS)]
        for name, entry in metrics.items()
        if entry.get("count") or entry.get("mean") is not None
    ]
    rates = [
        [name, entry["unit"], _number(entry["value"])]
        for name, entry in summary["windows"]["whole"]["rates"].items()
        if entry["value"] is not None
    ]
    return _table(header, rows) + _table(["rate", "unit", "value"], rates)


def slo_html(summary: Mapping[str, Any]) -> str:
    """The objectives and what the run says of them, as an HTML table; empty without objectives."""
    rows = [
        [each["text"], each["verdict"], _quantity(each), _interval(each), each.get("note") or ""]
        for each in summary.get("slo") or ()
    ]
    return _table(["objective", "verdict", "value", "95 % interval", "note"], rows) if rows else ""


def verdict_html(summary: Mapping[str, Any]) -> str:
    """The verdict and its reasons as HTML."""
    validity = summary["validity"]
    rows = [
        [
            reason["level"],
            f"{reason['what']}: {_judged(reason)}",
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
    judged = verdict_html(summary) + slo_html(summary)
    shown = metrics_html(summary)
    limited = f"<h4>What this run does not show</h4>{limits_html(manifest, summary)}"
    return f'<section class="benchkit-result"><h3>{name}</h3>{judged}{shown}{limited}</section>'


def _overview(summary: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[str]:
    rates, totals, counts = whole["rates"], whole["totals"], summary["requests"]
    yield _line("Successful requests:", _whole(counts["ok"]))
    yield _line("Benchmark duration (s):", _fixed(whole["length_s"]))
    yield _line("Total input tokens:", _whole(totals["prompt_tokens"]))
    yield _line("Total generated tokens:", _whole(totals["output_tokens"]))
    yield _line("Request throughput (req/s):", _fixed(rates["requests_per_s"]["value"]))
    yield _line("Output token throughput (tok/s):", _fixed(rates["output_tokens_per_s"]["value"]))
    yield _line("Total token throughput (tok/s):", _fixed(rates["total_tokens_per_s"]["value"]))
    for name, label in (("failed", "Failed"), ("shed", "Shed"), ("incomplete", "Incomplete")):
        yield _line(f"{label} requests:", _whole(counts[name]))
    if counts["interrupted"]:
        yield _line("Interrupted requests:", str(counts["interrupted"]))
    for kind, count in counts["by_kind"].items():
        yield _line(f"  {kind}:", str(count))
    if rates["goodput_per_s"]["value"] is not None:
        yield _line("Request goodput (req/s):", _fixed(rates["goodput_per_s"]["value"]))
    yield _line("Mean requests in flight:", _fixed(whole["metrics"]["in_flight"]["mean"]))


def _section(entry: Mapping[str, Any], name: str, short: str, title: str) -> tuple[list[str], bool]:
    lines, starred = [_title(title, "-")], False
    stars = unresolved(entry["count"]) if name in _BY_REQUEST else ()
    statistics = _STATISTICS if name != "lateness_ms" else (*_STATISTICS, ("max", "Max"))
    if name == "max_gap_ms":
        statistics = (*_STATISTICS, ("max", "Longest"))
    for key, label in statistics:
        star = " *" if key in stars and entry[key] is not None else ""
        starred |= bool(star)
        lines.append(_line(f"{label} {short} (ms):", _fixed(entry[key]) + star))
    return lines, starred


def _objectives(slo: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if slo:
        yield _title("Objectives", "-")
    for each in slo:
        yield f"{each['text']}: {each['verdict']} ({_quantity(each)})"
        if each.get("note"):
            yield f"  {each['note']}"


def _verdict(validity: Mapping[str, Any], manifest: Mapping[str, Any]) -> Iterator[str]:
    yield _title("Can it be believed?", "-")
    yield _line("Verdict:", validity["verdict"])
    if manifest.get("name"):
        yield _line("Run:", _plain(str(manifest["name"])))
    said: set[str] = set()
    for reason in validity["reasons"]:
        yield f"{reason['level']}: {reason['what']}: {_judged(reason)}"
        yield f"  why: {reason['reason']}"
        if reason["remedy"] not in said:
            yield f"  do:  {reason['remedy']}"
            said.add(reason["remedy"])


def _judged(reason: Mapping[str, Any]) -> str:
    value, limit = (_with_unit(reason[key], reason["unit"]) for key in ("value", "threshold"))
    return f"{value} (limit {limit})"


def _quantity(each: Mapping[str, Any]) -> str:
    return "no value" if each["value"] is None else _with_unit(each["value"], each.get("unit", ""))


def _interval(each: Mapping[str, Any]) -> str:
    if not each.get("ci95"):
        return ""
    low, high = each["ci95"]
    return f"{_with_unit(low, each.get('unit', ''))} to {_with_unit(high, each.get('unit', ''))}"


def _with_unit(value: float, unit: str) -> str:
    if unit == "share":
        return f"{100 * value:.3g} %"
    return f"{value:.4g} {unit}".strip()


def _cell(name: str, entry: Mapping[str, Any], column: str) -> str:
    value = entry.get(column)
    if column in ("unit", "count"):
        return "" if value is None else str(value)
    star = name in _BY_REQUEST and column in unresolved(entry["count"])
    return _number(value) + (" *" if star else "")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _title(text: str, mark: str) -> str:
    return f" {text} ".center(_WIDTH, mark) if mark == "=" else text.center(_WIDTH, mark)


def _line(label: str, value: str) -> str:
    return f"{label:<{_LABEL}} {value:<10}".rstrip()


def _fixed(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _whole(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.0f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
