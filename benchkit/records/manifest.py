"""Reads and writes ``manifest.json``: what a run was, without secrets and without paths of this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchkit import __version__
from benchkit.errors import RecordError, RunNotFound, SchemaMismatch
from benchkit.records.atomic import atomic_write
from benchkit.records.paths import scrub_paths
from benchkit.redaction import redact_values

__all__ = ["FILE_NAME", "FORMAT_VERSION", "STATUSES", "clean", "clock_anchor", "new", "read", "write"]

FILE_NAME = "manifest.json"
FORMAT_VERSION = 1
"""Equals ``schema.SCHEMA_VERSION``; stated here as well, so that a manifest is read without pyarrow."""
STATUSES = ("running", "complete", "interrupted", "failed")


def clock_anchor() -> dict[str, int]:
    """Give one reading of the wall clock and the monotonic clock, taken together, in ns.

    Of three pairs of readings the one taken in the shortest time is used.
    """
    best: tuple[int, int, int] | None = None
    for _ in range(3):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, wall, (before + after) // 2)
    assert best is not None
    return {"wall_ns": best[1], "monotonic_ns": best[2]}


def new(
    *, name: str, parameters: Mapping[str, Any], parameters_hash: str, clock: Mapping[str, int]
) -> dict[str, Any]:
    """Give the manifest of a run that begins now: every key is there, what is not known yet is empty.

    Args:
        name: The run's name, as asked for.
        parameters: All resolved parameters.
        parameters_hash: Their hash, made before anything was redacted.
        clock: The anchor that the run's times count from, see ``clock_anchor``.
    """
    return {
        "schema": FORMAT_VERSION,
        "benchkit_version": __version__,
        "name": name,
        "status": "running",
        "created": datetime.fromtimestamp(clock["wall_ns"] / 1e9, UTC).isoformat(timespec="milliseconds"),
        "clock": dict(clock),
        "parameters": dict(parameters),
        "parameters_hash": parameters_hash,
        "plan": {},
        "plan_spec": {},
        "environment": {},
        "server": {},
        "preflight": {},
        "load": {},
        "checksums": {},
        "notes": [],
    }


def clean(manifest: Mapping[str, Any], root: Path | None = None) -> dict[str, Any]:
    """Give the manifest as it may be stored and shown: secrets redacted, paths relative or below ``~``."""
    cleaned: dict[str, Any] = scrub_paths(redact_values(manifest), root)
    return cleaned


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a run's manifest, cleaned, in one step.

    Raises:
        RecordError: The status is not one of ``STATUSES``.
    """
    status = manifest.get("status")
    if status not in STATUSES:
        raise RecordError(f"a run's status is one of {', '.join(STATUSES)}, not {status!r}")
    text = json.dumps(clean(manifest), indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write(folder / FILE_NAME, text + "\n")


def read(folder: Path) -> dict[str, Any]:
    """Give a run's manifest.

    Raises:
        RunNotFound: There is none.
        RecordError: It is not JSON.
        SchemaMismatch: A later version of benchkit wrote it.
    """
    try:
        text = (folder / FILE_NAME).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise RunNotFound(f"{folder} holds no run: there is no {FILE_NAME} in it") from None
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise RecordError(f"{folder / FILE_NAME} is damaged: {error}") from error
    if not isinstance(manifest, dict):
        raise RecordError(f"{folder / FILE_NAME} is damaged: it is not an object")
    version = manifest.get("schema")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise SchemaMismatch(
            f"{folder} was written in version {version} of the format and this benchkit reads up to "
            f"{FORMAT_VERSION}; use benchkit {manifest.get('benchkit_version', '(a later one)')} or later"
        )
    return manifest
