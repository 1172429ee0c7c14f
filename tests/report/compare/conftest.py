"""Small runs on disk, as benchkit leaves them, of settings whose difference is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchkit.analysis.metrics import Window, build_summary
from benchkit.parameters import AbParameters, RunParameters
from benchkit.records.schema import REQUESTS
from benchkit.records.stored import load

NS = 1_000_000_000
BEGUN_S = 1_767_225_600
WINDOW_S = 4
TOKENS = 10

Maker = Callable[..., Path]


def _requests(count: int, *, repeat: int, factor: float, noise: np.random.Generator) -> pa.Table:
    """Requests sent evenly over a window, a token every ``10 ms * factor``."""
    at_ns = repeat * WINDOW_S * NS
    sent = at_ns + np.linspace(0, 0.9 * WINDOW_S * NS, count).astype(np.int64)
    first = sent + (50e6 * noise.lognormal(0, 0.1, count)).astype(np.int64)
    gaps = 10e6 * factor * noise.lognormal(0, 0.05, (count, TOKENS - 1))
    chunks = [
        start + np.r_[0, np.cumsum(row)].astype(np.int64) for start, row in zip(first, gaps, strict=True)
    ]
    last = np.array([times[-1] for times in chunks])
    whole: dict[str, Any] = {
        "index": np.arange(count),
        "repeat": np.full(count, repeat, np.int32),
        "phase": ["window"] * count,
        "outcome": ["ok"] * count,
        "scheduled_ns": sent,
        "sent_ns": sent,
        "first_token_ns": first,
        "last_token_ns": last,
        "end_ns": last,
        "waited_ns": np.zeros(count, np.int64),
        "prompt_tokens": np.full(count, 64),
        "output_tokens": np.full(count, TOKENS),
        "pickup_lag_max_ns": np.full(count, 10_000),
        "chunk_ns": chunks,
        "chunk_loop_ns": chunks,
        "chunk_tokens": [np.ones(TOKENS, np.int32)] * count,
        "chunk_shared": [np.zeros(TOKENS, bool)] * count,
    }
    columns = [
        pa.array(list(whole[field.name]), field.type) if field.name in whole else pa.nulls(count, field.type)
        for field in REQUESTS
    ]
    return pa.table(columns, schema=REQUESTS)


@pytest.fixture
def make_run(tmp_path: Path) -> Maker:
    """Makes a run's folder and gives its path.

    ``factor`` stretches the time between tokens; ``spread`` is how much runs of one setting differ by themselves.
    """

    def make(
        name: str,
        *,
        factor: float = 1.0,
        spread: float = 0.01,
        seed: int = 0,
        contents: int = 0,
        repeats: int = 1,
        count: int = 40,
        begun_s: float = BEGUN_S,
        started_at: float | None = 1000.0,
        url: str = "http://127.0.0.1:8000",
        verdict: str = "valid",
        environment: dict[str, Any] | None = None,
        pair: dict[str, Any] | None = None,
        out: Path | None = None,
        **asked: Any,
    ) -> Path:
        folder = (out or tmp_path) / name
        folder.mkdir()
        noise = np.random.default_rng([seed, contents, sum(name.encode())])
        parts = [
            _requests(
                count, repeat=repeat, factor=factor * float(np.exp(noise.normal(0, spread))), noise=noise
            )
            for repeat in range(repeats)
        ]
        parameters = RunParameters(
            **{"load": "poisson", "rate": 10.0, "model": "tiny", "seed": seed, **asked}
        )
        told = parameters.model_dump(mode="json")
        windows = [
            {"start_ns": at * WINDOW_S * NS, "end_ns": (at + 1) * WINDOW_S * NS} for at in range(repeats)
        ]
        whole = {"start_ns": 0, "end_ns": repeats * WINDOW_S * NS}
        facts = {"window": whole, "windows": windows, "server_starts": [started_at] * repeats}
        spec = {name: told[name] for name in ("load", "rate", "burstiness", "seed", "input_tokens")}
        manifest = {
            "schema": 1,
            "name": name,
            "status": "complete",
            "created": "2026-01-01T00:00:00+00:00",
            "clock": {"wall_ns": int(begun_s * NS), "monotonic_ns": 0},
            "parameters": told,
            "plan": {"sha256": f"{seed}-{contents}"},
            "plan_spec": spec | ({"contents": contents} if contents else {}),
            "environment": {"cpu_model": "a processor"} | (environment or {}),
            "server": {"url": url, "engine": "tiny", "started_at": started_at},
            "preflight": {"model": told["model"]},
            "load": facts,
            "checksums": {},
            "notes": [],
        } | ({"pair": pair} if pair else {})
        pq.write_table(pa.concat_tables(parts), folder / "requests.parquet")
        (folder / "manifest.json").write_text(json.dumps(manifest))
        run = load(folder)
        summary = build_summary(
            run.requests,
            run.chunks,
            window=Window(**whole),
            objectives=[],
            load_facts=facts,
            parameters=told,
        )
        reasons = (
            [] if verdict == "valid" else [{"name": "x", "level": verdict, "what": "something was wrong"}]
        )
        summary["validity"] = {"verdict": verdict, "reasons": reasons, "checked": []}
        (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return make


@pytest.fixture
def make_sides(make_run: Maker) -> Callable[..., tuple[list[Path], list[Path]]]:
    """Makes two sides of runs in pairs of the same seed; the new one is ``factor`` times slower between tokens."""

    def make(
        count: int = 5, *, factor: float = 1.0, paired: bool = True, **more: Any
    ) -> tuple[list[Path], list[Path]]:
        base = [
            make_run(f"base-{at}", seed=at, contents=1, begun_s=BEGUN_S + 20 * at, **more)
            for at in range(count)
        ]
        new = [
            make_run(
                f"new-{at}",
                seed=at if paired else 100 + at,
                contents=2,
                begun_s=BEGUN_S + 20 * at + 10,
                factor=factor,
                **more,
            )
            for at in range(count)
        ]
        return base, new

    return make


@pytest.fixture
def ab_folder(make_run: Maker, tmp_path: Path) -> Path:
    """The folder of a comparison of four complete pairs, one of them half done: B takes 8 % more for a token."""
    folder = tmp_path / "20260101T000000Z-ab-abcdef"
    folder.mkdir()
    runs = []
    for pair in range(5):
        for side in "ab":
            name = f"pair-{pair}-{side}"
            told = {"pair": pair, "side": side, "folder": name, "status": "complete"}
            if (pair, side) == (4, "b"):
                runs.append(told | {"folder": "", "status": "planned"})
                continue
            contents = 1 + (side == "b")
            half = {"comparison": folder.name, "number": pair, "side": side, "contents": contents}
            make_run(
                name,
                factor=1.08 if side == "b" else 1.0,
                seed=pair,
                contents=contents,
                pair=half,
                out=folder,
                begun_s=BEGUN_S + 20 * pair + 10 * (side == "b"),
            )
            runs.append(told)
    asked = AbParameters(server_args={"gap_ms": 10.0}, server_args_b={"gap_ms": 10.8}, numbers=("mean itl",))
    written = {
        "schema": 1,
        "parameters": asked.model_dump(mode="json"),
        "runs": runs,
        "looks": [{"pairs": 4, "alpha": 0.0294}],
    }
    (folder / "ab.json").write_text(json.dumps(written))
    return folder
