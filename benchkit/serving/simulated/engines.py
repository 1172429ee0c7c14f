"""Engines that decide which token leaves when; they know neither sockets nor clocks."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from benchkit.simulator.step_time import LinearStepTime


@dataclass(slots=True, eq=False)
class EngineRequest:
    """One request inside an engine, and the times of its life there (ns of the caller's clock)."""

    prompt_tokens: int
    output_tokens: int
    arrived_ns: int
    admitted_ns: int = -1
    """When it left the waiting queue; -1 while it waits."""
    first_token_ns: int = -1
    last_token_ns: int = -1
    """When the newest tokens were due; kept by whoever delivers them."""
    emitted: int = 0
    """Output tokens that have left so far."""
    prefilled: int = 0
    """Prompt tokens computed so far."""
    cancelled: bool = False


class Emission(NamedTuple):
    """Tokens of one request that leave together."""

    request: EngineRequest
    due_ns: int
    tokens: int
    total: int
    """Output tokens that have left with this one; the request itself may be further by now."""
    finished: bool

    @property
    def first(self) -> bool:
        """Whether the request's first token is among these."""
        return self.total == self.tokens


class Engine(Protocol):
    """What a server needs of an engine: requests in, emissions out, in the order of time.

    Calls must not go back in time; ``advance(now_ns)`` comes before a ``submit`` of the same time.
    """

    @property
    def running(self) -> int:
        """Requests being computed."""

    @property
    def waiting(self) -> int:
        """Requests queued for a place in the batch."""

    def submit(self, request: EngineRequest, now_ns: int) -> None:
        """Takes a request in."""

    def cancel(self, request: EngineRequest, now_ns: int) -> None:
        """Forgets a request whose client has gone."""

    def next_ns(self) -> int | None:
        """When the next emission is due; ``None`` while there is nothing to do."""

    def advance(self, now_ns: int) -> list[Emission]:
        """Everything due until ``now_ns``, oldest first."""


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
        request.prefilled = request.prompt_tokens
        due_ns = now_ns + self._ttft_ns + self._cold_ns
        self._cold_ns = 0
        heapq.heappush(self._heap, (due_ns, self._sequence, request))

    def _leave(self, now_ns: int) -> None:
        self._running -= 1
        if self._queue:
            self._admit(self._queue.popleft(), now_ns)


@dataclass(slots=True)
class _Step:
    """The step under way: when it ends and who gets a token then."""

    ends_ns: int
    tokens_for: list[EngineRequest] = field(default_factory=list)


class SimpleEngine:
    """Continuous batching with a token budget a step, timed by a linear step-time model.

    Decoding requests come first, one token of the budget each; what is left computes prompts, oldest first,
    in chunks where a prompt is longer. All tokens of a step leave at its end. No cache limit, no preemption.
    """

    def __init__(
        self,
        *,
        step_time: LinearStepTime,
        max_num_seqs: int,
        max_num_batched_tokens: int,
        cold_ns: int = 0,
    ) -> None:
        self._step_time = step_time
        self._max_num_seqs = max_num_seqs
        self._max_num_batched_tokens = max_num_batched_tokens
        self._cold_ns = cold_ns
        self._batch: list[EngineRequest] = []
        self._queue: deque[EngineRequest] = deque()
        self._step: _Step | None = None

    @property
    def running(self) -> int:
        """Requests being computed."""
        return len(self._batch)

    @property
    def waiting(self) -> int:
        """Requests queued for a place in the batch."""
        return len(self._queue)

    def submit(self, request: EngineRequest, now_ns: int) -> None:
        """Takes a request in; an idle engine starts a step with it at once."""
        self._queue.append(request)
        if self._step is None:
            self._start_step(now_ns)

    def cancel(self, request: EngineRequest, now_ns: int) -> None:
        """Forgets a request whose client has gone; the step under way keeps its length."""
        del now_ns
        request.cancelled = True
        if request in self._queue:
            self._queue.remove(request)
        elif request in self._batch:
            self._batch.remove(request)

    def next_ns(self) -> int | None:
        """When the next emission is due; ``None`` while there is nothing to do."""
        return self._step.ends_ns if self._step else None

    def advance(self, now_ns: int) -> list[Emission]:
        """Everything due until ``now_ns``, oldest first."""
        out: list[Emission] = []
        while self._step is not None and self._step.ends_ns <= now_ns:
            step = self._step
            for request in step.tokens_for:
                if request.cancelled:
                    continue
                request.emitted += 1
                if request.emitted == 1:
                    request.first_token_ns = step.ends_ns
                finished = request.emitted >= request.output_tokens
                if finished:
                    self._batch.remove(request)
                out.append(Emission(request, step.ends_ns, 1, request.emitted, finished))
            self._start_step(step.ends_ns)
        return out

    def _start_step(self, now_ns: int) -> None:
        tokens_for = [request for request in self._batch if request.prefilled >= request.prompt_tokens]
        decoding = len(tokens_for)
        kv_tokens = sum(request.prompt_tokens + request.emitted for request in tokens_for)
        budget = max(self._max_num_batched_tokens - decoding, 0)
        prefill_tokens = 0
        for request in self._batch:
            if request.prefilled < request.prompt_tokens and budget > prefill_tokens:
                prefill_tokens += self._prefill(request, budget - prefill_tokens, tokens_for)
        while self._queue and len(self._batch) < self._max_num_seqs and budget > prefill_tokens:
            request = self._queue.popleft()
            request.admitted_ns = now_ns
            self._batch.append(request)
            prefill_tokens += self._prefill(request, budget - prefill_tokens, tokens_for)
        if not self._batch:
            self._step = None
            return
        duration_ns = self._step_time.duration_ns(
            prefill_tokens=prefill_tokens, decoding_requests=decoding, kv_tokens=kv_tokens
        )
        self._step = _Step(now_ns + duration_ns + self._cold_ns, tokens_for)
        self._cold_ns = 0

    def _prefill(self, request: EngineRequest, budget: int, tokens_for: list[EngineRequest]) -> int:
        chunk = min(request.prompt_tokens - request.prefilled, budget)
        request.prefilled += chunk
        if request.prefilled >= request.prompt_tokens:
            tokens_for.append(request)
        return chunk
