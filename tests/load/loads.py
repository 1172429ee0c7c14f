"""Runs real loads against real servers, for tests."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.parquet as pq

from benchkit.experiments.loading import load_spec
from benchkit.load.launch import Launcher, LoadResult, Progress
from benchkit.load.spec import LoadSpec
from benchkit.parameters import resolve
from benchkit.plan.spec import PlanSpec
from benchkit.target import normalise_url


class Loaded(NamedTuple):
    """A finished load."""

    result: LoadResult
    requests: pd.DataFrame
    spec: LoadSpec
    folder: Path

    @property
    def window(self) -> pd.DataFrame:
        """The requests that were scheduled in the window."""
        return self.requests[self.requests.phase == "window"]


def spec_for(url: str, *, model: str = "", **values: Any) -> LoadSpec:
    """The spec of a load with these parameters."""
    values = {
        "endpoint": "completions",
        "input_tokens": 16,
        "output_tokens": 8,
        "warmup_s": 0.0,
        "duration_s": 1.0,
        "drain_s": 5.0,
        "url": url,
    } | values
    parameters = resolve(values)
    plan = PlanSpec.of(parameters, model=model or "simulated")
    return load_spec(parameters, plan, normalise_url(url), exact_length=True, origin_ns=0, run_id="test")


def read(folder: Path) -> pd.DataFrame:
    """All parts of a folder."""
    return pd.concat(
        [pq.read_table(part).to_pandas() for part in sorted((folder / "parts").glob("*.parquet"))],
        ignore_index=True,
    )


async def load_async(
    folder: Path,
    spec: LoadSpec,
    *,
    headers: dict[str, str] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    during: Callable[[Launcher], Any] | None = None,
) -> Loaded:
    """Runs a load; `during` is awaited beside it."""
    launcher = Launcher(spec, folder, headers=headers, on_progress=on_progress)
    beside = asyncio.create_task(during(launcher)) if during else None
    result = await launcher.run()
    if beside:
        await beside
    return Loaded(result, read(folder), spec, folder)


def load(folder: Path, url: str, **values: Any) -> Loaded:
    """Runs a load with these parameters."""
    return asyncio.run(load_async(folder, spec_for(url, **values)))
