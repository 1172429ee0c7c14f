"""The handful of numbers at the top of a report, each with how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from benchkit.analysis.binomial import needed_for
from benchkit.report.amounts import NONE, amount
from benchkit.report.frames import RunLike, stored
from benchkit.report.precision import between, limits_of, measured
from benchkit.report.section import Section


def headline(run: RunLike) -> Section:
    """The handful of numbers that most people ask for first."""
    summary = stored(run).summary
    whole = summary["windows"]["whole"]
    metrics, rates, counts = whole["metrics"], whole["rates"], summary["requests"]
    begun = sum(int(counts[key] or 0) for key in ("ok", "shed", "failed", "incomplete", "interrupted"))
    cards = [
        (
            "requests ok",
            amount(counts["ok"]) if counts["ok"] is None else f"{counts['ok']:,}",
            f"of {begun:,} in the window",
        ),
        (
            "output tokens/s",
            _shown(rates["output_tokens_per_s"], "value"),
            f"{_between(rates['output_tokens_per_s'])}{_shown(rates['requests_per_s'], 'value')} requests/s",
        ),
        _card("time to first token", metrics["ttft_ms"]),
        _card(
            "time between tokens",
            metrics["itl_ms"] if metrics["itl_ms"]["mean"] is not None else metrics["chunk_gap_ms"],
        ),
        _card("longest pause", metrics["max_gap_ms"]),
        _card("latency", metrics["latency_ms"]),
    ]
    html = "".join(
        f'<div class="bk-card"><div class="bk-quiet">{escape(name)}</div>'
        f'<div class="bk-big">{escape(big)}</div><div class="bk-quiet">{escape(small)}</div></div>'
        for name, big, small in cards
    )
    return Section(
        f'<div class="bk-cards">{html}</div>',
        "\n".join(f"{name}: {big} ({small})" for name, big, small in cards),
    )


def _card(name: str, metric: Mapping[str, Any]) -> tuple[str, str, str]:
    """Median and p99 with their limits; where the p99 is not resolved, what is known of it."""
    if not metric.get("count"):
        return name, NONE, "not measured"
    median, tail = limits_of(metric, "p50"), limits_of(metric, "p99")
    about = f"median, {between(*median)}" if median else "median"
    if tail:
        about += f"; p99 {measured(metric['p99'], tail)} ms, {between(*tail)}"
    elif "notes" not in metric and metric["count"] >= needed_for(0.99):
        about += f"; p99 {amount(metric['p99'])} ms"
    else:
        about += f"; p99 not resolved, max {amount(metric['max'])} ms"
    return name, f"{_shown(metric, 'p50')} ms", about


def _between(entry: Mapping[str, Any]) -> str:
    limits = limits_of(entry)
    return "" if limits is None else f"{between(*limits)}; "


def _shown(entry: Mapping[str, Any], statistic: str) -> str:
    """A number with the digits that its interval leaves it."""
    limits = limits_of(entry, statistic)
    value = entry[statistic]
    return amount(value) if limits is None or value is None else measured(value, limits)
