"""Finds out which tool wrote a file, by its content, and reads it."""

from __future__ import annotations

from pathlib import Path

from benchkit.errors import ForeignFileError
from benchkit.records.interop import aiperf, guidellm, inference_perf, points_table, sglang, vllm
from benchkit.records.interop.documents import Node, read_json_or_lines
from benchkit.records.interop.imported_point import ImportedPoint

__all__ = ["is_foreign", "read"]

_KNOWN = (
    "results of vllm bench serve (JSON), GuideLLM (benchmarks.json), AIPerf and genai-perf (profile_export…), "
    "inference-perf (…_lifecycle_metrics.json), sglang.bench_serving (JSON lines), and points tables (CSV)"
)


def is_foreign(path: Path) -> bool:
    """Whether the path is one for ``read``: any file, or a folder of inference-perf's reports.

    What benchkit measured itself lies in folders with a manifest.
    """
    if path.is_dir():
        return not (path / "manifest.json").exists() and bool(inference_perf.stages(path))
    return path.is_file()


def read(path: Path) -> list[ImportedPoint]:
    """Give the measured loads of a file, in its order.

    Raises:
        ForeignFileError: The file is of no known kind, damaged, or of a version that is not read.
    """
    if path.is_dir():
        found = inference_perf.read_folder(path)
        if not found:
            raise ForeignFileError(f"{path} holds no result that benchkit reads; it reads {_KNOWN}")
        return found
    if path.suffix.lower() == ".csv":
        return points_table.read(path)
    return _read(read_json_or_lines(path), path)


def _read(nodes: list[Node], path: Path) -> list[ImportedPoint]:
    first = nodes[0]
    if len(nodes) == 1 and isinstance(first.value, list) and first.value:
        nodes = first.items()
        first = nodes[0]
    if sglang.recognises(first):
        return sglang.read(nodes, path)
    if aiperf.recognises(first):
        return aiperf.read(_only(nodes, path), path)
    if vllm.recognises(first):
        return vllm.read(nodes, path)
    if guidellm.recognises(first):
        return guidellm.read(_only(nodes, path), path)
    if aiperf.recognises_record(first):
        return aiperf.read_records(nodes, path)
    if inference_perf.recognises(first):
        return inference_perf.read(_only(nodes, path), path)
    keys = ", ".join(sorted(first.value)[:6]) if isinstance(first.value, dict) else type(first.value).__name__
    raise ForeignFileError(
        f"{path} is of no kind that benchkit knows (it begins with {keys[:200]}); it reads {_KNOWN}"
    )


def _only(nodes: list[Node], path: Path) -> Node:
    if len(nodes) > 1:
        raise ForeignFileError(
            f"{path} holds {len(nodes)} JSON values, and files of its kind hold one; split it"
        )
    return nodes[0]
