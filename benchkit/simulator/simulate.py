"""Runs an engine in virtual time over a list of requests: what would have been measured, in a fraction of the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchkit.simulator.requests import Engine, EngineRequest

_Ints = npt.NDArray[np.int64]


class SimulatedRequest(NamedTuple):
    """A request to simulate."""

    due_ns: int
    """When it arrives; in a closed loop of account for the first of each stream alone."""
    prompt_tokens: int
    output_tokens: int
    block_hashes: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """What happened to each request, in the order given; ns of virtual time.

    ``gaps_ns`` holds the times between events of all requests, in order of time, where they were asked for.
    """

    arrived_ns: _Ints
    admitted_ns: _Ints
    first_token_ns: _Ints
    end_ns: _Ints
    output_tokens: _Ints
    cached_tokens: _Ints
    gaps_ns: _Ints

    @property
    def ttft_ns(self) -> _Ints:
        """From arrival to the first token's leaving."""
        return self.first_token_ns - self.arrived_ns

    @property
    def latency_ns(self) -> _Ints:
        """From arrival to the last token's leaving."""
        return self.end_ns - self.arrived_ns


def _column(values: Iterable[int]) -> _Ints:
    return np.fromiter(values, dtype=np.int64)


def simulate(
    engine: Engine,
    requests: Iterable[SimulatedRequest],
    *,
    concurrency: int = 0,
    keep_gaps: bool = False,
) -> SimulationResult:
    """Simulates all requests to their end.

    Args:
        engine: a fresh engine.
        requests: in the order of arrival.
        concurrency: 0 = open loop, by ``due_ns``; else a closed loop of so many streams: as many requests arrive by
            ``due_ns``, and each later one when another ends.
        keep_gaps: whether the gaps between events are kept.
    """
    rows: list[EngineRequest] = []
    first: dict[EngineRequest, int] = {}
    ended: dict[EngineRequest, int] = {}
    gaps: list[int] = []
    source = iter(requests)

    def submit(work: SimulatedRequest, at_ns: int) -> None:
        request = EngineRequest(work.prompt_tokens, work.output_tokens, at_ns, work.block_hashes)
        rows.append(request)
        engine.submit(request, at_ns)

    def advance(now_ns: int) -> None:
        """Records what is due; in a closed loop each end brings the next request."""
        ends = 0
        for request, due_ns, _, _, finished in engine.advance(now_ns):
            if request not in first:
                first[request] = due_ns
            elif keep_gaps:
                gaps.append(due_ns - request.last_token_ns)
            request.last_token_ns = due_ns
            if finished:
                ended[request] = due_ns
                ends += 1
        for work in islice(source, ends) if concurrency else ():
            submit(work, now_ns)

    for work in islice(source, concurrency) if concurrency else source:
        while (next_ns := engine.next_ns()) is not None and next_ns <= work.due_ns:
            advance(work.due_ns if not concurrency else next_ns)
        submit(work, work.due_ns)
    while (next_ns := engine.next_ns()) is not None:
        advance(next_ns)
    return SimulationResult(
        arrived_ns=_column(row.arrived_ns for row in rows),
        admitted_ns=_column(row.admitted_ns for row in rows),
        first_token_ns=_column(first[row] for row in rows),
        end_ns=_column(ended[row] for row in rows),
        output_tokens=_column(row.output_tokens for row in rows),
        cached_tokens=_column(row.cached_tokens for row in rows),
        gaps_ns=np.asarray(gaps, dtype=np.int64),
    )
