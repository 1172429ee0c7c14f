"""Stored runs made from drawn requests, for what is drawn and written from records."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchkit.analysis.metrics import Window, build_summary
from benchkit.objectives import parse
from benchkit.parameters import resolve
from benchkit.records.schema import REQUESTS
from benchkit.records.stored import StoredRun, load

NS = 1_000_000_000

Maker = Callable[..., StoredRun]


def _requests(n: int, *, rate: float, warmup_s: float, tokens: int, outcome: str, model: str) -> pa.Table:
    draw = np.random.default_rng(7)
    scheduled = np.sort(draw.uniform(0, n / rate, n) * NS).astype(np.int64)
    sent = scheduled + draw.exponential(50_000, n).astype(np.int64)
    first = sent + (40e6 + draw.gamma(2, 10e6, n)).astype(np.int64)
    counts = draw.integers(max(tokens // 2, 1), tokens + 1, n)
    chunk_ns = [
        start + np.cumsum(np.r_[0, draw.gamma(50, 4e5, count - 1)]).astype(np.int64)
        for start, count in zip(first, counts, strict=True)
    ]
    last = np.array([times[-1] for times in chunk_ns])
    ok = np.arange(n) % 40 != 39 if outcome == "ok" else np.zeros(n, dtype=bool)
    whole: dict[str, Any] = {
        "index": np.arange(n),
        "repeat": np.zeros(n, np.int32),
        "phase": np.where(scheduled < warmup_s * NS, "warmup", "window"),
        "session": np.arange(n),
        "turn": np.zeros(n, np.int32),
        "class": ["default"] * n,
        "model": [model] * n,
        "target": ["http://127.0.0.1:1"] * n,
        "worker": np.zeros(n, np.int32),
        "attempt": np.ones(n, np.int32),
        "connection": np.zeros(n, np.int64),
        "outcome": np.where(ok, "ok", "failed"),
        "error_kind": [None if good else "cut" for good in ok],
        "scheduled_ns": scheduled,
        "sent_ns": sent,
        "first_token_ns": first,
        "last_token_ns": last,
        "end_ns": last + 100_000,
        "waited_ns": np.zeros(n, np.int64),
        "prompt_tokens": np.full(n, 64),
        "output_tokens": counts,
        "pickup_lag_max_ns": draw.exponential(80_000, n).astype(np.int64) + 1,
        "chunk_ns": chunk_ns,
        "chunk_loop_ns": [times + 30_000 for times in chunk_ns],
        "chunk_tokens": [np.ones(len(times), np.int32) for times in chunk_ns],
        "chunk_shared": [np.zeros(len(times), bool) for times in chunk_ns],
    }
    columns = [
        pa.array(list(whole[field.name]), field.type) if field.name in whole else pa.nulls(n, field.type)
        for field in REQUESTS
    ]
    return pa.table(columns, schema=REQUESTS)


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Makes a run's folder as benchkit leaves it, and loads it; equal requests get the same run."""

    @functools.cache
    def make(
        n: int = 400,
        *,
        rate: float = 20.0,
        warmup_s: float = 2.0,
        tokens: int = 24,
        outcome: str = "ok",
        model: str = "tiny",
        slo: tuple[str, ...] = ("p95 ttft < 200ms",),
    ) -> StoredRun:
        folder: Path = tmp_path_factory.mktemp("outputs") / "20260101T000000Z-demo-abcdef"
        folder.mkdir()
        duration_s = max(n / rate - warmup_s, 1.0)
        window = {"start_ns": int(warmup_s * NS), "end_ns": int((warmup_s + duration_s) * NS)}
        asked = resolve(
            {
                "load": "poisson",
                "rate": rate,
                "warmup_s": warmup_s,
                "duration_s": duration_s,
                "slo": list(slo),
            }
        )
        manifest = {
            "schema": 1,
            "benchkit_version": "0.1.0",
            "name": "demo",
            "status": "complete",
            "created": "2026-01-01T00:00:00+00:00",
            "clock": {"wall_ns": 0, "monotonic_ns": 0},
            "parameters": asked.model_dump(mode="json"),
            "parameters_hash": "abcdef",
            "plan": {"sha256": "0" * 64},
            "plan_spec": {},
            "environment": {"cpu_model": "a processor"},
            "server": {"url": "http://127.0.0.1:1", "models": [model]},
            "preflight": {
                "model": model,
                "findings": [{"level": "ok", "name": "model", "text": model, "remedy": ""}],
            },
            "load": {"window": window, "workers": [], "stopped_by": None, "fallbacks": []},
            "checksums": {},
            "notes": [],
        }
        pq.write_table(
            _requests(n, rate=rate, warmup_s=warmup_s, tokens=tokens, outcome=outcome, model=model),
            folder / "requests.parquet",
        )
        (folder / "manifest.json").write_text(json.dumps(manifest))
        run = load(folder)
        summary = build_summary(
            run.requests,
            run.chunks,
            window=Window(**window),
            objectives=[parse(text) for text in slo],
            load_facts=manifest["load"],
            parameters=manifest["parameters"],
        )
        (folder / "summary.json").write_text(json.dumps(summary))
        return load(folder)

    return make


@pytest.fixture(scope="session")
def run(make_run: Maker) -> StoredRun:
    """A run of 400 requests, one in forty of them failed."""
    return make_run()
