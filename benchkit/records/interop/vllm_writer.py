"""Writes a run as a result of ``vllm bench serve --save-result --save-detailed``, by vLLM's definitions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.records.chunks import Chunks
from benchkit.records.interop.exportable import Exportable
from benchkit.records.kinds import Outcome, Phase

__all__ = ["write_vllm"]

Floats = NDArray[np.float64]

_PERCENTILES = (50, 90, 95, 99)
_OPEN_SHAPES = {"poisson": 1.0, "constant": "inf"}
_STATED = {"ttft_ms": "ttft", "tpot_ms": "tpot", "itl_ms": "itl", "latency_ms": "e2el"}


def write_vllm(run: Exportable) -> dict[str, Any]:
    """Give a run's window as the object that vLLM's benchmark saves; JSON-able.

    Times are by vLLM's formulas (see docs/metrics.md): they begin before a fresh connection is made, the latency
    ends with the last token, ITL is the gaps between events, the standard deviation has ddof 0. The duration runs
    from the window's start to its end or the last answer, whichever is later; rates are over it, and warm-up
    requests are left out. Of a run without requests (an import) the statistics are given as they are. Prompts
    and answers are not in it.

    Args:
        run: A stored run, or one read from another tool's file.
    """
    told = _setting(run.manifest)
    requests, chunks = run.requests, run.chunks
    rows = (requests["phase"] == str(Phase.WINDOW)).to_numpy(dtype=bool)
    return told | (_measured(run, requests, chunks, rows) if rows.any() else _stated(run.summary))


def _setting(manifest: Mapping[str, Any]) -> dict[str, Any]:
    asked = manifest.get("parameters") or {}
    created = manifest.get("created")
    kind = "openai" if asked.get("endpoint") == "completions" else "openai-chat"
    load = asked.get("load", "")
    streams = {"synchronous": 1, "concurrent": asked.get("concurrency")}.get(load, asked.get("max_in_flight"))
    opened = load in ("constant", "poisson", "gamma")
    shape = _OPEN_SHAPES.get(load, asked.get("burstiness", 1.0)) if opened else 1.0
    return {
        "date": datetime.fromisoformat(created).strftime("%Y%m%d-%H%M%S") if created else None,
        "endpoint_type": kind,
        "backend": kind,
        "label": manifest.get("name") or None,
        "model_id": (manifest.get("preflight") or {}).get("model") or asked.get("model") or None,
        "tokenizer_id": asked.get("tokenizer") or None,
        "request_rate": asked.get("rate") if opened else "inf",
        "burstiness": shape,
        "max_concurrency": streams or None,
    }


class _Times(NamedTuple):
    """One value a request, in s of the run's clock; NaN where there is none."""

    start: Floats
    first: Floats
    last: Floats
    end: Floats


def _measured(
    run: Exportable, requests: pd.DataFrame, chunks: Chunks, rows: NDArray[np.bool_]
) -> dict[str, Any]:
    times = _times(requests[rows])
    ok = (requests["outcome"][rows] == str(Outcome.OK)).to_numpy(dtype=bool)
    tokens = _numbers(requests[rows], "output_tokens")
    prompts = _numbers(requests[rows], "prompt_tokens")
    gaps = _gaps(chunks, np.flatnonzero(rows))
    whole = run.summary["windows"]["whole"]
    between_repeats = whole["end_s"] - whole["start_s"] - whole["length_s"]
    duration = float(np.nanmax(times.end, initial=whole["end_s"])) - whole["start_s"] - between_repeats
    ttft, latency = times.first - times.start, times.last - times.start
    with np.errstate(invalid="ignore", divide="ignore"):
        tpot = np.where(tokens > 1, (latency - ttft) / (tokens - 1), np.nan)
    output, prompt = float(np.nansum(tokens[ok])), float(np.nansum(prompts[ok]))

    def rate(total: float) -> float | None:
        return total / duration if duration > 0 else None

    pooled = [each for each, good in zip(gaps, ok, strict=True) if good]
    return {
        "num_prompts": int(rows.sum()),
        "duration": duration,
        "completed": int(ok.sum()),
        "failed": int((~ok).sum()),
        "total_input_tokens": int(prompt),
        "total_output_tokens": int(output),
        "request_throughput": rate(float(ok.sum())),
        "request_goodput": whole["rates"]["goodput_per_s"]["value"],
        "output_throughput": rate(output),
        "total_token_throughput": rate(prompt + output),
        "input_lens": _whole(prompts),
        "output_lens": _whole(np.where(ok, tokens, 0.0)),
        "ttfts": _or_zero(ttft),
        "itls": [each.tolist() for each in gaps],
        "latencies": _or_zero(latency),
        # A start of 0 means to vLLM that the request was never sent.
        "start_times": _or_zero(times.start + max(0.0, 1.0 - float(np.nanmin(times.start, initial=1.0)))),
        "errors": _errors(requests[rows], ok),
        **_statistics("ttft", ttft[ok]),
        **_statistics("tpot", tpot[ok]),
        **_statistics("itl", np.concatenate(pooled) if pooled else np.empty(0)),
        **_statistics("e2el", latency[ok]),
    }


def _times(requests: pd.DataFrame) -> _Times:
    sent, connected = _numbers(requests, "sent_ns"), _numbers(requests, "connected_ns")
    start = np.where(connected <= sent, _numbers(requests, "connect_start_ns"), sent)
    return _Times(
        start / 1e9,
        _numbers(requests, "first_token_ns") / 1e9,
        _numbers(requests, "last_token_ns") / 1e9,
        _numbers(requests, "end_ns") / 1e9,
    )


def _gaps(chunks: Chunks, rows: NDArray[np.intp]) -> list[Floats]:
    return [np.diff(chunks.ns[chunks.offsets[at] : chunks.offsets[at + 1]]) / 1e9 for at in rows]


def _errors(requests: pd.DataFrame, ok: NDArray[np.bool_]) -> list[str]:
    kinds = requests["error_kind"].fillna(requests["outcome"])
    texts = requests["error"].fillna(kinds).fillna("failed")
    return ["" if good else str(text) for text, good in zip(texts, ok, strict=True)]


def _statistics(name: str, values_s: Floats) -> dict[str, float]:
    values = values_s[np.isfinite(values_s)] * 1e3
    if not values.size:
        return {}
    return {
        f"mean_{name}_ms": float(values.mean()),
        f"median_{name}_ms": float(np.median(values)),
        f"std_{name}_ms": float(values.std()),
        **{f"p{percent}_{name}_ms": float(np.percentile(values, percent)) for percent in _PERCENTILES},
    }


def _stated(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What an import without requests has: its statistics."""
    whole, counts = summary["windows"]["whole"], summary["requests"]
    rates, totals = whole["rates"], whole["totals"]
    told = {
        "num_prompts": sum(counts[name] or 0 for name in Outcome) or None,
        "duration": whole["length_s"],
        "completed": counts["ok"],
        "failed": counts["failed"],
        "total_input_tokens": totals["prompt_tokens"],
        "total_output_tokens": totals["output_tokens"],
        "request_throughput": rates["requests_per_s"]["value"],
        "request_goodput": rates["goodput_per_s"]["value"],
        "output_throughput": rates["output_tokens_per_s"]["value"],
        "total_token_throughput": rates["total_tokens_per_s"]["value"],
    }
    for ours, theirs in _STATED.items():
        entry = whole["metrics"][ours]
        for key, name in (
            ("mean", "mean"),
            ("p50", "median"),
            ("std", "std"),
            *((f"p{p}",) * 2 for p in _PERCENTILES),
        ):
            if entry.get(key) is not None:
                told[f"{name}_{theirs}_ms"] = entry[key]
    return told


def _numbers(requests: pd.DataFrame, name: str) -> Floats:
    return requests[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _whole(values: Floats) -> list[int]:
    return [int(value) for value in np.nan_to_num(values)]


def _or_zero(values: Floats) -> list[float]:
    """vLLM writes 0 for what a request did not give."""
    found: list[float] = np.nan_to_num(values).tolist()
    return found
