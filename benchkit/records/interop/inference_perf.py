"""Reads inference-perf's lifecycle reports: one file a stage, a folder of stages, or the summary of all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchkit.records.interop.documents import Node, read_json
from benchkit.records.interop.imported_point import ImportedPoint, Stated
from benchkit.records.interop.stated import Statistics, in_flight, of_keys

__all__ = ["read", "read_folder", "recognises", "stages"]

_STAGE = re.compile(r"stage_(\d+)_lifecycle_metrics\.json")
_SUMMARY = "summary_lifecycle_metrics.json"
_METRICS = {
    "time_to_first_token": "ttft_ms",
    "time_per_output_token": "tpot_ms",
    "inter_token_latency": "itl_ms",
    "request_latency": "latency_ms",
    "normalized_time_per_output_token": "normalized_latency_ms",
}
_NOTES = (
    "Statistics only: no interval can be given.",
    "ITL is between tokens: those that came in one event count as gaps of 0.",
    "Rates are over the time from the first send to the last answer: ramp-up and drain are in them.",
)
_ALL_STAGES = "All stages together, whatever their loads: it is no one load; import the files of the stages."


def recognises(node: Node) -> bool:
    """Whether an object is a lifecycle report."""
    value = node.value
    return isinstance(value, dict) and {"load_summary", "successes", "failures"} <= value.keys()


def stages(folder: Path) -> list[Path]:
    """The files of a folder that are stages, in order; else its summary, if there is one; else none."""
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _STAGE.search(path.name))]
    if found:
        return [path for _, path in sorted(found)]
    return [path for path in folder.iterdir() if path.name == _SUMMARY]


def read_folder(folder: Path) -> list[ImportedPoint]:
    """Give the loads of a folder of reports.

    Raises:
        ForeignFileError: A file of it is damaged.
    """
    return [point for path in stages(folder) for point in read(read_json(path), path)]


def read(node: Node, path: Path) -> list[ImportedPoint]:
    """Give the load of one report.

    Args:
        node: The whole report.
        path: The file, for the name.

    Raises:
        ForeignFileError: The report is damaged.
    """
    good, load = node.need("successes"), node.need("load_summary")
    ok, failed = good.need("count").whole(), node.get("failures", "count").whole()
    length = node.get("benchmark_time_seconds").number() or None
    metrics: dict[str, Statistics] = {
        ours: of_keys(good.get("latency", theirs), 1e3)
        for theirs, ours in _METRICS.items()
        if good.get("latency", theirs)
    }
    if load.get("schedule_delay"):
        metrics["lateness_ms"] = of_keys(load.get("schedule_delay"), 1e3)
    metrics |= in_flight(ok, failed, metrics.get("latency_ms", {}).get("mean"), length)
    through = good.get("throughput")
    return [
        ImportedPoint(
            name=path.name,
            tool="inference-perf",
            stated=Stated(
                metrics=metrics,
                rates={
                    "requests_per_s": through.get("requests_per_sec").number(),
                    "output_tokens_per_s": through.get("output_tokens_per_sec").number(),
                    "total_tokens_per_s": through.get("total_tokens_per_sec").number(),
                    "goodput_per_s": good.get("goodput_metrics", "request_goodput").number(),
                },
                counts={"ok": ok, "failed": failed},
                prompt_tokens=good.get("prompt_tokens", "total").number(),
                output_tokens=good.get("output_tokens", "total").number(),
                length_s=length,
            ),
            facts={"achieved_rate": load.get("achieved_rate").number()},
            notes=_NOTES if load.get("requested_rate") else (*_NOTES, _ALL_STAGES),
            **_load(load),
        )
    ]


def _load(load: Node) -> dict[str, Any]:
    streams = load.get("concurrency").whole()
    if streams:
        return {"load": "synchronous" if streams == 1 else "concurrent", "concurrency": streams}
    # Whether arrivals were constant or Poisson stands in the configuration only.
    return {"rate": load.get("requested_rate").number()}
