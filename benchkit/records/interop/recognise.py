"""Finds out which tool wrote a file, by its content, and reads it."""

from __future__ import annotations

from pathlib import Path

from benchkit.errors import ForeignFileError
from benchkit.records.interop import points_table
from benchkit.records.interop.imported_point import ImportedPoint

__all__ = ["is_foreign", "read"]


def is_foreign(path: Path) -> bool:
    """Whether the path is one for ``read``: a file. What benchkit measured itself lies in folders."""
    return path.is_file()


def read(path: Path) -> list[ImportedPoint]:
    """Give the measured loads of a file, in its order.

    Raises:
        ForeignFileError: The file is of no known kind, damaged, or of a version that is not read.
    """
    if points_table.recognises(path):
        return points_table.read(path)
    raise ForeignFileError(
        f"{path} is of no kind that benchkit reads; see docs/interop.md for those that it does"
    )
