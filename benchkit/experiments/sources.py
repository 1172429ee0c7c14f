"""Measured loads from wherever they lie: runs, sweeps, other tools' files, tables of points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchkit.analysis.imported import import_points, is_foreign
from benchkit.analysis.points import LoadPoint, point_of
from benchkit.errors import InvalidParameter, RunNotFound
from benchkit.records import store, stored, sweeps
from benchkit.records.project import in_project


def load_points(sources: Sequence[str | Path]) -> list[LoadPoint]:
    """The points of all sources, in their order.

    Args:
        sources: each a run's or a sweep's folder, or the beginning of its name in ``outputs``, ``latest`` for the
            newest of both, or the file of another tool or of points.

    Raises:
        InvalidParameter: there is no source at all.
        RunNotFound: a source is nothing of these.
        ForeignFileError: a file is damaged or of no known kind.
    """
    if not sources:
        raise InvalidParameter("'sources' is empty: name runs, sweeps, or other tools' result files")
    return [point for source in sources for point in _points(source)]


def points_of_sweep(path: Path, manifest: Mapping[str, Any]) -> list[LoadPoint]:
    """A sweep's complete points, cell by cell, closed loops first, then by rate.

    Args:
        path: the sweep's folder.
        manifest: its ``sweep.json``.
    """
    points = []
    for told in manifest["points"]:
        if told["status"] != "complete":
            continue
        judged = told.get("saturation") or {}
        saturated = {"saturated": True, "steady": False}.get(judged.get("state", ""))
        notes = [f"saturated: {judged['reason']}"] if saturated else []
        notes += [f"held back by {told['bound']}"] if told.get("bound") else []
        run = stored.load(path / told["folder"])
        points.append(
            point_of(run, told["folder"], cell=told["cell"], saturated=saturated, notes=tuple(notes))
        )
    cells = [told.get("settings", {}) for told in manifest["cells"]]
    return sorted(points, key=lambda point: _place(point, cells))


def _place(point: LoadPoint, cells: Sequence[Mapping[str, Any]]) -> tuple[int, int, float]:
    cell = next((at for at, settings in enumerate(cells) if settings == point.cell), len(cells))
    kind = {"synchronous": 0, "throughput": 1}.get(point.load, 2)
    return cell, kind, float(point.rate or point.concurrency or 0.0)


def _points(source: str | Path) -> list[LoadPoint]:
    path, out = Path(source).expanduser(), in_project("outputs")
    for place in (path, in_project(path)):
        if is_foreign(place):
            return import_points(place)
        if sweeps.is_sweep(place):
            return points_of_sweep(place, sweeps.read(place))
        if (place / "manifest.json").is_file():
            return [point_of(stored.load(place), place.name)]
    found = _newest(out) if str(source) == "latest" else _named(str(source), out)
    return _points(found)


def _newest(out: Path) -> Path:
    places = [*sweeps.list_sweeps(out), *(run.path for run in store.list_runs(out))]
    if not places:
        raise RunNotFound(f"{out} holds neither runs nor sweeps")
    return max(places, key=lambda place: place.name)


def _named(text: str, out: Path) -> Path:
    try:
        return sweeps.find(text, out)
    except RunNotFound:
        return store.find(text, out).path
