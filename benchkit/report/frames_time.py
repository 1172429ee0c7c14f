"""What the charts along time are drawn from: equal bins, each with a rate, a mean or a worst value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.analysis.metrics import Window
from benchkit.report.frames import NS, POINTS, Floats, RunLike, column, seconds, stored, window

WAITING: Final = "waiting for its first token"
STREAMING: Final = "streaming its answer"

_MOST_BINS: Final = 120
_ROUND_S: Final = (
    0.05,
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    20.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    1800.0,
    3600.0,
)


@dataclass(frozen=True, slots=True)
class Bins:
    """Equal stretches of a run's time; one edge falls on the window's start."""

    edges_ns: NDArray[np.int64]
    length_s: float
    span: Window

    @property
    def start_s(self) -> Floats:
        """Where each bin begins, in seconds since the window began."""
        return seconds(self.span, self.edges_ns[:-1])

    def place(self, time_ns: NDArray[Any]) -> NDArray[np.int64]:
        """The bin of each time; -1 where it lies outside or is NaN."""
        step = self.edges_ns[1] - self.edges_ns[0]
        inside = (time_ns >= self.edges_ns[0]) & (time_ns < self.edges_ns[-1])
        found = np.full(len(time_ns), -1, dtype=np.int64)
        found[inside] = (time_ns[inside] - self.edges_ns[0]) // step
        return found

    def total(self, time_ns: NDArray[Any], amount: Floats) -> Floats:
        """The sum of the amounts in each bin."""
        place = self.place(time_ns)
        there = place >= 0
        return np.bincount(place[there], weights=amount[there], minlength=len(self.edges_ns) - 1).astype(
            np.float64
        )

    def largest(self, time_ns: NDArray[Any], amount: Floats) -> Floats:
        """The largest amount in each bin; NaN where there is none."""
        found = np.full(len(self.edges_ns) - 1, np.nan)
        place = self.place(time_ns)
        there = (place >= 0) & ~np.isnan(amount)
        np.fmax.at(found, place[there], amount[there])
        return found

    def mean_in_progress(self, begin_ns: Floats, end_ns: Floats) -> Floats:
        """How many of the intervals [begin, end) are open in each bin, averaged over its time.

        Counting the intervals that touch a bin would give more than there ever were at once.
        """
        open_ns = _time_since(self.edges_ns, begin_ns) - _time_since(self.edges_ns, end_ns)
        mean: Floats = np.diff(open_ns) / np.diff(self.edges_ns)
        return mean


def _time_since(edges: NDArray[np.int64], begin: Floats) -> Floats:
    """Sum of max(edge - begin, 0) over all begins, for each edge."""
    ordered = np.sort(begin)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    count = np.searchsorted(ordered, edges, side="right")
    total: Floats = count * edges - sums[count]
    return total


def bins(run: RunLike) -> Bins:
    """Time bins from the first request's schedule to the last thing received."""
    span = window(run)
    requests = stored(run).requests
    begun, ended = requests["scheduled_ns"].min(), requests["end_ns"].max()
    first = span.start_ns if pd.isna(begun) else min(int(begun), span.start_ns)
    last = span.end_ns if pd.isna(ended) else max(int(ended), span.end_ns)
    length_s = _round_length((last - first) / NS, _MOST_BINS)
    step = round(length_s * NS)
    before, after = -(-(span.start_ns - first) // step), -(-(last - span.start_ns) // step)
    edges = span.start_ns + np.arange(-before, max(after, 1) + 1, dtype=np.int64) * step
    return Bins(edges, length_s, span)


def _round_length(whole_s: float, most: float) -> float:
    """A round length in seconds that cuts the whole into at most so many pieces."""
    return next((length for length in _ROUND_S if whole_s <= length * most), whole_s / most)


def tokens_per_s(run: RunLike) -> pd.DataFrame:
    """Output tokens a second by when they came in, whoever asked for them: `start_s`, `tokens_per_s`.

    A request whose tokens a chunk are unknown has its total shared out evenly; without one, a chunk is one.
    """
    records, grid = stored(run), bins(run)
    chunks = records.chunks
    tokens = chunks.tokens.astype(np.float64)
    if not chunks.known.all():
        even = column(records.requests, "output_tokens") / np.maximum(chunks.counts, 1)
        tokens = np.where(chunks.known[chunks.request], tokens, np.nan_to_num(even, nan=1.0)[chunks.request])
    return pd.DataFrame(
        {"start_s": grid.start_s, "tokens_per_s": grid.total(chunks.ns, tokens) / grid.length_s}
    )


def in_flight(run: RunLike) -> pd.DataFrame:
    """Requests under way, averaged over each bin: `start_s`, `state`, `requests`; one row a bin and state."""
    grid = bins(run)
    requests = stored(run).requests
    requests = requests[requests["sent_ns"].notna()]
    ended = np.nan_to_num(column(requests, "end_ns"), nan=float(grid.edges_ns[-1]))
    turned = np.fmin(column(requests, "first_token_ns"), ended)
    states = {
        WAITING: grid.mean_in_progress(column(requests, "sent_ns"), turned),
        STREAMING: grid.mean_in_progress(turned, ended),
    }
    parts = [
        pd.DataFrame({"start_s": grid.start_s, "state": state, "requests": count})
        for state, count in states.items()
    ]
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True, slots=True)
class OverTime:
    """A metric's median and p95 along the window."""

    table: pd.DataFrame
    """`middle_s` of a stretch, `statistic` ("median" or "p95"), `value`, `count`; no p95 of fewer than 20."""
    points: pd.DataFrame
    """`at_s`, `value` of single requests, evenly chosen where there are more than `POINTS`."""
    length_s: float
    """Length of a stretch: round, and long enough for about 30 requests."""


def over_time(span: Window, requests: pd.DataFrame, metric: str) -> OverTime:
    """A metric's median and p95 by when the requests were due."""
    known = requests[requests[metric].notna()]
    length_s = _round_length(span.length_s, min(60.0, max(len(known) / 30, 1)))
    place = np.floor(seconds(span, column(known, "scheduled_ns")) / length_s)
    grouped = known[metric].groupby(place)
    count = grouped.size()
    told = {"median": grouped.quantile(0.5), "p95": grouped.quantile(0.95).where(count >= 20)}
    parts = [
        pd.DataFrame(
            {
                "middle_s": (count.index.to_numpy() + 0.5) * length_s,
                "statistic": name,
                "value": value.to_numpy(),
                "count": count.to_numpy(),
            }
        )
        for name, value in told.items()
    ]
    due = known.sort_values("scheduled_ns", kind="stable")
    chosen = due.iloc[
        np.unique(np.linspace(0, max(len(due) - 1, 0), min(len(due), POINTS)).round().astype(int))
    ]
    points = pd.DataFrame(
        {"at_s": seconds(span, column(chosen, "scheduled_ns")), "value": column(chosen, metric)}
    )
    return OverTime(pd.concat(parts, ignore_index=True), points, length_s)
