"""A comparison under way: a pilot, then pairs of runs until a look finds everything decided or all are made."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchkit.analysis.compared_number import parse_number
from benchkit.analysis.looks import looks_of, spent
from benchkit.analysis.paired_look import PILOT, Look, Starts, Values, look, pilot
from benchkit.analysis.points import LoadPoint, point_of
from benchkit.errors import BenchkitError, LoadError
from benchkit.experiments.ab_pairs import PairedRun, runs_of
from benchkit.experiments.ab_servers import Targets
from benchkit.experiments.resuming import under_way
from benchkit.experiments.run import PairHalf, measure
from benchkit.experiments.sweep_progress import SweepProgress
from benchkit.experiments.sweeping import SweepHooks
from benchkit.parameters import AbParameters
from benchkit.records import pairs
from benchkit.records.stored import StoredRun


class Comparing:
    """A comparison under way; its ``ab.json`` is written before and after each run."""

    def __init__(self, parameters: AbParameters, folder: Path, hooks: SweepHooks) -> None:
        self.parameters, self.folder, self._hooks = parameters, folder, hooks
        self._told = pairs.SERIES.read(folder)
        self._numbers = [parse_number(text) for text in parameters.numbers]
        self.runs = [PairedRun(**told) for told in self._told["runs"]] or runs_of(parameters)
        self._looks = looks_of(parameters.pairs) if parameters.stop_early else (parameters.pairs,)
        self._began_s = time.monotonic()
        self._took_s: list[float] = []

    async def run(self) -> None:
        """Measures whatever is not complete, until everything is decided."""
        with under_way(self.folder, self._write, level=1 - spent(self._looks)):
            async with Targets(self.parameters, self._hooks.stage) as targets:
                for pair in range(self.parameters.pairs):
                    for run in self.runs:
                        if run.pair == pair and run.status != "complete":
                            await self._measure(run, targets)
                    if await asyncio.to_thread(self._enough, pair + 1):
                        break

    async def _measure(self, run: PairedRun, targets: Targets) -> None:
        p = self.parameters
        async with targets.turn(run.side) as (url, settler):
            settled = await settler.settle(p.settle_s)
            run.settled, run.cache_reset = settled._asdict(), await settler.reset_cache()
            self._tell(run)
            run.status, run.error = "running", ""
            self._write()
            began_s = time.monotonic()
            half = PairHalf(self.folder.name, run.pair, run.side, run.contents)
            try:
                path = await measure(
                    run.run_parameters(p, url, str(self.folder.resolve())), self._hooks, half=half
                )
            except asyncio.CancelledError:
                run.status = "interrupted"
                raise
            except BenchkitError as error:
                run.status, run.error = "failed", f"{type(error).__name__}: {error}"
                raise
        self._took_s.append(time.monotonic() - began_s)
        self._take(run, StoredRun(path))
        self._write()

    def _take(self, run: PairedRun, stored: StoredRun) -> None:
        run.folder = stored.path.name
        run.started_at = stored.manifest["server"].get("started_at")
        status = stored.manifest["status"]
        if status == "interrupted":
            run.status = "interrupted"
            raise asyncio.CancelledError
        if status != "complete":
            why = f"the load was ended by {stored.manifest['load'].get('stopped_by')}"
            run.status, run.error = "failed", why
            raise LoadError(
                f"{run.label}: {why}; see {stored.path}. The same command goes on from there once the server is well"
            )
        run.status = "complete"

    def _enough(self, count: int) -> bool:
        """Takes the pilot after its pairs, and at a look tells whether more pairs would answer anything."""
        p = self.parameters
        if count == min(PILOT, p.pairs) and count < p.pairs and not self._told.get("pilot"):
            found = pilot(self._values(count)[0], p.pairs, p.change, spent(self._looks))
            self._told["pilot"] = found.as_dict()
            self._write()
            for line in found.lines():
                self._hooks.stage(f"pilot: {line}")
        if count not in self._looks:
            return False
        seen = self._look(count)
        self._told["looks"] = [each for each in self._told["looks"] if each["pairs"] != count]
        self._told["looks"].append(seen.as_dict())
        self._write()
        for number in self._numbers:
            self._hooks.stage(f"{count} pairs: {number.text}: {seen.words(number)}")
        return seen.decided

    def _look(self, count: int) -> Look:
        values, starts = self._values(count)
        return look(values, alpha=spent(self._looks), change=self.parameters.change, starts=starts)

    def _values(self, count: int) -> tuple[Values, Starts | None]:
        """The numbers of the first pairs, and the server starts where all of them are known."""
        sides: dict[str, list[LoadPoint]] = {"a": [], "b": []}
        starts: dict[str, list[int]] = {"a": [], "b": []}
        labels: dict[tuple[str, float | None], int] = {}
        for run in sorted(self.runs, key=lambda run: run.pair):
            if run.pair < count:
                stored = StoredRun(self.folder / run.folder)
                sides[run.side].append(point_of(stored, run.folder))
                # Two servers may have begun within the resolution of what they tell: the address tells them apart.
                start = (str(stored.manifest["server"]["url"]), run.started_at)
                starts[run.side].append(labels.setdefault(start, len(labels)))
        known = all(started_at is not None for _, started_at in labels)
        values = {
            number: ([number.value(each) for each in sides["a"]], [number.value(each) for each in sides["b"]])
            for number in self._numbers
        }
        return values, (starts["a"], starts["b"]) if known else None

    def _tell(self, run: PairedRun) -> None:
        if self._hooks.on_point is None:
            return
        done = sum(each.status == "complete" for each in self.runs)
        mean_s = sum(self._took_s) / len(self._took_s) if self._took_s else None
        left_s = None if mean_s is None else mean_s * (len(self.runs) - done)
        self._hooks.on_point(
            SweepProgress(done + 1, len(self.runs), run.label, time.monotonic() - self._began_s, left_s)
        )

    def _write(self, **changes: object) -> None:
        self._told |= {"runs": [run.as_dict() for run in self.runs], **changes}
        pairs.SERIES.write(self.folder, self._told)
