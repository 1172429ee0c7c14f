"""Maps of this machine's client as values: kept after a test, and found again when a run is to be placed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchkit.errors import RecordError
from benchkit.records import client_maps
from benchkit.records.project import in_project

if TYPE_CHECKING:
    from benchkit.analysis.client_map import ClientMap


def keep(found: ClientMap, out: str) -> Path:
    """Stores a map below ``out``; gives its file."""
    return client_maps.write(in_project(out), found.as_dict())


def stored(which: str = "latest", out: str = "outputs") -> ClientMap:
    """A map that was stored; see ``client_maps.find``.

    Raises:
        RunNotFound: there is none.
        RecordError: its file is damaged or none of a map.
    """
    from benchkit.analysis.client_map import ClientMap

    path = client_maps.find(which, in_project(out))
    told = client_maps.read(path)
    try:
        return ClientMap.of(told)
    except (TypeError, KeyError) as error:
        raise RecordError(f"{path} lacks what a map of a client has: {error}") from None
