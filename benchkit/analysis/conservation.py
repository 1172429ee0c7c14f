"""Whether the server saw what the client saw: requests under way, requests answered, tokens made.

The server's side comes from its ``/metrics``. Little's law on the client's own records would prove nothing: over a
whole run it is an identity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.analysis import server_said
from benchkit.analysis.columns import RequestColumns
from benchkit.analysis.window import Window
from benchkit.records.chunks import Chunks
from benchkit.records.kinds import Outcome

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FEWEST_PAGES: Final = 5
"""Pages of a window that a mean of the server's queue needs."""
_ON_THE_WAY_S: Final = 0.02
"""Time that a request may be the client's and not yet, or no longer, the server's: the wire and the front end."""
_EDGE_NS: Final = 200_000_000
"""What happened so near to the first or the last page may be on it or not."""
_STRAY: Final = 1.0
"""A single request of somebody else is no disagreement: a person tries the server, a probe looks at it."""


@dataclass(frozen=True, slots=True)
class Held:
    """Requests under way by the client's count and by the server's, on average over the pages of the window."""

    ours: float
    servers: float
    gap: float
    """What chance, and the time on the way, leave unexplained, as a share of ours (or of one request)."""

    @property
    def words(self) -> str:
        """Both, for a reader."""
        return f"{self.ours:.3g} by the client, {self.servers:.3g} by the server"


@dataclass(frozen=True, slots=True)
class Passed:
    """What the server counted between its first page and its last, beside what the client knows of that time."""

    servers: float
    least: float
    """What the client knows to have happened."""
    most: float
    """That, and what may have: at the edges, and for requests whose end it did not see."""
    gap: float
    """What lies outside of these two, as a share of what the client knows."""

    @property
    def words(self) -> str:
        """Both, for a reader."""
        return f"{self.least:,.0f} by the client, {self.servers:,.0f} by the server"


def held(columns: RequestColumns, window: Window, telemetry: pd.DataFrame | None) -> Held | None:
    """The client's requests in flight against the server's running and waiting ones.

    Both are counted at the times of the server's pages in the window. Two standard errors of their mean difference are
    chance: a page is as old as it took to come.

    Args:
        columns: of all requests, warm-up included.
        window: the measured stretch.
        telemetry: as sampled beside the run.

    Returns:
        None where the server did not say, or not often enough.
    """
    said = server_said.said_by_server(telemetry, window)
    if said is None:
        return None
    running = server_said.totals(said, server_said.RUNNING)
    if len(running) < FEWEST_PAGES:
        return None
    waiting = server_said.totals(said, server_said.WAITING).reindex(running.index, fill_value=0.0)
    servers = (running + waiting).to_numpy(dtype=np.float64)
    ours = _under_way(columns, running.index.to_numpy(dtype=np.float64))
    apart = ours - servers
    chance = 2 * float(apart.std(ddof=1)) / math.sqrt(apart.size)
    rate = float(window.holds(columns.sent).sum()) / window.length_s if window.length_s else 0.0
    excess = abs(float(apart.mean())) - chance - rate * _ON_THE_WAY_S
    mean = float(ours.mean())
    return Held(mean, float(servers.mean()), max(0.0, excess) / max(mean, 1.0))


def answered(columns: RequestColumns, telemetry: pd.DataFrame | None) -> Passed | None:
    """Requests that the server says to have ended against those that came back, over the whole run.

    Args:
        columns: of all requests, warm-up included.
        telemetry: as sampled beside the run.

    Returns:
        None where the server did not say, or began anew.
    """
    counted = _counted(telemetry, server_said.ENDED)
    if counted is None:
        return None
    servers, first, last = counted
    sure = columns.ok & _between(columns.end, first + _EDGE_NS, last - _EDGE_NS)
    unseen = np.isnan(columns.end) | _between(columns.end, first - _EDGE_NS, last + _EDGE_NS)
    possible = unseen & ~columns.is_outcome(Outcome.SHED) & ~np.isnan(columns.sent)
    return _passed(servers, float(sure.sum()), float(possible.sum()), _STRAY)


def generated(
    columns: RequestColumns, chunks: Chunks, wanted: Floats, telemetry: pd.DataFrame | None
) -> Passed | None:
    """Tokens that the server says to have made against those that were stamped, over the whole run.

    Args:
        columns: of all requests, warm-up included.
        chunks: the events of the same requests.
        wanted: the length that was asked of each; NaN where unknown.
        telemetry: as sampled beside the run.

    Returns:
        None where the server did not say, or began anew, or no request's tokens are known.
    """
    counted = _counted(telemetry, server_said.GENERATED)
    exact = chunks.known & columns.ok
    if counted is None or not exact.any():
        return None
    servers, first, last = counted
    seen = per_request(chunks, chunks.tokens)
    sure = _stamped(chunks, seen, first + _EDGE_NS, last - _EDGE_NS)
    possible = _stamped(chunks, seen, first - _EDGE_NS, last + _EDGE_NS)
    # Of an answer that broke off the server may have made more than arrived; of one whose events are not counted, all.
    whole = np.fmax(wanted, columns.output_tokens)
    rest = np.where(columns.ok & chunks.known, 0.0, np.fmax(whole - np.where(chunks.known, seen, 0.0), 0.0))
    rest = np.where(np.isnan(columns.sent) | columns.is_outcome(Outcome.SHED), 0.0, np.nan_to_num(rest))
    least = float(sure[exact].sum())
    most = float(possible[chunks.known].sum()) + float(rest.sum())
    longest = float(np.nanmax(whole, initial=0.0))
    return _passed(servers, least, most, _STRAY * longest)


def per_request(chunks: Chunks, amounts: NDArray[Any]) -> Floats:
    """What the events of each request bring together.

    Args:
        chunks: the events.
        amounts: one an event.
    """
    found = np.zeros(chunks.known.size)
    there = chunks.counts > 0
    if there.any():
        found[there] = np.add.reduceat(amounts, chunks.offsets[:-1][there], dtype=np.int64)
    return found


def _stamped(chunks: Chunks, seen: Floats, first: float, last: float) -> Floats:
    """The tokens of each request that are stamped in a stretch of time; all that were seen where it holds all."""
    if len(chunks) and first <= chunks.ns.min() and chunks.ns.max() <= last:
        return seen
    return per_request(chunks, chunks.tokens * _between(chunks.ns, first, last))


def _under_way(columns: RequestColumns, at_ns: Floats) -> Floats:
    sent = ~np.isnan(columns.sent)
    ended = np.where(np.isnan(columns.end[sent]), np.inf, columns.end[sent])
    begun = np.searchsorted(np.sort(columns.sent[sent]), at_ns, side="right")
    return (begun - np.searchsorted(np.sort(ended), at_ns, side="right")).astype(np.float64)


def _counted(telemetry: pd.DataFrame | None, names: tuple[str, ...]) -> tuple[float, int, int] | None:
    said = server_said.said_by_server(telemetry)
    return None if said is None else server_said.counted(said, names)


def _between(stamps: NDArray[Any], first: float, last: float) -> Flags:
    inside: Flags = (stamps >= first) & (stamps <= last)
    return inside


def _passed(servers: float, least: float, most: float, stray: float) -> Passed:
    outside = max(least - servers, servers - most, 0.0)
    return Passed(servers, least, most, max(0.0, outside - stray) / max(least, 1.0))
