"""Writes a run as llm-d's Benchmark Report 0.2.1, the schema that several harnesses share.

The schema is that of the package ``llmd-benchmark-report`` 0.2.1, against which the tests validate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from benchkit import __version__
from benchkit.records.interop.exportable import Exportable

__all__ = ["VERSION", "write_llmd"]

VERSION = "0.2.1"

_STATISTICS = {
    "mean": "mean",
    "std": "stddev",
    "min": "min",
    "p0_1": "p0p1",
    "p1": "p1",
    "p5": "p5",
    "p10": "p10",
    "p25": "p25",
    "p50": "p50",
    "p75": "p75",
    "p90": "p90",
    "p95": "p95",
    "p99": "p99",
    "p99_9": "p99p9",
    "max": "max",
}
_LATENCIES = {
    "ttft_ms": ("time_to_first_token", "ms"),
    "tpot_ms": ("time_per_output_token", "ms/token"),
    "itl_ms": ("inter_token_latency", "ms/token"),
    "latency_ms": ("request_latency", "ms"),
    "normalized_latency_ms": ("normalized_time_per_output_token", "ms/token"),
}
_RATES = {
    "requests_per_s": ("request_rate", "queries/s"),
    "output_tokens_per_s": ("output_token_rate", "tokens/s"),
    "total_tokens_per_s": ("total_token_rate", "tokens/s"),
}


def write_llmd(run: Exportable) -> dict[str, Any]:
    """Give a run's window as a Benchmark Report; JSON-able, without what is not known.

    Args:
        run: A stored run, or one read from another tool's file.
    """
    manifest, summary = run.manifest, run.summary
    performance = {
        "requests": _requests(run),
        "latency": _found(
            {
                theirs: _described(summary["windows"]["whole"]["metrics"].get(ours) or {}, unit)
                for ours, (theirs, unit) in _LATENCIES.items()
            }
        ),
        "throughput": _throughput(summary),
    }
    stack = _stack(manifest)
    return {
        "version": VERSION,
        "run": _run(manifest, summary),
        "scenario": _found({"stack": stack, "load": _load(manifest, summary)}),
        "results": {"request_performance": {"aggregate": _found(performance)}},
    }


def _run(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    told = [
        manifest.get("created"),
        manifest.get("parameters_hash"),
        manifest.get("name"),
        summary["requests"],
    ]
    identity = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    whole, created = summary["windows"]["whole"], manifest.get("created")
    times: dict[str, Any] = {}
    if whole["length_s"] is not None:
        times["duration"] = f"PT{whole['length_s']:.6f}S"
        if created:
            begun = datetime.fromisoformat(created)
            times["start"] = (begun + timedelta(seconds=whole["start_s"])).isoformat()
            times["end"] = (begun + timedelta(seconds=whole["end_s"])).isoformat()
    verdict = summary["validity"]["verdict"]
    return _found(
        {
            "uid": identity[:32],
            "time": times,
            "description": f"{manifest.get('name') or 'run'}; benchkit's verdict on the measurement: {verdict}",
            "keywords": ["benchkit", str(verdict)],
        }
    )


def _stack(manifest: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    server = {**((manifest.get("preflight") or {}).get("server") or {}), **(manifest.get("server") or {})}
    model = (manifest.get("preflight") or {}).get("model") or (manifest.get("parameters") or {}).get("model")
    if not server and not model:
        return None
    told = _found({"engine": server.get("engine"), "version": server.get("version"), "model": model})
    identity = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
    return [
        {
            "metadata": {"label": "server", "cfg_id": identity[:32]},
            "standardized": _found(
                {
                    "kind": "generic",
                    "tool": str(server.get("engine") or "unknown"),
                    "tool_version": str(server.get("version") or "unknown"),
                    "model": {"name": str(model)} if model else None,
                }
            ),
            "native": {},
        }
    ]


def _load(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any] | None:
    asked = manifest.get("parameters") or {}
    imported = manifest.get("imported")
    prompt = _length(asked, "input_tokens") or _mean_length(summary, "prompt_tokens")
    if prompt is None:
        return None
    load = asked.get("load", "")
    streams = {"synchronous": 1, "concurrent": asked.get("concurrency")}.get(load, asked.get("max_in_flight"))
    source = (
        "unknown" if imported else "random" if asked.get("dataset", "synthetic") == "synthetic" else "sampled"
    )
    return {
        "metadata": _found({"cfg_id": manifest.get("parameters_hash"), "description": load or None}),
        "standardized": _found(
            {
                "tool": imported["tool"] if imported else "benchkit",
                "tool_version": (imported["version"] if imported else __version__) or "unknown",
                "source": source,
                "input_seq_len": prompt,
                "output_seq_len": _length(asked, "output_tokens"),
                "rate_qps": asked.get("rate") if load in ("constant", "poisson", "gamma") else None,
                "concurrency": streams or None,
            }
        ),
        "native": {"config": dict(asked)},
    }


def _length(asked: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = asked.get(name)
    if value is None:
        return None
    spread = asked.get(f"{name}_spread")
    if spread is None:
        return {"distribution": "other", "value": value}
    if not spread:
        return {"distribution": "fixed", "value": value}
    half = int(spread * value)
    return {"distribution": "uniform", "value": value, "min": value - half, "max": value + half}


def _mean_length(summary: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    total, ok = summary["windows"]["whole"]["totals"][name], summary["requests"]["ok"]
    return {"distribution": "other", "value": total / ok} if total and ok else None


def _requests(run: Exportable) -> dict[str, Any] | None:
    counts = run.summary["requests"]
    known = [
        counts[name]
        for name in ("ok", "shed", "failed", "incomplete", "interrupted")
        if counts[name] is not None
    ]
    if not known:
        return None
    begun = run.requests[run.requests["phase"] == "window"]
    ended = begun[begun["outcome"] == "ok"]
    return _found(
        {
            "total": sum(known),
            "failures": _sum(counts["failed"], counts["shed"]),
            "incomplete": _sum(counts["incomplete"], counts["interrupted"]),
            "input_length": _of_column(ended["prompt_tokens"]),
            "output_length": _of_column(ended["output_tokens"]),
        }
    )


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _of_column(column: Any) -> dict[str, Any] | None:
    values = column.dropna().to_numpy(dtype=float)
    if not values.size:
        return None
    return {
        "units": "count",
        "mean": values.mean().item(),
        "min": values.min().item(),
        "max": values.max().item(),
    }


def _described(entry: Mapping[str, Any], unit: str) -> dict[str, Any] | None:
    if entry.get("mean") is None:
        return None
    found = {theirs: entry.get(ours) for ours, theirs in _STATISTICS.items()}
    return {"units": unit} | {name: value for name, value in found.items() if value is not None}


def _throughput(summary: Mapping[str, Any]) -> dict[str, Any]:
    rates = summary["windows"]["whole"]["rates"]
    return {
        theirs: {"units": unit, "mean": rates[ours]["value"]}
        for ours, (theirs, unit) in _RATES.items()
        if rates[ours]["value"] is not None
    }


def _found(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is null or empty."""
    return {name: value for name, value in values.items() if value is not None and value != {}}
