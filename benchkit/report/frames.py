"""What the charts read of a run, and distributions as at most a few hundred points."""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.analysis.columns import read_columns
from benchkit.analysis.events import gaps_ns
from benchkit.analysis.metrics import Window, per_request
from benchkit.analysis.points import Records as Stored
from benchkit.records.kinds import Phase

POINTS: Final = 500
"""The most points that a series of a chart has."""

NS: Final = 1e9
MS: Final = 1e6

Floats = NDArray[np.float64]


class HasStored(Protocol):
    """A `benchkit.Run`: it carries the stored run that charts read."""

    @property
    def stored(self) -> Stored: ...  # noqa: D102


RunLike = Stored | HasStored


def stored(run: RunLike) -> Stored:
    """The records of `run`, which may be a `benchkit.Run` or the stored run itself."""
    return run.stored if hasattr(run, "stored") else run


def window(run: RunLike) -> Window:
    """The measured window; where the manifest has none, all the time that its requests took."""
    told = stored(run).manifest.get("load", {}).get("window") or {}
    if told.get("end_ns") is not None:
        return Window(int(told["start_ns"]), int(told["end_ns"]))
    requests = stored(run).requests
    begun, ended = requests["scheduled_ns"].min(), requests["end_ns"].max()
    start = 0 if pd.isna(begun) else int(begun)
    return Window(start, start + 1 if pd.isna(ended) else max(start + 1, int(ended)))


def seconds(span: Window, ns: NDArray[Any]) -> Floats:
    """Times in ns since the run's start as seconds since the window began."""
    return (np.asarray(ns, dtype=np.float64) - span.start_ns) / NS


def column(requests: pd.DataFrame, name: str) -> Floats:
    """A nullable column as floats, null as NaN."""
    return requests[name].to_numpy(dtype=np.float64, na_value=np.nan)


def measured(run: RunLike) -> pd.DataFrame:
    """The requests of the window with their metrics beside them; NaN where one has no value."""
    records = stored(run)
    whole = records.requests.join(per_request(records.requests, records.chunks))
    return whole[whole["phase"] == Phase.WINDOW.value]


def values(requests: pd.DataFrame, name: str) -> Floats:
    """The known values of a column, sorted."""
    known = column(requests, name)
    return np.sort(known[~np.isnan(known)])


def ecdf(sample: Floats, series: str, points: int = POINTS) -> pd.DataFrame:
    """The empirical distribution of a sorted sample: `value`, `share` at or below it, and `series`.

    Every value is a point while there are at most `points`; above that, order statistics are picked evenly,
    and closer together in the last two per cent, where the slow ones are.
    """
    n = len(sample)
    if n <= points:
        rank = np.arange(n)
    else:
        body = np.linspace(0, 0.98, points - points // 4)
        tail = np.linspace(0.98, 1, points // 4)
        rank = np.unique(np.rint(np.concatenate([body, tail]) * (n - 1)).astype(np.int64))
    value, share = sample[rank], (rank + 1) / max(n, 1)
    # The curve rises from 0 at the smallest value.
    return pd.DataFrame(
        {
            "value": np.append(value[:1], value),
            "share": np.append(np.zeros(min(n, 1)), share),
            "series": series,
        }
    )


def gaps_ms(run: RunLike) -> Floats:
    """Milliseconds between the chunks of an answer, sorted: the sample behind the summary's `chunk_gap_ms`.

    Gaps are of the window by their own stamp, whoever sent the request, and of requests that did not fail.
    """
    chunks = stored(run).chunks
    columns = read_columns(stored(run).requests)
    chosen = np.repeat(columns.ok | columns.censored, chunks.counts) & window(run).holds(chunks.ns)
    chosen[chunks.offsets[:-1][chunks.counts > 0]] = False
    return np.sort(gaps_ns(chunks)[chosen]) / MS
