"""A sweep's folder: ``sweep.json`` ties the runs of its points together; they lie inside it."""

from __future__ import annotations

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

create = SERIES.create
write = SERIES.write
read = SERIES.read
is_sweep = SERIES.is_one
list_sweeps = SERIES.list
find = SERIES.find
unfinished = SERIES.unfinished
