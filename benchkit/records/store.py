"""A run's folder from its creation to its end: open, write, merge, finish, find.

What needs pyarrow or pandas is imported when it is called: a run creates its folder before it needs them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchkit.errors import DiskFull, RunNotFound, SchemaMismatch
from benchkit.records import manifest as manifests
from benchkit.records import processes
from benchkit.records.atomic import Reserve, atomic_path, atomic_write, is_disk_full
from benchkit.records.layout import (
    DATA_FILES,
    MERGED_NAME,
    PARTS_NAME,
    SUMMARY_NAME,
    TAPE_NAME,
    TELEMETRY_NAME,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from benchkit.records.merge import MergeResult
    from benchkit.records.stored import StoredRun

__all__ = [
    "MERGED_NAME",
    "PARTS_NAME",
    "SUMMARY_NAME",
    "TAPE_NAME",
    "TELEMETRY_NAME",
    "ChecksumMismatch",
    "RunFolder",
    "atomic_write",
    "create",
    "find",
    "finish",
    "is_running",
    "list_runs",
    "load",
    "merge_parts",
    "verify_checksums",
]

_SLUG = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_LENGTH = 60


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def parts(self) -> Path:
        """Where the transcriber puts tables while the run goes on."""
        return self.path / PARTS_NAME

    @property
    def tape(self) -> Path:
        """Where the workers put their tapes while the run goes on."""
        return self.path / TAPE_NAME

    def read_manifest(self) -> dict[str, Any]:
        """Give the manifest; raises as ``manifest.read``."""
        return manifests.read(self.path)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest without secrets and without absolute paths, in one step."""
        Reserve(self.path).spend_if_full(lambda: manifests.write(self.path, manifest))

    def update_manifest(self, **changes: Any) -> dict[str, Any]:
        """Replace top-level entries of the manifest, write it and give it back."""
        manifest = {**self.read_manifest(), **changes}
        self.write_manifest(manifest)
        return manifest

    def note(self, text: str) -> None:
        """Append a remark to the manifest's notes."""
        self.update_manifest(notes=[*self.read_manifest().get("notes", []), text])


class ChecksumMismatch(NamedTuple):
    """A data file that is not the one that the run wrote."""

    file: str
    expected: str
    actual: str | None
    """None when the file is missing."""


def create(out: Path, name: str, parameters_hash: str, *, now: datetime | None = None) -> RunFolder:
    """Make the folder of a new run: ``<UTC time>-<name>-<6 of the hash>``, with ``-2``, ``-3``, … if taken.

    Two processes never get the same folder. It has space in reserve for the files of the run's end.

    Args:
        out: The folder that holds run folders; made if absent.
        name: The run's name; letters, digits, ``.``, ``_`` and ``-`` of it are kept, empty becomes ``run``.
        parameters_hash: Hash of the resolved parameters.
        now: The time in the name, for tests.

    Raises:
        DiskFull: There is not even room for the reserve.
    """
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    slug = _SLUG.sub("-", name).strip("-.")[:_NAME_LENGTH] or "run"
    base = f"{stamp}-{slug}-{parameters_hash[:6]}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        path = _make_unique(out, base)
        try:
            Reserve(path).take()
            (path / PARTS_NAME).mkdir()
            (path / TAPE_NAME).mkdir()
        except OSError:
            _discard(path)
            raise
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise DiskFull(
            f"no room for a run in {out}: {error.strerror}; free some space or choose another out"
        ) from error
    return RunFolder(path)


def _make_unique(out: Path, base: str) -> Path:
    for count in itertools.count(1):
        path = out / (base if count == 1 else f"{base}-{count}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise AssertionError


def _discard(path: Path) -> None:
    for child in path.iterdir():
        child.rmdir() if child.is_dir() else child.unlink()
    path.rmdir()


def finish(
    folder: RunFolder | Path,
    *,
    status: str,
    summary: Mapping[str, Any],
    telemetry: pa.Table | None = None,
    load: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write what comes last (summary, telemetry, checksums, status) and give the final manifest.

    The manifest is written at the very end: a folder that says ``complete`` is complete. Can be repeated.

    Args:
        folder: The run, its parts merged.
        status: ``complete``, ``interrupted`` or ``failed``.
        summary: The content of ``summary.json``; must be free of NaN and infinities.
        telemetry: Table of ``schema.TELEMETRY``, if anything was sampled.
        load: The manifest's ``load`` entry: what the load processes say of themselves.

    Raises:
        SchemaMismatch: The telemetry has other columns.
        DiskFull: There is no room even with the reserve.
    """
    run = folder if isinstance(folder, RunFolder) else RunFolder(folder)
    reserve = Reserve(run.path)
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        reserve.spend_if_full(lambda: atomic_write(run.path / SUMMARY_NAME, text))
        if telemetry is not None:
            reserve.spend_if_full(lambda: _write_telemetry(run.path / TELEMETRY_NAME, telemetry))
        present = [name for name in DATA_FILES if (run.path / name).exists()]
        changes: dict[str, Any] = {"status": status, "checksums": {n: _sha256(run.path / n) for n in present}}
        if load is not None:
            changes["load"] = dict(load)
        reserve.release()
        manifest = run.update_manifest(**changes)
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise DiskFull(
            f"no room to finish {run.path}: {error.strerror}; free some space and run `benchkit recover`"
        ) from error
    processes.forget(run.path)
    return manifest


def _write_telemetry(path: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    from benchkit.records.schema import TELEMETRY

    if table.column_names != TELEMETRY.names:
        raise SchemaMismatch(f"telemetry has the columns {table.column_names}, not {TELEMETRY.names}")
    with atomic_path(path) as temporary:
        pq.write_table(table.cast(TELEMETRY), temporary, compression="zstd")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def merge_parts(folder: Path) -> MergeResult:
    """Merge a run's parts into ``requests.parquet``; see ``merge.merge_parts``."""
    from benchkit.records import merge

    return merge.merge_parts(folder)


def load(path: str | Path) -> StoredRun:
    """Give the run in a folder, its tables read when they are asked for; see ``stored.load``."""
    from benchkit.records import stored

    return stored.load(path)


def verify_checksums(folder: RunFolder | Path) -> list[ChecksumMismatch]:
    """Give the data files that are missing or were changed since the run ended; empty when all is well."""
    path = folder.path if isinstance(folder, RunFolder) else folder
    expected: dict[str, str] = manifests.read(path).get("checksums", {})
    found = {name: _sha256(path / name) if (path / name).exists() else None for name in expected}
    return [
        ChecksumMismatch(name, expected[name], found[name])
        for name in expected
        if found[name] != expected[name]
    ]


def is_running(folder: RunFolder | Path) -> bool:
    """Tell whether a process of the run is still alive."""
    return processes.is_running(folder.path if isinstance(folder, RunFolder) else folder)


def list_runs(out: Path) -> list[RunFolder]:
    """Give the runs in a folder, oldest first; folders without a manifest are none."""
    if not out.is_dir():
        return []
    return [RunFolder(path) for path in sorted(out.iterdir()) if (path / manifests.FILE_NAME).is_file()]


def find(path_or_prefix: str | Path, out: Path) -> RunFolder:
    """Give the run at a path, or the one in ``out`` whose folder's name begins with or contains the text.

    ``latest`` is the newest run.

    Raises:
        RunNotFound: There is none, or more than one.
    """
    direct = Path(path_or_prefix).expanduser()
    if (direct / manifests.FILE_NAME).is_file():
        return RunFolder(direct)
    text = str(path_or_prefix)
    runs = list_runs(out)
    if text == "latest" and runs:
        return runs[-1]
    matches = [run for run in runs if run.path.name.startswith(text)] or [
        r for r in runs if text in r.path.name
    ]
    exact = [run for run in matches if run.path.name == text]
    if len(exact or matches) == 1:
        return (exact or matches)[0]
    if matches:
        names = ", ".join(run.path.name for run in matches[:5])
        raise RunNotFound(
            f"{text!r} fits {len(matches)} runs in {out} ({names}{', …' if len(matches) > 5 else ''})"
        )
    nearest = get_close_matches(text, [run.path.name for run in runs], n=1, cutoff=0.4)
    hint = f"; did you mean {nearest[0]}?" if nearest else f"; {out} holds {len(runs)} runs"
    raise RunNotFound(f"no run at or in {out} named {text!r}{hint}")
