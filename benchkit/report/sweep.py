"""The public face of a sweep: make one, load one, its points, its tables."""

from __future__ import annotations

import asyncio
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.errors import BenchkitError
from benchkit.parameters import SweepParameters, resolve
from benchkit.records import sweeps
from benchkit.records.project import in_project

if TYPE_CHECKING:
    from benchkit.analysis.points import LoadPoint
    from benchkit.experiments.sweep import SweepHooks

STORED_SWEEP_VARIABLE = "BENCHKIT_STORED_SWEEP"
"""When set to a sweep's folder, ``sweep_async`` loads that sweep instead of sending load: a report is made again."""


class Sweep:
    """A sweep, finished or not.

    Attributes:
        path: its folder.
        manifest: its ``sweep.json``: parameters, settings of the server, points.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = sweeps.read(path)

    @cached_property
    def points(self) -> list[LoadPoint]:
        """Its complete points, in the order of cells and then of load."""
        from benchkit.experiments.sources import points_of_sweep

        return points_of_sweep(self.path, self.manifest)

    def __str__(self) -> str:
        from benchkit.report import sweep_tables

        tables = sweep_tables.info(self.points).text, sweep_tables.stats(self.points).text
        failed = [
            f"{label}: {why}" for label, why in self.remarks if not why.startswith(("saturated", "held back"))
        ]
        return "\n\n".join(filter(None, [*tables, "\n".join(failed), self.answer]))

    @property
    def answer(self) -> str:
        """What an adaptive sweep found; empty for others."""
        return str((self.manifest.get("search") or {}).get("text", ""))

    def __repr__(self) -> str:
        done = sum(point["status"] == "complete" for point in self.manifest["points"])
        return f"<benchkit.Sweep {self.path.name}: {self.manifest['status']}, {done} points>"

    def _repr_html_(self) -> str:
        from html import escape

        from benchkit.report import sweep_tables

        items = "".join(f"<li>{escape(label)}: {escape(why)}</li>" for label, why in self.remarks)
        html = sweep_tables.info(self.points).html + sweep_tables.stats(self.points).html
        found = f"<pre>{escape(self.answer)}</pre>" if self.answer else ""
        return html + (f"<ul>{items}</ul>" if items else "") + found

    @property
    def remarks(self) -> list[tuple[str, str]]:
        """What a reader of the tables has to know of single points: label and sentence."""
        told = []
        for point in self.manifest["points"]:
            cell = ", ".join(f"{name} {value}" for name, value in point["cell"].items())
            label = point["label"] + (f" ({cell})" if cell else "")
            state = (point.get("saturation") or {}).get("state")
            if point["status"] != "complete":
                told.append(
                    (label, f"{point['status']}; {point['error']}" if point["error"] else point["status"])
                )
            if state in ("saturated", "unclear"):
                told.append((label, f"{state}: {point['saturation']['reason']}"))
            if point.get("bound"):
                told.append((label, f"held back by {point['bound']}"))
        told += [
            (", ".join(f"{name} {value}" for name, value in cell["settings"].items()), cell["error"])
            for cell in self.manifest["cells"]
            if cell.get("error")
        ]
        return told


def live_hooks() -> SweepHooks:
    """What to give to ``sweep_async`` as ``hooks`` to see how far the sweep is."""
    from benchkit.experiments.sweep import SweepHooks
    from benchkit.report.live import SweepLive

    live = SweepLive()
    return SweepHooks(on_stage=live.stage, on_progress=live, on_point=live.point)


async def sweep_async(
    parameters: SweepParameters | None = None, *, hooks: SweepHooks | None = None, **values: Any
) -> Sweep:
    """Measures a server under many loads; each is a run of its own inside the sweep's folder.

    Args:
        parameters: resolved parameters; or give them by name, as ``sweep_async(url="…", rates=[1, 2, 4])``.
        hooks: who is told how it goes; in a notebook a live display by default.
        values: parameters by name, see ``docs/parameters.md``.

    Raises:
        ParameterError: the parameters make no sense.
        SweepFailed: points failed one after the other; what was measured is kept.
        BenchkitError: nothing could be measured.
    """
    stored = os.environ.get(STORED_SWEEP_VARIABLE)
    if stored:
        return load_sweep(stored)
    if parameters is None:
        parameters = resolve(values, SweepParameters)
    elif values:
        parameters = resolve({**parameters.model_dump(exclude_unset=True), **values}, SweepParameters)
    from benchkit.experiments.sweep import measure_sweep

    if hooks is None:
        hooks = live_hooks()
    return Sweep(await measure_sweep(parameters, hooks))


def sweep(
    parameters: SweepParameters | None = None, *, hooks: SweepHooks | None = None, **values: Any
) -> Sweep:
    """Measures a server under many loads from a program without an event loop; see ``sweep_async``.

    Raises:
        BenchkitError: an event loop is running already, as in a notebook.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(sweep_async(parameters, hooks=hooks, **values))
    raise BenchkitError(
        "an event loop is running here (a notebook?): write `sweep = await benchkit.sweep_async(…)`"
    )


def load_sweep(path: str | Path) -> Sweep:
    """Loads a sweep from its folder, or by the beginning of its name in ``outputs``; ``latest`` is the newest.

    Raises:
        RunNotFound: there is none.
        SchemaMismatch: a later version of benchkit wrote it.
    """
    return Sweep(sweeps.find(path, in_project("outputs")))
