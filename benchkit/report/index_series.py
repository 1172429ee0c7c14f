"""A run's time to first token through its window, for a line no larger than a word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchkit.records.kinds import Phase
from benchkit.records.layout import MERGED_NAME

BINS: Final = 32
MOST_BYTES: Final = 32 * 1024 * 1024
"""Of larger files none is read: an index is made in the time that a page may take."""
_COLUMNS: Final = ["phase", "scheduled_ns", "sent_ns", "first_token_ns"]


def ttft_over_time(folder: Path, manifest: Mapping[str, Any]) -> tuple[float | None, ...]:
    """The median TTFT in ms in each of 32 equal parts of the window, None where a part has no first token.

    Empty where the run has no merged records, or more of them than are read for this.

    Args:
        folder: the run's folder.
        manifest: its manifest, for the window.
    """
    file = folder / MERGED_NAME
    window = (manifest.get("load") or {}).get("window") or {}
    if not window.get("end_ns") or not file.is_file() or file.stat().st_size > MOST_BYTES:
        return ()
    try:
        table = pq.ParquetFile(file).read(columns=_COLUMNS, use_threads=False)
    except (pa.ArrowInvalid, OSError, KeyError):
        return ()
    inside = np.asarray(table["phase"].to_numpy(zero_copy_only=False) == Phase.WINDOW.value)
    sent, first, due = (
        _floats(table[name])[inside] for name in ("sent_ns", "first_token_ns", "scheduled_ns")
    )
    known = ~np.isnan(sent) & ~np.isnan(first)
    at = np.where(np.isnan(due), sent, due)[known]
    start, end = float(window["start_ns"]), float(window["end_ns"])
    if not known.any() or end <= start:
        return ()
    ttft = ((first - sent) / 1e6)[known]
    places = np.clip((at - start) / (end - start) * BINS, 0, BINS - 1).astype(np.int64)
    order = np.argsort(places, kind="stable")
    cuts = np.searchsorted(places[order], np.arange(1, BINS))
    return tuple(float(np.median(part)) if part.size else None for part in np.split(ttft[order], cuts))


def _floats(column: Any) -> Any:
    return column.to_numpy(zero_copy_only=False).astype(np.float64)
