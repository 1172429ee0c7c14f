"""A vLLM-like engine in virtual time: a front end of one process, a scheduler, and steps that take their time."""

from __future__ import annotations

import math
import random
from collections import deque

from benchkit.simulator.config import EngineConfig
from benchkit.simulator.requests import Emission, EngineRequest, EngineStats
from benchkit.simulator.scheduler import Scheduler, Step


class VllmEngine:
    """Requests in, tokens out, with the times that the configuration gives them.

    A request passes the front end, waits for the scheduler, is computed in steps, and its tokens leave through the
    front end again when their step has ended. The front end does one thing after the other, beside the steps.
    Nothing of a request is kept after its end.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._scheduler = Scheduler(config)
        self._inbox: deque[EngineRequest] = deque()
        self._outbox: deque[Emission] = deque()
        self._step: Step | None = None
        self._ahead: Step | None = None
        self._ends_ns = self._now_ns = self._front_free_ns = 0
        self._steps = 0
        self._gap_ns = round(config.step_gap_us * 1e3)
        self._stream_ns = round(config.stream_us * 1e3)
        self._cold_ns = round(config.cold_ms * 1e6)
        self._random = random.Random(f"steps {config.seed}")  # noqa: S311 - chance to be repeated

    @property
    def running(self) -> int:
        """Requests being computed."""
        return len(self._scheduler.running)

    @property
    def waiting(self) -> int:
        """Requests queued for a place in the batch."""
        return len(self._scheduler.waiting) + len(self._inbox)

    @property
    def stats(self) -> EngineStats:
        """Counters since the start."""
        scheduler = self._scheduler
        cache = scheduler.cache
        return EngineStats(
            kv_usage=1 - cache.free / cache.total if cache is not None else 0.0,
            prefix_queries=scheduler.prefix_queries,
            prefix_hits=scheduler.prefix_hits,
            preemptions=scheduler.preemptions,
            steps=self._steps,
        )

    @property
    def wants_hashes(self) -> bool:
        """Whether ``block_hashes`` of requests are of any use."""
        return self._config.prefix_caching and self._config.kv_blocks > 0

    def submit(self, request: EngineRequest, now_ns: int) -> None:
        """Takes a request in; it reaches the scheduler when the front end is done with it.

        Raises:
            ValueError: It would never fit the cache.
        """
        config = self._config
        most = request.prompt_tokens + request.output_tokens + config.draft_tokens
        if config.kv_blocks and -(-most // config.block_size) > config.kv_blocks:
            raise ValueError(
                f"a request of {most} tokens does not fit a KV cache of {config.kv_blocks} blocks of "
                f"{config.block_size}; give more kv_blocks or a shorter max_model_len"
            )
        cost_ns = round(1e3 * (config.api_us + config.api_us_per_prompt_token * request.prompt_tokens))
        start_ns = request.arrived_ns
        if cost_ns:
            start_ns = max(start_ns, self._front_free_ns)
            self._front_free_ns = start_ns + cost_ns
        request.ready_ns = max(start_ns + cost_ns, self._now_ns)
        self._inbox.append(request)
        if self._step is None and request.ready_ns <= now_ns:
            self._begin(request.ready_ns)

    def cancel(self, request: EngineRequest, now_ns: int) -> None:
        """Forgets a request whose client has gone; a step under way keeps its length."""
        del now_ns
        if request.cancelled or request.emitted >= request.output_tokens:
            return
        request.cancelled = True
        if request in self._inbox:
            self._inbox.remove(request)
        else:
            self._scheduler.finish(request)

    def stall(self, duration_ns: int) -> None:
        """Makes the step under way longer by so much, or the next one: the device hangs, and goes on."""
        if self._step is not None:
            self._ends_ns += duration_ns
        else:
            self._cold_ns += duration_ns

    def reset_prefix_cache(self) -> bool:
        """Forgets what was computed; as with vLLM only while no request is running, and gives whether it did."""
        if self._scheduler.running:
            return False
        if self._scheduler.cache is not None:
            self._scheduler.cache.forget()
        return True

    def next_ns(self) -> int | None:
        """When the next thing happens; ``None`` while there is nothing to do."""
        times = (
            [self._ends_ns] if self._step is not None else [self._inbox[0].ready_ns] if self._inbox else []
        )
        if self._outbox:
            times.append(self._outbox[0].due_ns)
        return min(times, default=None)

    def advance(self, now_ns: int) -> list[Emission]:
        """Everything due until ``now_ns``, oldest first."""
        while True:
            if self._step is not None:
                if self._ends_ns > now_ns:
                    break
                self._end(self._step, self._ends_ns)
                self._begin(self._ends_ns)
            elif self._inbox and self._inbox[0].ready_ns <= now_ns:
                self._begin(self._inbox[0].ready_ns)
            else:
                break
        outbox = self._outbox
        if outbox and outbox[-1].due_ns <= now_ns:
            out = list(outbox)
            outbox.clear()
            return out
        out = []
        while outbox and outbox[0].due_ns <= now_ns:
            out.append(outbox.popleft())
        return out

    def _schedule(self, now_ns: int) -> Step | None:
        inbox = self._inbox
        while inbox and inbox[0].ready_ns <= now_ns:
            self._scheduler.waiting.append(inbox.popleft())
        return self._scheduler.schedule(now_ns)

    def _begin(self, now_ns: int) -> None:
        """Starts the next step, if there is one."""
        config = self._config
        self._now_ns = now_ns
        self._step = step = self._ahead or self._schedule(now_ns)
        self._ahead = None
        if step is None:
            return
        duration_us = config.step_time.duration_us(step.batch)
        if config.jitter:
            duration_us *= math.exp(config.jitter * (self._random.gauss(0.0, 1.0) - config.jitter / 2))
        self._ends_ns = now_ns + self._gap_ns + round(duration_us * 1e3) + self._cold_ns
        self._cold_ns = 0
        self._steps += 1
        if config.schedule_ahead:
            self._ahead = self._schedule(now_ns)

    def _end(self, step: Step, now_ns: int) -> None:
        """Hands the step's tokens to the front end and lets go of requests that are complete."""
        self._now_ns = now_ns
        interval, stream_ns = self._config.stream_interval, self._stream_ns
        due_ns = max(now_ns, self._front_free_ns) if stream_ns else now_ns
        outbox = self._outbox
        for request, made in step.tokens_for:
            if request.cancelled:
                continue
            total = request.emitted = request.emitted + made
            finished = total >= request.output_tokens
            if total == made:
                request.first_token_ns = now_ns
            if finished:
                self._scheduler.finish(request)
            sent = made
            if interval > 1:
                sent += request.unsent
                if total > sent and sent < interval and not finished:
                    request.unsent = sent
                    continue
                request.unsent = 0
            due_ns += stream_ns
            outbox.append(Emission(request, due_ns, sent, total, finished))
        if stream_ns and step.tokens_for:
            self._front_free_ns = due_ns
