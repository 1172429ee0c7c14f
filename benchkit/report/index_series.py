"""A run's time to first token through its window, for a line no larger than a word."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchkit.records.kinds import Phase
from benchkit.records.layout import MERGED_NAME

BINS: Final = 32
MOST_BYTES: Final = 32 * 1024 * 1024
"""Of larger files none is read: an index is made in the time that a page may take."""
_TIMES: Final = ("sent_ns", "first_token_ns")


def ttft_over_time(folder: Path, manifest: Mapping[str, Any]) -> tuple[float | None, ...]:
    """The median TTFT in ms of what was sent in each of 32 equal parts of the window, None where there is none.

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
        table = pq.ParquetFile(file).read(columns=["phase", *_TIMES], use_threads=False)
    except (pa.ArrowInvalid, OSError, KeyError):
        return ()
    table = table.filter(pc.equal(table["phase"], Phase.WINDOW.value))
    sent, first = (table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in _TIMES)
    known = ~np.isnan(sent) & ~np.isnan(first)
    sent, first = sent[known], first[known]
    start, end = float(window["start_ns"]), float(window["end_ns"])
    if not sent.size or end <= start:
        return ()
    places = np.clip((sent - start) / (end - start) * BINS, 0, BINS - 1).astype(np.int64)
    return _medians((first - sent) / 1e6, places)


def _medians(values: NDArray[np.float64], places: NDArray[np.int64]) -> tuple[float | None, ...]:
    """The median of each place's values, all of them from one sort."""
    order = np.lexsort((values, places))
    values, edges = values[order], np.searchsorted(places[order], np.arange(BINS + 1))
    return tuple(
        float(values[(low + high - 1) // 2] + values[(low + high) // 2]) / 2 if high > low else None
        for low, high in itertools.pairwise(edges.tolist())
    )
