"""A run's key numbers as two small tables: rates, and times with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from benchkit.report.amounts import NONE
from benchkit.report.markdown_text import table
from benchkit.report.precision import between, doubt, limits_of, measured
from benchkit.report.rows import Rows
from benchkit.report.tables import interval, quantity

_TIMES: Final = {
    "ttft_ms": "time to first token",
    "itl_ms": "time between tokens",
    "chunk_gap_ms": "gap between pieces of an answer",
    "max_gap_ms": "longest pause of an answer",
    "tpot_ms": "time per output token",
    "latency_ms": "whole answer",
    "lateness_ms": "the client's own lateness",
}
_STATISTICS: Final = ("mean", "p50", "p95", "p99")
_RATES: Final = {
    "requests_per_s": "requests/s answered",
    "offered_per_s": "requests/s offered",
    "output_tokens_per_s": "output tokens/s",
    "total_tokens_per_s": "tokens/s, in and out",
    "goodput_per_s": "requests/s within the objectives",
}
_DESCRIPTIVE: Final = ("lateness_ms",)


def numbers(summary: Mapping[str, Any]) -> Iterator[str]:
    """Counts, rates and times, each estimate with its 95 % interval in brackets."""
    counts = summary["requests"]
    told = [f"{counts[name]:,} {name}" for name in counts if isinstance(counts[name], int) and counts[name]]
    yield f"Requests: {', '.join(told) or 'none'}. In brackets: 95 % intervals; a star: not resolved by this run."
    yield ""
    whole = summary["windows"]["whole"]
    rates = [
        (label, _cell(whole["rates"][name], "value"))
        for name, label in _RATES.items()
        if whole["rates"].get(name, {}).get("value") is not None
    ]
    yield from table(Rows(("rate", "value"), rates), right=(1,))
    known = [name for name in _TIMES if whole["metrics"].get(name, {}).get("mean") is not None]
    if "itl_ms" in known:
        # With times of single tokens, those of pieces say the same or less.
        known = [name for name in known if name != "chunk_gap_ms"]
    times = [
        (_TIMES[name], *(_time(name, whole["metrics"][name], statistic) for statistic in _STATISTICS))
        for name in known
    ]
    yield from table(Rows(("ms", *_STATISTICS), times), right=range(1, len(_STATISTICS) + 1))


def objectives(summary: Mapping[str, Any]) -> Iterator[str]:
    """The objectives and what the run says of them; nothing where none were asked for."""
    asked = summary.get("slo") or []
    if not asked:
        return
    rows = [
        (each["text"], each["verdict"], quantity(each), interval(each), each.get("note") or "")
        for each in asked
    ]
    yield from table(Rows(("objective", "verdict", "value", "95 % interval", "note"), rows), right=(2, 3))


def _time(name: str, entry: Mapping[str, Any], statistic: str) -> str:
    if name in _DESCRIPTIVE:
        return NONE if entry.get(statistic) is None else measured(entry[statistic], None)
    star = " *" if doubt(name, entry, statistic) else ""
    return _cell(entry, statistic) + star


def _cell(entry: Mapping[str, Any], statistic: str) -> str:
    value = entry.get(statistic)
    if value is None:
        return NONE
    found = limits_of(entry, "" if statistic == "value" else statistic)
    return measured(value, found) + (f" ({between(*found)})" if found else "")
