"""One load and what a server did under it: what sweeps, searches, capacity and other tools' files have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd

from benchkit.records.chunks import Chunks


class Records(Protocol):
    """A run's requests and events; ``StoredRun`` has them, and so has what was read from another tool's file."""

    manifest: dict[str, Any]

    @property
    def summary(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def requests(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def telemetry(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def chunks(self) -> Chunks: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """One load on a server, by whoever measured it.

    Everything that the source does not know is None or null, never invented.
    """

    name: str
    """What a reader finds it by: a run's folder, or a file and the benchmark's place in it."""
    load: str
    """As the parameter ``load``; empty where the source does not say."""
    summary: Mapping[str, Any]
    """In the shape of summary.json; metrics and statistics that the source lacks are null or absent."""
    rate: float | None = None
    """Requests per second that were asked for; None for closed loops."""
    concurrency: int | None = None
    """Streams of a closed loop; None for open loops."""
    records: Records | None = field(default=None, repr=False, compare=False)
    """Request by request, where the source has it."""
    tool: str = "benchkit"
    cell: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the server that the sweep varied; empty where it varied none."""
    saturated: bool | None = None
    """Whether requests piled up in it, so that it shows no steady state; None where nobody looked."""
    repeat: int = 0
    notes: tuple[str, ...] = ()
    """What the source lacks or defines otherwise, in sentences for a chart's foot."""
    manifest: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What is known of how it was measured, also where there are no records; empty where nothing is."""

    @property
    def requests_per_s(self) -> float | None:
        """Requests that ended well, per second of the window."""
        return self.rate_of("requests_per_s")

    @property
    def mean_in_flight(self) -> float | None:
        """Requests under way, on average over the window's time."""
        return self.statistic("in_flight", "mean")

    @property
    def count(self) -> int | None:
        """Requests of the window that ended well."""
        ok = self.summary.get("requests", {}).get("ok")
        return None if ok is None else int(ok)

    @property
    def verdict(self) -> str | None:
        """Whether its measurement can be believed: valid, suspect or invalid; None where nobody judged it."""
        told = (self.summary.get("validity") or {}).get("verdict")
        return None if told is None else str(told)

    @property
    def is_open_loop(self) -> bool:
        """Whether requests came at a rate, whatever the server did."""
        return self.rate is not None

    def statistic(self, metric: str, statistic: str) -> float | None:
        """A statistic (``mean``, ``p50``, ``p99``, ...) of a metric over the whole window, by summary.json's names."""
        value = self._whole.get("metrics", {}).get(metric, {}).get(statistic)
        return None if value is None else float(value)

    def rate_of(self, name: str) -> float | None:
        """A rate of the whole window, by summary.json's names."""
        value = self._whole.get("rates", {}).get(name, {}).get("value")
        return None if value is None else float(value)

    @property
    def _whole(self) -> Mapping[str, Any]:
        windows: Mapping[str, Any] = self.summary.get("windows", {})
        return windows.get("whole") or {}


def point_of(run: Records, name: str, **more: Any) -> LoadPoint:
    """A stored run as a point; one that was imported says so, and has no records where its file had none.

    Args:
        run: the run.
        name: what to call it.
        more: further fields of ``LoadPoint``.
    """
    imported = run.manifest.get("imported")
    if imported:
        return _of_import(run, name, imported, more)
    asked = run.manifest["parameters"]
    load = str(asked["load"])
    streams = {"synchronous": 1, "throughput": int(asked["max_in_flight"]) or 512}.get(
        load, asked["concurrency"]
    )
    opened = load in ("constant", "poisson", "gamma")
    return LoadPoint(
        name=name,
        load=load,
        summary=run.summary,
        rate=float(asked["rate"]) if opened else None,
        concurrency=None if opened else int(streams),
        records=run,
        manifest=run.manifest,
        **more,
    )


def _of_import(run: Records, name: str, imported: Mapping[str, Any], more: Mapping[str, Any]) -> LoadPoint:
    return LoadPoint(
        name=name,
        load=str(imported["load"] or ""),
        summary=run.summary,
        rate=imported["rate"],
        concurrency=imported["concurrency"],
        records=run if imported["requests"] else None,
        manifest=run.manifest,
        tool=str(imported["tool"]),
        **{"notes": tuple(imported["notes"]), **more},
    )
