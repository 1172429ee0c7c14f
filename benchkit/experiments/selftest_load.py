"""One load of the client's test: our own load processes against a paced server, its log beside the records."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.errors import LoadError
from benchkit.experiments.loading import load_spec
from benchkit.load.launch import run_load
from benchkit.parameters import RunParameters, resolve
from benchkit.plan.spec import PlanSpec
from benchkit.serving import paced

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from benchkit.analysis.client_error import Beside
    from benchkit.records.chunks import Chunks
    from benchkit.serving.paced.log import PacedLog

_RUN_ID = "selftest"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load left."""

    beside: Beside
    log: PacedLog
    requests: pd.DataFrame
    start_ns: int
    """CLOCK_MONOTONIC; the records' times count from it."""
    window_ns: tuple[int, int]
    """CLOCK_MONOTONIC."""
    steal_percent: float | None
    workers: tuple[Mapping[str, Any], ...]


async def loaded(server: paced.PacedServer, values: Mapping[str, Any]) -> Loaded:
    """Sends one load to a paced server.

    Args:
        server: on which nothing else runs.
        values: a run's parameters: the load, its lengths, its times.

    Raises:
        LoadError: it was not sent to its end.
    """
    from benchkit.analysis.client_error import beside
    from benchkit.telemetry.host import HostReader

    parameters = resolve(
        {
            "url": server.url,
            "model": paced.MODEL,
            "endpoint": "completions",
            "input_tokens": 16,
            "drain_s": 0.3,
            **values,
        },
        RunParameters,
    )
    plan = PlanSpec.of(parameters, model=paced.MODEL)
    spec = load_spec(parameters, plan, server.url, exact_length=False, origin_ns=0, run_id=_RUN_ID)
    with tempfile.TemporaryDirectory(prefix="benchkit-selftest-") as place:
        folder = Path(place)
        host = HostReader()
        list(host())
        result = await run_load(spec, folder)
        steal = next((each.value for each in host() if each.name == "steal_percent"), None)
        if result.stopped_by is not None:
            raise LoadError(f"the client's test ended early ({result.stopped_by}): nothing can be said of it")
        log = await asyncio.to_thread(server.log)
        requests, chunks = _records(folder)
    begin, end = result.window_start_ns + result.start_ns, result.window_end_ns + result.start_ns
    found = beside(requests, chunks, log, start_ns=result.start_ns, run_id=_RUN_ID)
    return Loaded(found, log, requests, result.start_ns, (begin, end), steal, result.workers)


def _records(folder: Path) -> tuple[pd.DataFrame, Chunks]:
    """What the transcribers left, of a load that becomes no run."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from benchkit.records.chunks import Chunks
    from benchkit.records.merge import part_paths
    from benchkit.records.schema import REQUESTS
    from benchkit.records.stored import requests_frame

    parts = [pq.read_table(path, partitioning=None) for path in part_paths(folder)]
    table = pa.concat_tables(parts) if parts else REQUESTS.empty_table()
    return requests_frame(table), Chunks.from_table(table)
