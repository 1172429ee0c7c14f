"""Reads the results of ``sglang.bench_serving``: JSON lines, one a run."""

from __future__ import annotations

from pathlib import Path

from benchkit.records.interop import flat
from benchkit.records.interop.documents import Node
from benchkit.records.interop.imported_point import ImportedPoint, Stated

__all__ = ["read", "recognises"]

_METRICS = {
    "ttft": ("ttft_ms",),
    "tpot": ("tpot_ms",),
    "itl": ("itl_ms",),
    "e2e_latency": ("latency_ms",),
}
_TOLD = frozenset(
    {"request_rate", "max_concurrency", "duration", "completed", "total_input_tokens", "total_output_tokens"}
    | {"request_throughput", "output_throughput", "total_throughput", "concurrency"}
)
_NOTES = (
    "No times of sends: nothing over time, and no interval can be given.",
    "ITL is SGLang's: in its newer versions a gap shared out among the tokens of its event.",
    "Rates are over the whole run: ramp-up and the wait for the last answers are in them.",
)


def recognises(node: Node) -> bool:
    """Whether an object is a result of SGLang's benchmark."""
    keys = node.value.keys() if isinstance(node.value, dict) else ()
    return "request_throughput" in keys and (
        "mean_e2e_latency_ms" in keys or "total_output_tokens_retokenized" in keys
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
    found = flat.arrays(node)
    metrics = flat.metrics(node, _METRICS, found)
    flight = node.get("concurrency").number()
    if flight is not None:
        metrics["in_flight"] = {"mean": flight}
    ok = node.need("completed").whole()
    failed = None if found is None or ok is None else found.size - ok
    return ImportedPoint(
        name=name,
        tool="sglang bench",
        stated=Stated(
            metrics=metrics,
            rates={
                "requests_per_s": node.need("request_throughput").number(),
                "output_tokens_per_s": node.get("output_throughput").number(),
                "total_tokens_per_s": node.get("total_throughput").number(),
            },
            counts={"ok": ok, "failed": failed},
            prompt_tokens=node.get("total_input_tokens").number(),
            output_tokens=node.get("total_output_tokens").number(),
            length_s=node.need("duration").number(),
        ),
        model=node.get("server_info", "model_path").text()
        if isinstance(node.get("server_info").value, dict)
        else "",
        facts=flat.facts(node, _TOLD),
        notes=_NOTES,
        **flat.load_of(node),
    )
