"""One offline page over a folder of runs: all of them, and what became of each service."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchkit.errors import RunNotFound
from benchkit.records.atomic import atomic_write
from benchkit.report.index_history import histories
from benchkit.report.index_page import page
from benchkit.report.index_reading import entries, pages

NAME: Final = "index.html"


def write_index(folder: str | Path) -> Path:
    """Writes ``index.html`` into a folder of runs and gives its path.

    Of each run its manifest, its summary and the times of its first tokens are read, nothing else, and nothing is kept
    from one time to the next.

    Args:
        folder: as ``outputs``.

    Raises:
        RunNotFound: there is no such folder.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise RunNotFound(f"there is no folder {place} to make an index of")
    found = entries(place)
    text = page(place.resolve().name, found, histories(found), pages(place, found))
    atomic_write(place / NAME, text.encode("utf-8"))
    return place / NAME
