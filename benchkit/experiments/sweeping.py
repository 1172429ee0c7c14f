"""A sweep under way: its points one after the other, each a run of its own, on one server or on a grid of settings."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchkit.errors import BenchkitError, ServerStartError, SweepFailed
from benchkit.experiments.recording import Hooks
from benchkit.experiments.resuming import under_way
from benchkit.experiments.run import measure
from benchkit.experiments.settle import Settler, first_model
from benchkit.experiments.sweep_bound import throughput_bound
from benchkit.experiments.sweep_points import SweepPoint, first_points, points_between
from benchkit.experiments.sweep_progress import SweepProgress
from benchkit.experiments.watch import SaturationWatch
from benchkit.load.launch import Launcher
from benchkit.load.progress import Progress
from benchkit.parameters import RunParameters, SweepParameters, resolve
from benchkit.records import sweeps
from benchkit.records.stored import StoredRun
from benchkit.target import normalise_url

_MOST_FAILURES = 2
"""Points that may fail one after the other; then the server is not what failed them by chance."""


@dataclass(frozen=True, slots=True)
class SweepHooks(Hooks):
    """Who is told how a sweep goes.

    Attributes:
        on_point: called when a point begins.
    """

    on_point: Callable[[SweepProgress], None] | None = None


class Sweeping:
    """A sweep under way; its ``sweep.json`` is written before and after each point."""

    def __init__(self, parameters: SweepParameters, folder: Path, hooks: SweepHooks) -> None:
        self.parameters, self.folder, self._hooks = parameters, folder, hooks
        self._manifest = sweeps.read(folder)
        self.points = [SweepPoint(**told) for told in self._manifest["points"]]
        self._began_s = time.monotonic()
        self._took_s: list[float] = []
        self._failures = 0
        self._settler: Settler | None = None

    async def run(self) -> None:
        """Measures whatever is not complete."""
        with under_way(self.folder, self._write):
            for number, cell in enumerate(self.parameters.cells):
                if not self._is_done(number):
                    await self._on_server(number, cell)

    def say(self, text: str) -> None:
        """Tells whoever listens what is done now."""
        self._hooks.stage(text)

    async def _on_server(self, number: int, cell: dict[str, Any]) -> None:
        """Measures a cell; one whose server does not start is noted, and the next one tried."""
        try:
            async with self._server(number, cell) as url:
                await self._cell(number, cell, url)
        except ServerStartError as error:
            if not any(point.status == "complete" for point in self.points):
                raise
            self._note_cell(number, {"settings": cell, "error": str(error)})

    async def measure_point(self, point: SweepPoint, url: str) -> StoredRun | None:
        """Measures one point, after waiting for the server; ``None`` when it failed.

        Raises:
            SweepFailed: it is not the first in a row that failed.
        """
        await self._prepare(point)
        self._tell(point)
        point.status, point.error = "running", ""
        if point not in self.points:
            self.points.append(point)
        self._write()
        began_s = time.monotonic()
        watch = SaturationWatch(self.parameters.warmup_s)
        asked = point.run_parameters(self.parameters, url, str(self.folder.resolve()))
        try:
            path = await measure(asked, self._hooks_of(point, watch))
        except asyncio.CancelledError:
            point.status = "interrupted"
            raise
        except BenchkitError as error:
            self._failed(point, f"{type(error).__name__}: {error}", error)
            return None
        run = StoredRun(path)
        point.folder = path.name
        self._took_s.append(time.monotonic() - began_s)
        if run.manifest["status"] == "interrupted":
            point.status = "interrupted"
            raise asyncio.CancelledError
        if run.manifest["status"] != "complete":
            self._failed(point, f"the load was ended by {run.manifest['load'].get('stopped_by')}", None)
            return None
        await asyncio.to_thread(self._judge, point, run)
        point.status = "complete"
        self._failures = 0
        self._write()
        return run

    async def _cell(self, number: int, cell: dict[str, Any], url: str) -> None:
        """All points of one setting of the server."""
        p = self.parameters
        if p.sweep == "adaptive":
            from benchkit.experiments.sweep_search import search_sweep

            self._manifest["search"] = await search_sweep(self, url)
            return
        if not self._planned(number):
            self.points += first_points(p, cell, number)
        await self._measure_planned(number, url)
        if p.is_list or any(point.rate is not None for point in self._planned(number)):
            return
        rates = [self._achieved(number, load) for load in ("synchronous", "throughput")]
        self.points += points_between(p, cell, number, *rates)
        await self._measure_planned(number, url)

    async def _measure_planned(self, number: int, url: str) -> None:
        for point in self._planned(number):
            if point.status != "complete":
                await self.measure_point(point, url)

    def _planned(self, number: int) -> list[SweepPoint]:
        return [point for point in self.points if point.place.startswith(f"c{number}-")]

    def _is_done(self, number: int) -> bool:
        """Whether nothing of a cell is left to measure."""
        points, p = self._planned(number), self.parameters
        if p.sweep == "adaptive":
            return bool(self._manifest.get("search"))
        expected = len(p.rates) + len(p.concurrencies) if p.is_list else 2 + p.points
        return len(points) == expected and all(point.status == "complete" for point in points)

    def _achieved(self, number: int, load: str) -> float | None:
        """Requests/s of a cell's point of that load."""
        for point in self._planned(number):
            if point.load == load and point.status == "complete":
                rates = StoredRun(self.folder / point.folder).summary["windows"]["whole"]["rates"]
                value = rates["requests_per_s"]["value"]
                return None if value is None else float(value)
        raise SweepFailed(
            f"the {load} point failed, so the rates of the others are unknown: see {self.folder}"
        )

    @contextlib.asynccontextmanager
    async def _server(self, number: int, cell: dict[str, Any]) -> AsyncIterator[str]:
        """The address of the server that runs, or of one that is started with the cell's settings."""
        p = self.parameters
        if p.url:
            async with self._ready(normalise_url(p.url)) as url:
                yield url
            return
        from benchkit import serving

        named = f" with {_named(cell)}" if cell else ""
        self._hooks.stage(f"starting the server{named}")
        began_s = time.monotonic()
        server = await asyncio.to_thread(lambda: serving.start(**p.serving_values(cell)))
        try:
            startup_s = round(time.monotonic() - began_s, 3)
            self._note_cell(number, {"settings": cell, "startup_s": startup_s})
            async with self._ready(server.url) as url:
                yield url
        finally:
            server.stop()

    def _note_cell(self, number: int, facts: dict[str, Any]) -> None:
        cells = {entry["number"]: entry for entry in self._manifest["cells"]}
        cells[number] = {"number": number, **facts}
        self._manifest["cells"] = [cells[each] for each in sorted(cells)]
        self._write()

    @contextlib.asynccontextmanager
    async def _ready(self, url: str) -> AsyncIterator[str]:
        p = self.parameters
        base: RunParameters = resolve(p.run_values | {"url": url})
        model = p.model or await asyncio.to_thread(first_model, url, base)
        self._settler = Settler(url, base, model)
        try:
            await self._settler.learn()
            yield url
        finally:
            self._settler.close()

    async def _prepare(self, point: SweepPoint) -> None:
        """Waits until the server is idle, and lets it forget what it has cached."""
        assert self._settler is not None
        settled = await self._settler.settle(self.parameters.settle_s)
        point.settled = settled._asdict()
        point.cache_reset = await self._settler.reset_cache()

    def _judge(self, point: SweepPoint, run: StoredRun) -> None:
        from benchkit.analysis.saturation import saturation

        point.saturation = saturation(run).as_dict()
        if point.load == "throughput":
            point.bound = throughput_bound(run, point.concurrency or 512)

    def _failed(self, point: SweepPoint, why: str, error: BenchkitError | None) -> None:
        point.status, point.error = "failed", why
        self._failures += 1
        self._write()
        if error is not None and not any(each.status == "complete" for each in self.points):
            raise error
        if self._failures >= _MOST_FAILURES:
            raise SweepFailed(
                f"{self._failures} points failed one after the other, the last one with {why}; what was measured is in "
                f"{self.folder}, and the same command goes on from there"
            )

    def _hooks_of(self, point: SweepPoint, watch: SaturationWatch) -> Hooks:
        given = self._hooks
        watched = self.parameters.stop_saturated and point.rate is not None

        def started(launcher: Launcher) -> None:
            watch.start(launcher)
            if given.on_start is not None:
                given.on_start(launcher)

        def progress(state: Progress) -> None:
            if watched:
                watch.progress(state)
            if given.on_progress is not None:
                given.on_progress(state)

        return Hooks(given.on_stage, given.on_preflight, progress, started)

    def _tell(self, point: SweepPoint) -> None:
        if self._hooks.on_point is None:
            return
        p = self.parameters
        each = len(p.rates) + len(p.concurrencies) if p.is_list else 2 + p.points
        total = 0 if p.sweep == "adaptive" else each * len(p.cells)
        done = sum(known.status == "complete" for known in self.points)
        mean_s = sum(self._took_s) / len(self._took_s) if self._took_s else None
        left_s = None if mean_s is None or not total else mean_s * (total - done) + self._starts_left_s(point)
        cell = f" ({_named(point.cell)})" if point.cell else ""
        self._hooks.on_point(
            SweepProgress(done + 1, total, point.label + cell, time.monotonic() - self._began_s, left_s)
        )

    def _starts_left_s(self, point: SweepPoint) -> float:
        """Seconds that the servers of the cells after this point's will take to start, as long as those so far."""
        cells = self.parameters.cells
        took = [cell["startup_s"] for cell in self._manifest["cells"] if "startup_s" in cell]
        later = len(cells) - 1 - cells.index(point.cell) if point.cell in cells else 0
        return later * sum(took) / len(took) if took else 0.0

    def _write(self, **changes: Any) -> None:
        self._manifest |= {"points": [point.as_dict() for point in self.points], **changes}
        sweeps.write(self.folder, self._manifest)


def _named(cell: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in cell.items())
