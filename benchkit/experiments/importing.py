"""Makes run folders of our own format out of other tools' files, so that they are shown as any run is."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchkit.analysis.imported import ImportedRun
from benchkit.errors import ForeignFileError
from benchkit.records import manifest as manifests
from benchkit.records import store
from benchkit.records.interop import recognise
from benchkit.records.interop.imported_point import ImportedPoint
from benchkit.records.project import in_project
from benchkit.records.schema import REQUESTS

__all__ = ["import_file"]

_MOST_POINTS = 10_000


def import_file(path: str | Path, out: str = "outputs") -> list[Path]:
    """Writes a run's folder for every load in another tool's file, and gives their paths.

    The runs are loaded, shown and compared as any other; what the file lacks is null in them.

    Args:
        path: a file that ``records.interop.recognise`` reads, or a folder of inference-perf's reports.
        out: folder that holds run folders.

    Raises:
        ForeignFileError: the file is of no known kind, damaged, or of a version that is not read.
        DiskFull: there is no room for the folders.
    """
    source = Path(path).expanduser()
    points = recognise.read(source)
    if len(points) > _MOST_POINTS:
        raise ForeignFileError(
            f"{source} holds {len(points)} loads, and at most {_MOST_POINTS} become folders"
        )
    return [_write(point, source, in_project(out)) for point in points]


def _write(point: ImportedPoint, source: Path, out: Path) -> Path:
    run = ImportedRun(point)
    asked = run.manifest["parameters"]
    told = json.dumps([point.name, asked], sort_keys=True, default=str)
    identity = hashlib.sha256(told.encode()).hexdigest()
    folder = store.create(out, point.name.replace(source.suffix, "", 1), identity)
    anchor = manifests.clock_anchor()
    if point.requests is not None and point.requests.wall_ns is not None:
        anchor = {"wall_ns": point.requests.wall_ns, "monotonic_ns": 0}
    begun = manifests.new(name=point.name, parameters=asked, parameters_hash=identity, clock=anchor)
    folder.write_manifest(
        begun | _of_import(run, source) | ({"created": point.created} if point.created else {})
    )
    table = REQUESTS.empty_table() if point.requests is None else point.requests.table
    pq.write_table(table.cast(REQUESTS), folder.parts / "imported.parquet", compression="zstd")
    store.merge_parts(folder.path)
    store.finish(folder, status="complete", summary=run.summary, load=run.manifest["load"])
    return folder.path


def _of_import(run: ImportedRun, source: Path) -> dict[str, Any]:
    told = {
        "file": source.name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **run.manifest["imported"],
    }
    return {"imported": told, "notes": [f"imported from {source.name}, which {run.point.tool} wrote"]}
