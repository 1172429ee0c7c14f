"""Stored runs made from drawn requests, for what is drawn and written from records."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchkit.analysis.imported import import_points
from benchkit.analysis.metrics import Window, build_summary
from benchkit.analysis.points import LoadPoint, point_of
from benchkit.objectives import parse
from benchkit.parameters import resolve
from benchkit.records.chunks import Chunks
from benchkit.records.project import project_root
from benchkit.records.schema import REQUESTS
from benchkit.records.stored import StoredRun, load, requests_frame
from benchkit.simulator.config import EngineConfig
from benchkit.simulator.engine import VllmEngine
from benchkit.simulator.simulate import SimulatedRequest, simulate
from benchkit.simulator.step_time import LinearStepTime

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


STEP = LinearStepTime(base_us=5_000, prefill_us_per_token=20, decode_us_per_request=150, kv_us_per_token=0)
SECONDS, WARMUP_S = 20, 1


def _simulated(load: str, rate: float, streams: int, seqs: int, seed: int) -> pa.Table:
    """What a client would have recorded of an engine in virtual time."""
    draw = np.random.default_rng(seed)
    end_ns = (SECONDS + WARMUP_S) * NS
    if load == "poisson":
        due = np.sort(draw.uniform(0, end_ns, draw.poisson(rate * (SECONDS + WARMUP_S)))).astype(np.int64)
    else:
        due = np.zeros(streams * 200, np.int64)
    work = [SimulatedRequest(int(at), int(draw.integers(50, 400)), int(draw.integers(8, 33))) for at in due]
    engine = VllmEngine(EngineConfig(step_time=STEP, max_num_batched_tokens=1024, max_num_seqs=seqs))
    done = simulate(engine, work, concurrency=0 if load == "poisson" else streams)
    kept = done.arrived_ns < end_ns
    sent, first, last = done.arrived_ns[kept], done.first_token_ns[kept], done.end_ns[kept]
    counts = done.output_tokens[kept]
    chunks = [
        np.linspace(start, stop, count).astype(np.int64)
        for start, stop, count in zip(first, last, counts, strict=True)
    ]
    n = len(sent)
    whole: dict[str, Any] = {
        "index": np.arange(n),
        "repeat": np.zeros(n, np.int32),
        "phase": np.where(sent < WARMUP_S * NS, "warmup", "window"),
        "outcome": ["ok"] * n,
        "scheduled_ns": sent,
        "sent_ns": sent,
        "first_token_ns": first,
        "last_token_ns": last,
        "end_ns": last,
        "waited_ns": np.zeros(n, np.int64),
        "prompt_tokens": np.full(n, 200),
        "output_tokens": counts,
        "pickup_lag_max_ns": np.full(n, 10_000),
        "chunk_ns": chunks,
        "chunk_loop_ns": chunks,
        "chunk_tokens": [np.ones(count, np.int32) for count in counts],
        "chunk_shared": [np.zeros(count, bool) for count in counts],
    }
    columns = [
        pa.array(list(whole[field.name]), field.type) if field.name in whole else pa.nulls(n, field.type)
        for field in REQUESTS
    ]
    return pa.table(columns, schema=REQUESTS)


def _shifted(table: pa.Table, repeat: int) -> pa.Table:
    """The same requests as a later repeat of one run."""
    by_ns = repeat * (SECONDS + WARMUP_S) * NS
    frame = table.to_pandas()
    for name in ("scheduled_ns", "sent_ns", "first_token_ns", "last_token_ns", "end_ns"):
        frame[name] += by_ns
    for name in ("chunk_ns", "chunk_loop_ns"):
        frame[name] = [times + by_ns for times in frame[name]]
    frame["repeat"] = repeat
    return pa.Table.from_pandas(frame, schema=REQUESTS, preserve_index=False)


@pytest.fixture(scope="session")
def make_point() -> Callable[..., LoadPoint]:
    """Makes one load of a sweep on a simulated engine; equal requests get the same point."""

    @functools.cache
    def make(
        load: str = "poisson",
        *,
        rate: float = 20.0,
        streams: int = 1,
        seqs: int = 32,
        seed: int = 1,
        repeats: int = 1,
        saturated: bool | None = None,
        slo: tuple[str, ...] = (),
        cell: tuple[tuple[str, Any], ...] = (),
    ) -> LoadPoint:
        parts = [_shifted(_simulated(load, rate, streams, seqs, seed + at), at) for at in range(repeats)]
        table = pa.concat_tables(parts)
        length = SECONDS + WARMUP_S
        windows = [
            {"start_ns": (at * length + WARMUP_S) * NS, "end_ns": (at + 1) * length * NS}
            for at in range(repeats)
        ]
        whole = {"start_ns": windows[0]["start_ns"], "end_ns": windows[-1]["end_ns"]}
        asked = {"load": load, "rate": rate, "concurrency": streams, "max_in_flight": 0}
        manifest = {
            "parameters": asked,
            "clock": {"wall_ns": 1_767_225_600 * NS, "monotonic_ns": 0},
            "load": {"window": whole, "windows": windows},
            "environment": {"cpu_model": "a processor"},
        }
        # A class of its own can be held by weak reference, as runs can.
        records: Any = type("Records", (SimpleNamespace,), {"__hash__": object.__hash__})(
            manifest=manifest, requests=requests_frame(table), chunks=Chunks.from_table(table)
        )
        records.summary = build_summary(
            records.requests,
            records.chunks,
            window=Window(**whole),
            objectives=[parse(text) for text in slo],
            load_facts=manifest["load"],
            parameters=asked,
        )
        return point_of(records, f"{load}-{rate:g}", cell=dict(cell), saturated=saturated)

    return make


@pytest.fixture(scope="session")
def sweep_points(make_point: Callable[..., LoadPoint]) -> list[LoadPoint]:
    """A sweep of one server: one at a time, everything at once, four rates of which the last is too many."""
    slo = ("p99 ttft < 100ms", "attainment(ttft < 80ms) > 95%")
    return [
        make_point("synchronous", slo=slo),
        make_point("throughput", streams=64, slo=slo),
        *(make_point(rate=rate, slo=slo, seed=int(rate)) for rate in (10.0, 30.0, 50.0)),
        make_point(rate=90.0, slo=slo, saturated=True),
    ]


@pytest.fixture(scope="session")
def grid_points(make_point: Callable[..., LoadPoint]) -> list[LoadPoint]:
    """A sweep over two settings of a server."""
    return [
        make_point(load, rate=rate, seqs=seqs, cell=(("max_num_seqs", seqs),), slo=("p99 ttft < 100ms",))
        for seqs in (8, 32)
        for load, rate in (("synchronous", 1.0), ("poisson", 10.0), ("poisson", 20.0))
    ]


@pytest.fixture(scope="session")
def article() -> list[LoadPoint]:
    """The sweep that an article published as a table."""
    return import_points(project_root(Path(__file__).parent) / "params" / "article_sweep.csv")
