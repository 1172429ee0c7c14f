"""A request's longest pause: what was computed in it, and whether other streams, or the client, paused with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.measured import Measured
from benchkit.analysis.slowest_neighbours import Neighbours

_MS: Final = 1e6
_CLIENTS: Final = 0.5
"""Of a pause: if its end lay so long in the kernel before it was read, the client made it."""
_EDGE: Final = 0.1
"""Of a pause, at either end: a token there belongs to the step before or after."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The longest gap between two events of one request."""

    begin_s: float
    """In s since the request's first token."""
    length_ms: float
    prompts: int
    """Prompts of others whose first token came with its end, or within it."""
    prompt_tokens: float
    beside: int
    """Other streams that had tokens before it and after it."""
    silent: int
    """Those of them that had none within it either."""
    lag_ms: float
    """How long the event that ended it lay in the kernel before it was read."""
    is_censored: bool
    """Whether the time of that event is only known to lie before a later one's: they were read together."""

    @property
    def is_clients(self) -> bool:
        """Whether the client, not the server, was what paused."""
        return self.lag_ms >= _CLIENTS * self.length_ms

    @property
    def is_everybodys(self) -> bool:
        """Whether all streams stood still with it: the server, or the way from it."""
        return self.beside >= 2 and self.silent == self.beside

    @property
    def is_alone(self) -> bool:
        """Whether the other streams went on."""
        return self.beside >= 2 and self.silent <= 0.2 * self.beside


def longest_pause(measured: Measured, neighbours: Neighbours, row: int, slack_ns: float) -> Pause | None:
    """The longest pause of a request; None where it has fewer than two events.

    Args:
        measured: the run.
        neighbours: the same run's other requests.
        row: of the request.
        slack_ns: how far apart tokens of one step may be stamped.
    """
    chunks = measured.chunks
    first, after = int(chunks.offsets[row]), int(chunks.offsets[row + 1])
    if after - first < 2:
        return None
    times = chunks.ns[first:after]
    place = int(np.argmax(np.diff(times)))
    begin, end = int(times[place]), int(times[place + 1])
    stretch = np.array([begin + slack_ns, end + slack_ns])
    found = neighbours.first_tokens_between(stretch[:1], stretch[1:])
    beside, silent = _streams(measured, row, begin, end)
    event = first + place + 1
    return Pause(
        begin_s=(begin - int(times[0])) / 1e9,
        length_ms=(end - begin) / _MS,
        prompts=int(found.prompts[0]),
        prompt_tokens=float(found.tokens[0]),
        beside=beside,
        silent=silent,
        lag_ms=max(0.0, float(chunks.loop_ns[event] - chunks.ns[event]) / _MS),
        is_censored=bool(chunks.shared[event]),
    )


class Silence(NamedTuple):
    """A stretch of time without a token of any stream."""

    length_ms: float
    prompt_tokens: float
    """Of prompts whose first token ended it: they were computed in it."""


def silence_in(
    measured: Measured, neighbours: Neighbours, begin_ns: float, end_ns: float, slack_ns: float
) -> Silence:
    """The longest silence between two times; the whole stretch where no token came."""
    if end_ns <= begin_ns:
        return Silence(0.0, 0.0)
    edges = np.concatenate(([begin_ns], np.sort(_stamps(measured, begin_ns, end_ns)), [end_ns]))
    place = int(np.argmax(np.diff(edges)))
    stretch = np.asarray(edges[place : place + 2] + slack_ns, dtype=np.float64)
    computed = neighbours.first_tokens_between(stretch[:1], stretch[1:])
    return Silence(float(edges[place + 1] - edges[place]) / _MS, float(computed.tokens[0]))


def _streams(measured: Measured, row: int, begin_ns: int, end_ns: int) -> tuple[int, int]:
    """Other streams that went on over a pause, and those that had no token in the midst of it."""
    columns, chunks = measured.columns, measured.chunks
    over = (columns.first_token <= begin_ns) & (columns.last_token >= end_ns)
    over[row] = False
    rows = np.flatnonzero(over)
    if not rows.size:
        return 0, 0
    edge = _EDGE * (end_ns - begin_ns)
    low, high = begin_ns + edge, end_ns - edge
    spoke = [
        np.searchsorted(times, high, side="right") > np.searchsorted(times, low, side="left")
        for times in (chunks.ns[chunks.offsets[each] : chunks.offsets[each + 1]] for each in rows)
    ]
    return int(rows.size), int(rows.size - np.count_nonzero(spoke))


def _stamps(measured: Measured, begin_ns: float, end_ns: float) -> NDArray[np.int64]:
    ns = measured.chunks.ns
    return ns[(ns >= begin_ns) & (ns <= end_ns)]
