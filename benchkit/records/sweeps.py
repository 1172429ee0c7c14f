"""A sweep's folder: ``sweep.json`` ties the runs of its points together; they lie inside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchkit import __version__
from benchkit.errors import RecordError, RunNotFound, SchemaMismatch
from benchkit.records import manifest as manifests
from benchkit.records import processes
from benchkit.records.atomic import atomic_write

__all__ = [
    "FILE_NAME",
    "FORMAT_VERSION",
    "create",
    "find",
    "is_sweep",
    "list_sweeps",
    "read",
    "unfinished",
    "write",
]

FILE_NAME = "sweep.json"
FORMAT_VERSION = 1
_SLUG = re.compile(r"[^A-Za-z0-9._-]+")


def create(out: Path, name: str, parameters: Mapping[str, Any], parameters_hash: str) -> Path:
    """Make the folder of a new sweep, ``<UTC time>-<name>-<6 of the hash>``, with its ``sweep.json``.

    Args:
        out: the folder that holds run and sweep folders.
        name: as asked for; ``sweep`` where it is empty.
        parameters: all resolved parameters.
        parameters_hash: their hash.
    """
    now = datetime.now(UTC)
    slug = _SLUG.sub("-", name).strip("-.")[:60] or "sweep"
    base = f"{now:%Y%m%dT%H%M%SZ}-{slug}-{parameters_hash[:6]}"
    out.mkdir(parents=True, exist_ok=True)
    count = 1
    while True:
        path = out / (base if count == 1 else f"{base}-{count}")
        try:
            path.mkdir()
            break
        except FileExistsError:
            count += 1
    manifest = {
        "schema": FORMAT_VERSION,
        "kind": "sweep",
        "benchkit_version": __version__,
        "name": name,
        "status": "running",
        "created": now.isoformat(timespec="milliseconds"),
        "parameters": dict(parameters),
        "parameters_hash": parameters_hash,
        "cells": [],
        "points": [],
        "notes": [],
    }
    write(path, manifest)
    return path


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write ``sweep.json`` without secrets and without absolute paths, in one step."""
    text = json.dumps(manifests.clean(manifest), indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write(folder / FILE_NAME, text + "\n")


def read(folder: Path) -> dict[str, Any]:
    """Give a sweep's ``sweep.json``.

    Raises:
        RunNotFound: there is none.
        RecordError: it is damaged.
        SchemaMismatch: a later version of benchkit wrote it.
    """
    file = folder / FILE_NAME
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise RunNotFound(f"{folder} holds no sweep: there is no {FILE_NAME} in it") from None
    except ValueError as error:
        raise RecordError(f"{file} is damaged: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("points"), list):
        raise RecordError(f"{file} is damaged: it is not the record of a sweep")
    if not isinstance(manifest.get("schema"), int) or manifest["schema"] > FORMAT_VERSION:
        raise SchemaMismatch(
            f"{file} was written by a later version of benchkit ({manifest.get('benchkit_version')}): use that one"
        )
    return manifest


def is_sweep(folder: Path) -> bool:
    """Tell whether a folder is a sweep's."""
    return (folder / FILE_NAME).is_file()


def list_sweeps(out: Path) -> list[Path]:
    """Give the sweeps in a folder, oldest first."""
    return sorted(path for path in out.iterdir() if is_sweep(path)) if out.is_dir() else []


def find(path_or_prefix: str | Path, out: Path) -> Path:
    """Give the sweep at a path, or the one in ``out`` whose name begins with the text; ``latest`` is the newest.

    Raises:
        RunNotFound: there is none, or more than one.
    """
    direct = Path(path_or_prefix).expanduser()
    if is_sweep(direct):
        return direct
    sweeps, text = list_sweeps(out), str(path_or_prefix)
    if text == "latest" and sweeps:
        return sweeps[-1]
    found = [path for path in sweeps if path.name.startswith(text)] if text else []
    if len(found) == 1:
        return found[0]
    many = f"{len(found)} sweeps fit" if found else f"{out} holds {len(sweeps)} sweeps, none of that name"
    raise RunNotFound(f"no sweep at {text!r}: {many}")


def unfinished(out: Path, parameters_hash: str) -> Path | None:
    """Give the newest sweep of these parameters that did not come to its end and that nobody works on.

    A damaged one is passed over.
    """
    for path in reversed(list_sweeps(out)):
        try:
            manifest = read(path)
        except RecordError:
            continue
        same = manifest.get("parameters_hash") == parameters_hash
        if same and manifest.get("status") != "complete" and not processes.is_running(path):
            return path
    return None
