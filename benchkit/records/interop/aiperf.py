"""Reads AIPerf's and genai-perf's results: statistics (JSON) and records (JSON lines), alone or side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchkit.errors import ForeignFileError
from benchkit.records.interop.documents import Node, read_json, read_lines
from benchkit.records.interop.imported_point import ImportedPoint, ImportedRequests, Stated
from benchkit.records.interop.request_rows import (
    count_of,
    failure,
    failure_columns,
    iso_text,
    requests_table,
    to_ns,
    token_columns,
)
from benchkit.records.interop.stated import Statistics, in_flight, of_keys
from benchkit.records.kinds import Outcome, Phase

__all__ = ["read", "read_records", "recognises", "recognises_record"]

_STATISTICS_NAME = "profile_export_aiperf.json"
_RECORDS_NAME = "profile_export.jsonl"
_METRICS = {
    "time_to_first_token": ("ttft_ms",),
    "inter_token_latency": ("itl_ms", "tpot_ms"),
    "inter_chunk_latency": ("chunk_gap_ms",),
    "request_latency": ("latency_ms",),
}
_TO_MS = {"ms": 1.0, "sec": 1e3, "s": 1e3, "us": 1e-3, "ns": 1e-6}
_ITL = (
    "ITL is a request's average, (latency - TTFT) / (tokens - 1), each request with weight 1: pauses inside "
    "an answer are not seen."
)
_SPAN = "Rates are over the time from the first send to the last answer: ramp-up and drain are in them."
_CONNECT = "Times begin before the connection is made: connecting is inside TTFT and latency."
_CREDIT = "Scheduled times are those at which AIPerf released the request; late releases are not seen."
_NO_REQUESTS = (
    f"Statistics only ({_RECORDS_NAME} was not beside them): no interval can be given."  # one sentence
)


def recognises(node: Node) -> bool:
    """Whether an object is a summary of AIPerf or genai-perf."""
    value = node.value
    if not isinstance(value, dict) or not isinstance(value.get("request_throughput"), dict):
        return False
    return "request_latency" in value or "input_config" in value or "aiperf_version" in value


def recognises_record(node: Node) -> bool:
    """Whether an object is a line of AIPerf's records."""
    value = node.value
    return (
        isinstance(value, dict)
        and isinstance(value.get("metadata"), dict)
        and "request_start_ns" in value["metadata"]
    )


def read(node: Node, path: Path) -> list[ImportedPoint]:
    """Give the load of a summary; with its requests where the records lie beside it.

    Args:
        node: The whole summary.
        path: The file.

    Raises:
        ForeignFileError: A file is damaged.
    """
    records = path.with_name(_RECORDS_NAME)
    beside = path.name == _STATISTICS_NAME and records.is_file()
    return [_point(path.name, node, list(read_lines(records)) if beside else None)]


def read_records(nodes: list[Node], path: Path) -> list[ImportedPoint]:
    """Give the load of a file of records; with the stated statistics where these lie beside it.

    Args:
        nodes: The file's lines.
        path: The file.

    Raises:
        ForeignFileError: A file is damaged.
    """
    summary = path.with_name(_STATISTICS_NAME)
    beside = path.name == _RECORDS_NAME and summary.is_file()
    return [_point(path.name, read_json(summary) if beside else None, nodes)]


def _point(name: str, summary: Node | None, records: list[Node] | None) -> ImportedPoint:
    requests = None if records is None else _requests(records)
    told = Node(Path(name), "", {}) if summary is None else summary
    tool = "aiperf" if summary is None or told.get("aiperf_version") or records is not None else "genai-perf"
    notes = [_ITL, _SPAN, _CONNECT, _NO_REQUESTS if requests is None else _CREDIT]
    if told.get("was_cancelled").value is True:
        notes.append("The run was cancelled before its end.")
    return ImportedPoint(
        name=name,
        tool=tool,
        version=told.get("aiperf_version").text(),
        stated=_stated(told, has_requests=requests is not None),
        created=iso_text(told.get("start_time").text()),
        requests=requests,
        facts={"schema_version": told.get("schema_version").text()},
        notes=tuple(notes),
        **_setting(told.get("input_config")),
    )


def _stated(node: Node, *, has_requests: bool) -> Stated:
    ok = node.get("request_count", "avg").whole()
    failed = node.get("error_request_count", "avg").whole()
    if failed is None and node.get("error_summary").value is not None:
        failed = sum(each.get("count").whole() or 0 for each in node.get("error_summary").items())
    rate, lasted = node.get("request_throughput", "avg").number(), _ms(node.get("benchmark_duration"))
    metrics: dict[str, Statistics] = {}
    for theirs, all_ours in _METRICS.items():
        entry = node.get(theirs)
        if entry:
            metrics |= {ours: of_keys(entry, _factor(entry)) for ours in all_ours}
    # Rates are over a time a little longer than the stated duration, which ends with the last answer.
    length_s = ok / rate if ok and rate else lasted and lasted / 1e3
    if not has_requests:
        metrics |= in_flight(ok, failed or 0, metrics.get("latency_ms", {}).get("mean"), length_s)
    return Stated(
        metrics=metrics,
        rates={
            "requests_per_s": rate,
            "output_tokens_per_s": node.get("output_token_throughput", "avg").number(),
            "total_tokens_per_s": node.get("total_token_throughput", "avg").number(),
            "goodput_per_s": node.get("goodput", "avg").number(),
        },
        counts={"ok": ok, "failed": failed},
        prompt_tokens=node.get("total_isl", "avg").number(),
        output_tokens=node.get("total_osl", "avg").number(),
        length_s=length_s,
    )


def _factor(entry: Node) -> float:
    unit = entry.get("unit").text() or "ms"
    if unit not in _TO_MS:
        raise entry.error(f"{entry.where} is in {unit!r}, no unit of time that is known", "export it in ms")
    return _TO_MS[unit]


def _ms(entry: Node) -> float | None:
    value = entry.get("avg").number()
    return None if value is None else value * _factor(entry)


def _setting(config: Node) -> dict[str, Any]:
    """Load, rate, concurrency, model and address, in whichever of three layouts they stand."""
    if not isinstance(config.value, dict):
        return {}
    told: dict[str, Any] = {}
    for phase in _of_list(config.get("phases")):
        if phase.get("kind").text() in ("", "profiling"):
            told |= _load(phase.get("type").text(), phase)
    for place in (config.get("loadgen"), config.get("perf_analyzer", "stimulus")):
        if isinstance(place.value, dict):
            told |= _load(place.get("request_rate_mode").text(), place)
    endpoint = config.get("endpoint")
    models = [item.get("name").text() for item in _of_list(config.get("models", "items"))] or [
        each.text() for each in _of_list(endpoint.get("model_names")) + _of_list(config.get("model_names"))
    ]
    urls = [each.text() for each in _of_list(endpoint.get("urls"))] or [endpoint.get("url").text()]
    return {"model": models[0] if models else "", "url": urls[0], **told}


def _load(kind: str, node: Node) -> dict[str, Any]:
    rate = node.get("rate").number() or node.get("request_rate").number()
    streams = node.get("concurrency").whole()
    if rate:
        load = next((name for name in ("constant", "poisson", "gamma") if name in kind), "")
        return {"load": load, "rate": rate}
    if streams:
        return {"load": "synchronous" if streams == 1 else "concurrent", "concurrency": streams}
    return {}


def _of_list(node: Node) -> list[Node]:
    return node.items() if isinstance(node.value, list) else []


def _requests(records: list[Node]) -> ImportedRequests:
    measured = [each for each in records if _phase(each) is Phase.WINDOW]
    starts = [start for each in measured if (start := _stamp(each, "request_start_ns")) is not None]
    if not starts:
        raise ForeignFileError(
            f"{records[0].file}: no record of the phase 'profiling' has a time; was the run broken off?"
        )
    origin = min(starts)
    rows = sorted((_row(each, origin) for each in records), key=lambda row: row["sent_ns"] or 0)
    ends = [row["end_ns"] for row in rows if row["phase"] == Phase.WINDOW and row["end_ns"] is not None]
    # The last answer lies in the window, whose end does not belong to it.
    return ImportedRequests(requests_table(rows), max(ends, default=0) + 1, origin)


def _phase(record: Node) -> Phase:
    return Phase.WARMUP if record.get("metadata", "benchmark_phase").text() == "warmup" else Phase.WINDOW


def _stamp(record: Node, name: str) -> int | None:
    """An epoch time, in whole ns: a float would lose the last 200 of them."""
    node = record.get("metadata", name)
    value = node.value
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**62:
        raise node.error(f"{node.where} is no time in ns since 1970", "the file is damaged")
    return value


def _row(record: Node, origin: int) -> dict[str, Any]:
    def at(name: str) -> int | None:
        time = _stamp(record, name)
        return None if time is None else time - origin

    sent = at("request_start_ns")
    row: dict[str, Any] = {
        "phase": str(_phase(record)),
        "turn": count_of(record.get("metadata", "turn_index").number()) or 0,
        "scheduled_ns": at("credit_issued_ns"),
        "sent_ns": sent,
        "end_ns": at("request_end_ns"),
        "prompt_tokens": count_of(_value(record, "input_sequence_length").number()),
        "output_tokens": count_of(_value(record, "output_sequence_length").number()),
        "reasoning_tokens": count_of(_value(record, "reasoning_token_count").number()),
    }
    if record.get("metadata", "was_cancelled").value is True:
        return row | {"outcome": str(Outcome.INTERRUPTED)}
    if record.get("error"):
        error = record.get("error")
        text = error.get("message").text() or error.get("type").text()
        return row | failure_columns(failure(text, error.get("code").whole()), text)
    latency = _ms_of(record, "request_latency")
    lasted = None if latency is None else to_ns(latency / 1e3)
    if sent is not None and lasted is not None:
        row["end_ns"] = sent + lasted
    return row | {"outcome": str(Outcome.OK)} | dict(_events(record, sent, row["output_tokens"]))


def _events(record: Node, sent: int | None, tokens: int | None) -> Iterator[tuple[str, Any]]:
    first = _ms_of(record, "time_to_first_token")
    if sent is None or first is None:
        return
    gaps = _value(record, "inter_chunk_latency")
    at = sent / 1e9 + first / 1e3
    if gaps:
        scale = _TO_MS.get(record.get("metrics", "inter_chunk_latency", "unit").text() or "ms", 1.0)
        yield from token_columns(at, gaps.numbers() * scale / 1e3, tokens).items()
    elif tokens == 1:
        yield from token_columns(at, np.empty(0), tokens).items()
    else:
        yield "first_token_ns", to_ns(at)


def _value(record: Node, name: str) -> Node:
    return record.get("metrics", name, "value")


def _ms_of(record: Node, name: str) -> float | None:
    value = _value(record, name).number()
    return None if value is None else value * _factor(record.get("metrics", name))
