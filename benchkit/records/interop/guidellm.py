"""Reads GuideLLM's ``benchmarks.json``, version 2 of its format (GuideLLM 0.7 and later)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchkit.records.interop.documents import Node
from benchkit.records.interop.imported_point import ImportedPoint, ImportedRequests, Stated
from benchkit.records.interop.request_rows import (
    count_of,
    failure,
    failure_columns,
    requests_table,
    to_ns,
    utc_text,
)
from benchkit.records.interop.stated import Statistics, of_keys
from benchkit.records.kinds import Outcome, TokenSource

__all__ = ["read", "recognises"]

_VERSION = 2
_EPOCH_S = 1e9
"""Earlier times are no times since 1970; GuideLLM writes such ones for requests without a schedule."""
_METRICS = {
    "time_to_first_token_ms": ("ttft_ms", 1.0),
    "inter_token_latency_ms": ("itl_ms", 1.0),
    "request_latency": ("latency_ms", 1e3),
    "request_scheduled_latency": ("latency_from_schedule_ms", 1e3),
    "request_dispatch_delay": ("lateness_ms", 1e3),
}
_LOADS = {"synchronous": "synchronous", "concurrent": "concurrent", "throughput": "throughput"}
_OPEN = {"constant": "constant", "poisson": "poisson", "async": "constant"}
_NOTES = (
    "ITL is a request's average, (last - first token) / (tokens - 1): no pause inside an answer is seen.",
    "No event has a time of its own: nothing about gaps between events.",
    "GuideLLM's TPOT has the wait for the first token in it and is left out.",
    "Rates are over GuideLLM's measured window, by its own rule for the edges; percentiles are not interpolated.",
)


def recognises(node: Node) -> bool:
    """Whether an object is a report of GuideLLM, of any version."""
    value = node.value
    return (
        isinstance(value, dict)
        and isinstance(value.get("benchmarks"), list)
        and "request_throughput" not in value
    )


def read(node: Node, path: Path) -> list[ImportedPoint]:
    """Give the report's benchmarks, in its order.

    Args:
        node: The whole report.
        path: The file, for the names.

    Raises:
        ForeignFileError: The report is of another version, damaged, or without a benchmark.
    """
    found = node.get("metadata", "version").value
    if found != _VERSION:
        told = "an early version" if found is None else f"version {str(found)[:20]}"
        raise node.error(
            f"it is GuideLLM's format of {told}, and version {_VERSION} is read",
            "measure again with GuideLLM 0.7 or later, or write the numbers into a points table (docs/interop.md)",
        )
    benchmarks = node.need("benchmarks").items()
    if not benchmarks:
        raise node.error("it holds no benchmark", "was the run broken off before its first one ended?")
    single = len(benchmarks) == 1
    version = node.get("metadata", "guidellm_version").text()
    return [
        _point(each, path.name if single else f"{path.name}#{at}", version)
        for at, each in enumerate(benchmarks, start=1)
    ]


def _point(node: Node, name: str, version: str) -> ImportedPoint:
    metrics = node.need("metrics")
    counts = {
        "ok": metrics.need("request_totals", "successful").whole(),
        "failed": metrics.get("request_totals", "errored").whole(),
        "incomplete": metrics.get("request_totals", "incomplete").whole(),
    }
    start, length = node.need("start_time").number(), node.need("duration").number()
    listed = {kind: node.get("requests", kind).items() for kind in ("successful", "errored", "incomplete")}
    complete = [len(each) for each in listed.values()] == [
        counts["ok"],
        counts["failed"] or 0,
        counts["incomplete"] or 0,
    ]
    requests = None
    if complete and start is not None and length and counts["ok"]:
        requests = _requests(listed, start, length)
    strategy = node.get("config", "strategy")
    kind = strategy.get("type_").text()
    backend = node.get("config", "backend")
    return ImportedPoint(
        name=name,
        tool="guidellm",
        version=version,
        stated=Stated(
            metrics=_statistics(metrics),
            rates=dict(_rates(metrics)),
            counts=counts,
            prompt_tokens=metrics.get("prompt_token_count", "successful", "total_sum").number(),
            output_tokens=metrics.get("output_token_count", "successful", "total_sum").number(),
            length_s=length,
        ),
        load=_LOADS.get(kind) or _OPEN.get(kind, ""),
        rate=strategy.get("rate").number() if kind in _OPEN else None,
        concurrency=_streams(strategy, kind),
        model=backend.get("model").text(),
        url=backend.get("target").text(),
        created=utc_text(start),
        requests=requests,
        facts={"strategy": kind, "warmup_duration": node.get("warmup_duration").number()},
        notes=(*_NOTES, *_missing(listed, counts["ok"], has_requests=requests is not None)),
    )


def _streams(strategy: Node, kind: str) -> int | None:
    if kind == "synchronous":
        return 1
    if kind == "concurrent":
        return strategy.get("streams").whole()
    return strategy.get("max_concurrency").whole() if kind == "throughput" else None


def _statistics(metrics: Node) -> dict[str, Statistics]:
    found = {
        ours: of_keys(flattened, factor)
        for theirs, (ours, factor) in _METRICS.items()
        if (flattened := _flat(metrics.get(theirs, "successful"))).get("count").number()
    }
    flight = _flat(metrics.get("request_concurrency", "total"))
    if flight.get("mean").number() is not None:
        found["in_flight"] = of_keys(flight) | {"count": None}
    return found


def _flat(node: Node) -> Node:
    """The statistics with their percentiles beside them."""
    return Node(node.file, node.where, {**node.mapping(), **node.get("percentiles").mapping()})


def _rates(metrics: Node) -> Iterator[tuple[str, float | None]]:
    for theirs, ours in (
        ("requests_per_second", "requests_per_s"),
        ("output_tokens_per_second", "output_tokens_per_s"),
        ("tokens_per_second", "total_tokens_per_s"),
    ):
        yield ours, metrics.get(theirs, "successful", "mean").number()
    if metrics.get("slo_determined_requests").number():
        yield "goodput_per_s", metrics.get("request_goodput", "successful", "mean").number()


def _requests(listed: dict[str, list[Node]], start: float, length_s: float) -> ImportedRequests:
    rows = [_row(request, kind, start) for kind, requests in listed.items() for request in requests]
    rows.sort(key=lambda row: (row["sent_ns"] is None, row["sent_ns"] or 0))
    return ImportedRequests(requests_table(rows), to_ns(length_s) or 0, to_ns(start))


def _row(request: Node, kind: str, start: float) -> dict[str, Any]:
    timings = request.get("info", "timings")

    def at(name: str) -> int | None:
        time = timings.get(name).number()
        return to_ns(time - start) if time is not None and time >= _EPOCH_S else None

    row = {
        "scheduled_ns": at("targeted_start"),
        "sent_ns": at("request_start"),
        "first_token_ns": at("first_token_iteration"),
        "last_token_ns": at("last_token_iteration"),
        "end_ns": at("request_end") if kind != "incomplete" else at("resolve_end"),
        "prompt_tokens": count_of(request.get("prompt_tokens").number()),
        "cached_tokens": count_of(request.get("cached_tokens").number()),
        "output_tokens": count_of(request.get("output_tokens").number()),
        "turn": count_of(request.get("info", "turn_index").number()) or 0,
    }
    if kind == "successful":
        return row | {"outcome": str(Outcome.OK), "token_source": str(TokenSource.FINAL_USAGE_DIFFERS)}
    if kind == "incomplete":
        return row | {"outcome": str(Outcome.INCOMPLETE)}
    text = request.get("info", "error").text()
    return row | failure_columns(failure(text), text)


def _missing(listed: dict[str, list[Node]], ok: int | None, *, has_requests: bool) -> Iterator[str]:
    if has_requests:
        return
    some = len(listed["successful"])
    if some:
        yield (
            f"The file lists {some} of {ok} requests: its statistics are taken as stated, "
            "and no interval can be given."
        )
    else:
        yield "The file lists no requests: its statistics are taken as stated, and no interval can be given."
