"""Reads the results of ``vllm bench serve``: with details or without, one object or one a line, either client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchkit.records.interop import flat
from benchkit.records.interop.documents import Node
from benchkit.records.interop.flat import Arrays
from benchkit.records.interop.imported_point import ImportedPoint, ImportedRequests, Stated
from benchkit.records.interop.request_rows import (
    count_of,
    failure,
    failure_columns,
    requests_table,
    to_ns,
    token_columns,
)
from benchkit.records.interop.stated import Statistics, described, in_flight
from benchkit.records.kinds import ErrorKind, Outcome

__all__ = ["read", "recognises"]

_METRICS = {
    "ttft": ("ttft_ms",),
    "tpot": ("tpot_ms",),
    "itl": ("itl_ms", "chunk_gap_ms"),
    "e2el": ("latency_ms",),
    "e2el_including_client_queue": ("latency_from_schedule_ms",),
}
_TOLD = frozenset(
    {"model_id", "request_rate", "burstiness", "max_concurrency", "duration", "completed", "failed", "rtfx"}
    | {"total_input_tokens", "total_output_tokens", "request_throughput", "output_throughput"}
    | {"total_token_throughput", "request_goodput"}
)
_SCHEDULING_S = 1e-3
"""A shorter time in the client's queue is its event loop's, not a wait at its cap."""
_ITL = (
    "ITL is vLLM's: gaps between events, each of weight 1; events of role and finish add samples, and events "
    "of several tokens count once."
)
_DURATION = "Rates are over the whole run: ramp-up and the wait for the last answers are in them."
_CONNECT = "Times begin before the connection is made: connecting is inside TTFT and latency."


def recognises(node: Node) -> bool:
    """Whether an object is a result of vLLM's benchmark."""
    keys = node.value.keys() if isinstance(node.value, dict) else ()
    return (
        "request_throughput" in keys and "completed" in keys and ("model_id" in keys or "num_prompts" in keys)
    )


def read(nodes: list[Node], path: Path) -> list[ImportedPoint]:
    """Give the loads of a file.

    Args:
        nodes: Its objects, one a run.
        path: The file, for the names.

    Raises:
        ForeignFileError: A run lacks what every version has, or is damaged.
    """
    return [_point(node, name) for node, name in zip(nodes, flat.names(nodes, path), strict=True)]


def _point(node: Node, name: str) -> ImportedPoint:
    if "input_sequence_throughput" in node.mapping():
        raise node.error(
            "its requests are for embeddings, not for text", "only results of generation can be imported"
        )
    found = flat.arrays(node)
    metrics = flat.metrics(node, _METRICS, found)
    ok, failed = node.need("completed").whole(), node.get("failed").whole()
    length = node.need("duration").number()
    timed = found is not None and found.start_s.size > 0 and found.latency_s.size > 0 and bool(length)
    if found is None and not failed and node.get("latencies"):
        # Failed requests would stand among them, as zeros.
        latencies_ms = node.get("latencies").numbers() * 1e3
        metrics["latency_ms"] = described(latencies_ms, metrics.get("latency_ms", {}))
    if not timed:
        metrics |= in_flight(ok, failed, metrics.get("latency_ms", {}).get("mean"), length)
    load = flat.load_of(node)
    return ImportedPoint(
        name=name,
        tool="vllm bench",
        stated=_stated(node, metrics, ok, failed),
        model=node.get("model_id").text(),
        requests=_requests(found, node, length) if found is not None and timed and length else None,
        facts=flat.facts(node, _TOLD) | _steady(node),
        # A wait at the client's cap hides its lateness.
        not_measured=frozenset({"lateness_ms"} if node.get("max_concurrency") else ()),
        notes=tuple(_notes(node, found, timed=timed)),
        **load,
    )


def _stated(node: Node, metrics: Mapping[str, Statistics], ok: int | None, failed: int | None) -> Stated:
    return Stated(
        metrics=metrics,
        rates={
            "requests_per_s": node.need("request_throughput").number(),
            "output_tokens_per_s": node.get("output_throughput").number(),
            "total_tokens_per_s": node.get("total_token_throughput").number(),
            "goodput_per_s": node.get("request_goodput").number(),
        },
        counts={"ok": ok, "failed": failed},
        prompt_tokens=node.get("total_input_tokens").number(),
        output_tokens=node.get("total_output_tokens").number(),
        length_s=node.get("duration").number(),
    )


def _requests(found: Arrays, node: Node, length_s: float) -> ImportedRequests:
    # A request that failed before it was sent has the start 0.
    sent = found.start_s > 0
    released = found.start_s - np.nan_to_num(found.queue_s) if found.queue_s.size else found.start_s
    origin = float(released[sent].min()) if sent.any() else 0.0
    capped = bool(node.get("max_concurrency"))
    rows = [_row(found, at, origin, capped=capped) for at in range(found.size)]
    ends = [row["end_ns"] for row in rows if row.get("end_ns") is not None]
    # The duration is measured from a little before the first request, and to a little after the last answer.
    end_ns = max(to_ns(length_s) or 0, max(ends, default=0) + 1)
    return ImportedRequests(requests_table(rows), end_ns)


def _row(found: Arrays, at: int, origin: float, *, capped: bool) -> dict[str, Any]:
    start = float(found.start_s[at]) - origin if found.start_s[at] > 0 else None
    queued = float(found.queue_s[at]) if found.queue_s.size else None
    tokens = count_of(found.output_tokens[at])
    row: dict[str, Any] = {
        "sent_ns": to_ns(start),
        "prompt_tokens": count_of(found.input_tokens[at]) if found.input_tokens.size else None,
    }
    if start is None:
        return row | _outcome(found, at)
    if queued is not None and np.isfinite(queued):
        held = capped and queued > _SCHEDULING_S
        row |= {"scheduled_ns": to_ns(start - queued), "waited_ns": to_ns(queued) if held else 0}
    latency = float(found.latency_s[at])
    if found.ok[at]:
        first = start + float(found.ttft_s[at])
        row |= token_columns(first, found.gaps_s[at] if found.gaps_s else np.empty(0), tokens)
        return row | {"outcome": str(Outcome.OK), "output_tokens": tokens, "end_ns": to_ns(start + latency)}
    return row | _outcome(found, at) | {"end_ns": to_ns(start + latency) if latency > 0 else None}


def _outcome(found: Arrays, at: int) -> dict[str, Any]:
    if found.errors[at]:
        return failure_columns(failure(found.errors[at]), found.errors[at])
    return {"outcome": str(Outcome.FAILED), "error_kind": str(ErrorKind.EMPTY)}


def _steady(node: Node) -> dict[str, Any]:
    """What the Rust client says of the time when its load was steady."""
    steady = node.get("steady_state")
    if not isinstance(steady.value, dict):
        return {}
    return {
        "steady_state": {key: steady.get(key).number() for key in steady.value if _is_number(steady.get(key))}
    }


def _is_number(node: Node) -> bool:
    return isinstance(node.value, int | float) and not isinstance(node.value, bool)


def _notes(node: Node, found: Arrays | None, *, timed: bool) -> list[str]:
    notes = [_ITL, _DURATION, _CONNECT]
    if found is None:
        notes.append(
            "No requests, only statistics (saved without --save-detailed): no interval can be given."
        )
    elif not timed:
        notes.append("Requests without the times of their sends: statistics only, nothing over time.")
    if node.get("ramp_up_strategy"):
        notes.append("The rate was ramped up during the run: it is no one load.")
    if node.get("mode").text() == "multi_turn":
        notes.append("Conversations of several turns: their turns are counted as requests.")
    return notes
