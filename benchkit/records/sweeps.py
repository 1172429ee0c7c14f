"""A sweep's folder: ``sweep.json`` ties the runs of its points together; they lie inside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchkit.records.series import FORMAT_VERSION, Series

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
SERIES = Series("sweep", FILE_NAME, "points")

write = SERIES.write
read = SERIES.read
is_sweep = SERIES.is_one
list_sweeps = SERIES.list
find = SERIES.find
unfinished = SERIES.unfinished


def create(out: Path, name: str, parameters: Mapping[str, Any], parameters_hash: str) -> Path:
    """Make the folder of a new sweep, with its ``sweep.json``; see ``series.Series.create``."""
    return SERIES.create(out, name, parameters, parameters_hash, cells=[])
