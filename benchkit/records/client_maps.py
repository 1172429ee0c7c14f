"""Where maps of a machine's client are kept: ``selftest/<UTC time>.json`` and ``selftest/latest.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchkit.errors import RecordError, RunNotFound
from benchkit.records import manifest as manifests
from benchkit.records.atomic import atomic_write

__all__ = ["FOLDER", "LATEST", "find", "read", "write"]

FOLDER = "selftest"
LATEST = "latest.json"
_VERSION = 1


def write(out: Path, told: Mapping[str, Any]) -> Path:
    """Store a map under the time of now, and as the latest one.

    Args:
        out: the folder that holds run folders.
        told: the map as JSON values.

    Returns:
        The path of its own file.
    """
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    content = {"schema": _VERSION, "kind": "client map", **manifests.clean(told)}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    atomic_write(path, text)
    atomic_write(folder / LATEST, text)
    return path


def find(which: str, out: Path) -> Path:
    """Give the file of a map.

    Args:
        which: ``latest``, a file, or the beginning of a name in the folder of maps.
        out: the folder that holds run folders.

    Raises:
        RunNotFound: there is none.
    """
    folder = out / FOLDER
    if which == "latest":
        if (folder / LATEST).is_file():
            return folder / LATEST
        raise RunNotFound(f"no map of this machine's client lies in {folder}: `benchkit selftest` makes one")
    path = Path(which).expanduser()
    if path.is_file():
        return path
    named = sorted(each for each in folder.glob("*.json") if each.name.startswith(which))
    if len(named) == 1:
        return named[0]
    raise RunNotFound(f"{len(named) or 'no'} maps are called {which!r}; maps lie in {folder}")


def read(path: Path) -> dict[str, Any]:
    """Give what a map's file says.

    Raises:
        RecordError: it is no such file, damaged, or of a later version.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read as a map of a client: {error}") from None
    if not isinstance(told, dict) or told.get("kind") != "client map":
        raise RecordError(f"{path} is no map of a client: `benchkit selftest` makes one")
    if told.get("schema") != _VERSION:
        raise RecordError(f"{path} is a map of version {told.get('schema')}; this benchkit reads {_VERSION}")
    return {name: value for name, value in told.items() if name not in ("schema", "kind")}
