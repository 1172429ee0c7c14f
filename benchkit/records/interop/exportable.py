"""Names what a run must have to be written in another tool's format."""

from __future__ import annotations

from typing import Any, Protocol

import pandas as pd

from benchkit.records.chunks import Chunks

__all__ = ["Exportable"]


class Exportable(Protocol):
    """A run's records: ``StoredRun`` has them, and so has an import."""

    manifest: dict[str, Any]

    @property
    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``."""

    @property
    def requests(self) -> pd.DataFrame:
        """One row a request."""

    @property
    def chunks(self) -> Chunks:
        """The events of the requests."""
