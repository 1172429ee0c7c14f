"""What lies in a folder of results: runs and sweeps, their verdicts, key numbers, and parameters that differ."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchkit.errors import BenchkitError, RunActive
from benchkit.experiments.recover import recover
from benchkit.records import processes, store, sweeps
from benchkit.report.amounts import NONE, amount
from benchkit.report.precision import limits_of, measured

_NOT_TOLD = {"out", "name", "seed", "resume"}
_MOST_TOLD = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """A run or a sweep."""

    path: Path
    is_sweep: bool
    created: str
    """UTC, to the minute."""
    status: str
    verdict: str
    """Of a finished run; empty else."""
    numbers: Mapping[str, str]
    """Requests/s, output tokens/s, TTFT and time between tokens in ms, in words."""
    parameters: Mapping[str, Any]
    differing: Mapping[str, Any] = field(default_factory=dict)
    """Those of its parameters in which the listed runs differ."""

    @property
    def told(self) -> str:
        """The differing parameters in words."""
        told = [f"{name} {_short(value)}" for name, value in self.differing.items()]
        more = f" and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
        return ", ".join(told[:_MOST_TOLD]) + more


def listing(out: Path) -> list[Entry]:
    """Everything in a folder of results, the newest first; what is damaged is passed over."""
    entries = []
    for folder in [*(run.path for run in store.list_runs(out)), *sweeps.list_sweeps(out)]:
        with contextlib.suppress(BenchkitError, OSError, ValueError, KeyError):
            entries.append(_sweep(folder) if sweeps.is_sweep(folder) else _run(folder))
    entries.sort(key=lambda entry: entry.path.name, reverse=True)
    return _with_differences(entries)


def recover_all(out: Path) -> list[Path]:
    """Finishes runs that were killed and that nobody works on; gives those that it finished."""
    done = []
    for run in store.list_runs(out):
        with contextlib.suppress(BenchkitError, OSError, ValueError):
            if run.read_manifest()["status"] == "running" and not processes.is_running(run.path):
                recover(run.path)
                done.append(run.path)
    return done


def delete(entry: Entry) -> None:
    """Removes a run or a sweep with everything in it.

    Raises:
        RunActive: a process still works on it.
    """
    if processes.is_running(entry.path):
        raise RunActive(f"{entry.path.name} is still worked on: stop it first")
    shutil.rmtree(entry.path)


def _run(folder: Path) -> Entry:
    manifest = store.RunFolder(folder).read_manifest()
    summary: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        summary = json.loads((folder / store.SUMMARY_NAME).read_text(encoding="utf-8"))
    return Entry(
        path=folder,
        is_sweep=False,
        created=str(manifest["created"])[:16].replace("T", " "),
        status=str(manifest["status"]),
        verdict=str((summary.get("validity") or {}).get("verdict", "")),
        numbers=_numbers(summary) if summary else {},
        parameters=manifest["parameters"],
    )


def _sweep(folder: Path) -> Entry:
    told = sweeps.read(folder)
    done = sum(point["status"] == "complete" for point in told["points"])
    return Entry(
        path=folder,
        is_sweep=True,
        created=str(told["created"])[:16].replace("T", " "),
        status=str(told["status"]),
        verdict="",
        numbers={"points": f"{done} loads"},
        parameters=told["parameters"],
    )


def _numbers(summary: Mapping[str, Any]) -> dict[str, str]:
    whole = summary["windows"]["whole"]
    metrics, rates = whole["metrics"], whole["rates"]
    gap = "itl_ms" if metrics["itl_ms"]["mean"] is not None else "chunk_gap_ms"
    return {
        "requests/s": _number(rates["requests_per_s"], "value"),
        "tokens/s": _number(rates["output_tokens_per_s"], "value"),
        "TTFT p50": _number(metrics["ttft_ms"], "p50"),
        "TTFT p95": _number(metrics["ttft_ms"], "p95"),
        "ITL mean": _number(metrics[gap], "mean"),
    }


def _number(entry: Mapping[str, Any], statistic: str) -> str:
    value = entry.get(statistic)
    if value is None:
        return NONE
    limits = limits_of(entry, statistic) if statistic != "value" else limits_of(entry)
    return measured(value, limits) if limits else amount(value)


def _with_differences(entries: Sequence[Entry]) -> list[Entry]:
    names = sorted({name for entry in entries for name in entry.parameters} - _NOT_TOLD)
    differing = [
        name
        for name in names
        if len({json.dumps(entry.parameters.get(name), sort_keys=True) for entry in entries}) > 1
    ]
    return [
        replace(
            entry,
            differing={
                name: entry.parameters[name] for name in differing if _says(entry.parameters.get(name))
            },
        )
        for entry in entries
    ]


def _says(value: Any) -> bool:
    return value not in (None, "", [], {}, 0, False)


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else text[:39] + "…"
