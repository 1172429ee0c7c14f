"""An engine that is always as quick as it was told, whatever the load: clients are measured against it."""

from __future__ import annotations

import heapq
from collections import deque

from benchkit.simulator.requests import Emission, EngineRequest, EngineStats


class FixedEngine:
    """First token after ``ttft_ns``, then one every ``gap_ns``, whatever the load.

    Beyond ``max_num_seqs`` requests wait, first come first served, and their first token counts from
    admission. Token k of a request is due at ``admission + ttft + k gap``: being late once shifts nothing.
    """

    def __init__(self, *, ttft_ns: int, gap_ns: int, max_num_seqs: int, cold_ns: int = 0) -> None:
        self._ttft_ns = ttft_ns
        self._gap_ns = gap_ns
        self._max_num_seqs = max_num_seqs
        self._cold_ns = cold_ns
        self._heap: list[tuple[int, int, EngineRequest]] = []
        self._queue: deque[EngineRequest] = deque()
        self._sequence = 0
        self._running = 0

    @property
    def running(self) -> int:
        """Requests being computed."""
        return self._running

    @property
    def waiting(self) -> int:
        """Requests queued for a place in the batch."""
        return len(self._queue)

    @property
    def stats(self) -> EngineStats:
        """Nothing is counted here: there is no cache and no step."""
        return EngineStats()

    @property
    def wants_hashes(self) -> bool:
        """Contents make no difference."""
        return False

    def submit(self, request: EngineRequest, now_ns: int) -> None:
        """Takes a request in; with a place free it counts from its arrival, not from when it was parsed."""
        del now_ns
        if self._running < self._max_num_seqs:
            self._admit(request, request.arrived_ns)
        else:
            self._queue.append(request)

    def cancel(self, request: EngineRequest, now_ns: int) -> None:
        """Forgets a request whose client has gone; its entry in the heap is skipped when it comes up."""
        if request.cancelled or request.emitted >= request.output_tokens:
            return
        request.cancelled = True
        if request.admitted_ns < 0:
            self._queue.remove(request)
        else:
            self._leave(now_ns)

    def stall(self, duration_ns: int) -> None:
        """Makes everything that is under way later by so much."""
        self._heap = [(due_ns + duration_ns, sequence, request) for due_ns, sequence, request in self._heap]

    def reset_prefix_cache(self) -> bool:
        """There is none to forget."""
        return True

    def next_ns(self) -> int | None:
        """When the next emission is due; ``None`` while there is nothing to do."""
        return self._heap[0][0] if self._heap else None

    def advance(self, now_ns: int) -> list[Emission]:
        """Everything due until ``now_ns``, oldest first."""
        heap = self._heap
        out: list[Emission] = []
        while heap and heap[0][0] <= now_ns:
            due_ns, sequence, request = heap[0]
            if request.cancelled:
                heapq.heappop(heap)
                continue
            request.emitted += 1
            if request.emitted == 1:
                request.first_token_ns = due_ns
            if request.emitted < request.output_tokens:
                heapq.heapreplace(heap, (due_ns + self._gap_ns, sequence, request))
                out.append(Emission(request, due_ns, 1, request.emitted, False))
            else:
                heapq.heappop(heap)
                self._leave(due_ns)
                out.append(Emission(request, due_ns, 1, request.emitted, True))
        return out

    def _admit(self, request: EngineRequest, now_ns: int) -> None:
        self._sequence += 1
        self._running += 1
        request.admitted_ns = now_ns
        due_ns = now_ns + self._ttft_ns + self._cold_ns
        self._cold_ns = 0
        heapq.heappush(self._heap, (due_ns, self._sequence, request))

    def _leave(self, now_ns: int) -> None:
        self._running -= 1
        if self._queue:
            self._admit(self._queue.popleft(), now_ns)
