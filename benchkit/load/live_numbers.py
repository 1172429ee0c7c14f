"""Waits of the last seconds while a load goes on: counted by size in the transcribers, added up beside the launcher."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.load.answer import Answer

SPAN_S = 5.0
"""How far the last seconds go back."""
_PER_OCTAVE = 32
"""Sizes within 1.1 % of each other count as one."""
_NS_PER_US = 1_000.0
_US_PER_MS = 1_000.0

Counts = dict[int, int]
"""How many waits there were of each size: size = log2(microseconds) * 32."""


class Recent:
    """What one transcriber has seen since it last told."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._ttft: Counts = {}
        self._gaps: Counts = {}
        self._late_max_ns = 0

    def sent(self, answer: Answer) -> None:
        """A request was sent: how late, by the client's own fault?"""
        assert answer.sent_ns is not None
        connecting = (
            answer.connected_ns - answer.connect_start_ns
            if answer.connected_ns is not None and answer.connect_start_ns is not None
            else 0
        )
        late_ns = answer.sent_ns - answer.scheduled_ns - answer.waited_ns - connecting
        self._late_max_ns = max(self._late_max_ns, late_ns)

    def ended(self, answer: Answer) -> None:
        """An answer is over: what came of it since the last look?"""
        self._look(answer)
        self._seen.pop(id(answer), None)

    def told(self, under_way: Iterable[Answer]) -> dict[str, Any]:
        """The counts since the last call, as JSON values, and forgets them."""
        for answer in under_way:
            self._look(answer)
        told = {
            "ttft": sorted(self._ttft.items()),
            "gaps": sorted(self._gaps.items()),
            "late_max_ns": self._late_max_ns,
        }
        self._ttft, self._gaps, self._late_max_ns = {}, {}, 0
        return told

    def _look(self, answer: Answer) -> None:
        stamps = answer.chunk_ns
        count = len(stamps)
        seen = self._seen.get(id(answer), 0)
        # A second attempt begins anew.
        seen = seen if seen <= count else 0
        if count == seen:
            return
        self._seen[id(answer)] = count
        if seen == 0 and answer.sent_ns is not None:
            _add(self._ttft, np.array([stamps[0] - answer.sent_ns]))
        begin = max(seen - 1, 0)
        if count - begin > 1:
            # A copy: an array that is looked into cannot grow.
            since: NDArray[np.int64] = np.array(stamps[begin:], dtype=np.int64)
            _add(self._gaps, since[1:] - since[:-1])


class LastSeconds:
    """The waits of the last ``SPAN_S`` seconds, over all workers."""

    def __init__(self) -> None:
        self._told: deque[tuple[float, dict[str, Any]]] = deque()

    def add(self, at_s: float, told: Mapping[str, Any]) -> None:
        """Takes in what a transcriber told."""
        self._told.append((at_s, dict(told)))
        while self._told and self._told[0][0] < at_s - SPAN_S:
            self._told.popleft()

    def quantiles_ms(
        self, kind: str, shares: Sequence[float], over_s: float = SPAN_S
    ) -> tuple[float, ...] | None:
        """Quantiles of ``ttft`` or ``gaps`` in ms, each within 1.1 %; None where nothing was seen.

        Args:
            kind: which waits.
            shares: in (0, 1], rising.
            over_s: how far to go back from the newest.
        """
        sizes: Counts = {}
        newest_s = self._told[-1][0] if self._told else 0.0
        for at_s, told in self._told:
            if at_s < newest_s - over_s:
                continue
            for size, count in told[kind]:
                sizes[size] = sizes.get(size, 0) + count
        if not sizes:
            return None
        ordered = sorted(sizes)
        reached = np.cumsum([sizes[size] for size in ordered])
        places = np.searchsorted(reached, np.ceil(np.array(shares) * reached[-1]))
        return tuple(2 ** ((ordered[place] + 0.5) / _PER_OCTAVE) / _US_PER_MS for place in places)

    @property
    def late_max_ms(self) -> float | None:
        """The latest send; None where nothing was told."""
        return max((told["late_max_ns"] for _, told in self._told), default=0) / 1e6 if self._told else None


def _add(counts: Counts, waits_ns: NDArray[np.int64]) -> None:
    if len(waits_ns) == 1:
        size = math.floor(math.log2(max(waits_ns[0] / _NS_PER_US, 1.0)) * _PER_OCTAVE)
        counts[size] = counts.get(size, 0) + 1
        return
    sizes = np.floor(np.log2(np.maximum(waits_ns / _NS_PER_US, 1.0)) * _PER_OCTAVE).astype(np.int64)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        counts[int(size)] = counts.get(int(size), 0) + int(count)
