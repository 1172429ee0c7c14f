"""Which requests compute how many tokens in a step: vLLM's V1 scheduler, first come first served.

Each request has tokens and computed tokens, and a step lets the latter catch up: there is no phase of prefill and none
of decoding. Source: the scheduler's description in the vLLM project, ``vllm/v1/core/sched/scheduler.py``.
"""

from __future__ import annotations

import random
from collections import deque
from typing import NamedTuple

from benchkit.simulator.config import EngineConfig
from benchkit.simulator.kv_cache import KvCache
from benchkit.simulator.requests import EngineRequest
from benchkit.simulator.step_time import Batch


class Step(NamedTuple):
    """What a step computes, and who gets how many tokens at its end."""

    batch: Batch
    tokens_for: list[tuple[EngineRequest, int]]


class Scheduler:
    """Decides what a step computes, and accounts for the cache.

    A request is told of a token (``planned``) when the step that makes it is scheduled; so the next step can be
    scheduled before this one has ended. What is held for a request is given back by ``finish``.

    Attributes:
        running: requests in the batch, in the order of their admission.
        waiting: requests that are not, the next first.
        cache: the KV cache; ``None`` where there is no limit.
        preemptions: how often a running request had to give its blocks back.
        prefix_queries: prompt tokens looked up in the cache.
        prefix_hits: of these, the tokens found.
    """

    def __init__(self, config: EngineConfig) -> None:
        self.running: list[EngineRequest] = []
        self.waiting: deque[EngineRequest] = deque()
        self.cache = (
            KvCache(config.kv_blocks, config.block_size, caching=config.prefix_caching)
            if config.kv_blocks
            else None
        )
        self.preemptions = self.prefix_queries = self.prefix_hits = 0
        self._config = config
        self._random = random.Random(f"drafts {config.seed}")  # noqa: S311 - chance to be repeated

    def finish(self, request: EngineRequest) -> None:
        """Lets go of a request whose last token is made, or that nobody wants any more."""
        try:
            self.running.remove(request)
        except ValueError:
            self.waiting.remove(request)
        if self.cache is not None:
            self.cache.release(request)

    def schedule(self, now_ns: int) -> Step | None:
        """The next step; ``None`` when there is nothing to compute."""
        config, cache = self._config, self.cache
        block_size, drafts = config.block_size, config.draft_tokens
        running = self.running
        budget = config.max_num_batched_tokens
        limit = config.long_prefill_token_threshold if len(running) + len(self.waiting) > 1 else 0
        tokens_for: list[tuple[EngineRequest, int]] = []
        prefill = decoding = kv = requests = 0
        pairs = 0.0
        preempted = False
        at = 0
        while at < len(running) and budget > 0:
            request = running[at]
            planned = request.planned
            if planned >= request.output_tokens:
                at += 1
                continue
            computed = request.computed
            chunk = request.prompt_tokens + planned - computed
            drafted = 0
            if chunk > 1 or not planned:
                if 0 < limit < chunk:
                    chunk = limit
                chunk = min(chunk, budget)
            elif drafts:
                drafted = min(drafts, budget - 1)
            if cache is not None:
                need = -(-(computed + chunk + drafts) // block_size) - request.blocks
                if need > 0:
                    if need > cache.free:
                        preempted = True
                        if not self._make_room(request, need):
                            break
                    cache.take_new(request, need)
            at += 1
            requests += 1
            budget -= chunk + drafted
            if chunk == 1 and planned:
                decoding += 1
                kv += computed + 1
                prefill += drafted
            else:
                prefill += chunk
                pairs += chunk * (computed + chunk / 2)
            self._compute(request, chunk, drafted, tokens_for)
        while not preempted and budget > 0 and self.waiting and len(running) < config.max_num_seqs:
            request = self.waiting[0]
            chunk = self._admit(request, budget, limit, now_ns)
            if not chunk:
                break
            requests += 1
            budget -= chunk
            prefill += chunk
            pairs += chunk * (request.computed + chunk / 2)
            self._compute(request, chunk, 0, tokens_for)
        if not requests:
            return None
        return Step(Batch(prefill, decoding, kv, round(pairs), requests), tokens_for)

    def _compute(
        self,
        request: EngineRequest,
        chunk: int,
        drafted: int,
        tokens_for: list[tuple[EngineRequest, int]],
    ) -> None:
        request.computed = computed = request.computed + chunk
        if computed == request.prompt_tokens + request.planned:
            made = 1
            while drafted and self._random.random() < self._config.draft_acceptance:
                made += 1
                drafted -= 1
            made = min(made, request.output_tokens - request.planned)
            request.computed += made - 1
            request.planned += made
            tokens_for.append((request, made))
        if request.block_hashes and self.cache is not None:
            self.cache.learn(request, request.computed)

    def _make_room(self, request: EngineRequest, need: int) -> bool:
        """Preempts the newest requests until ``need`` blocks are free; False if this one had to go itself."""
        cache = self.cache
        assert cache is not None
        while need > cache.free:
            victim = self.running.pop()
            cache.release(victim)
            victim.computed = 0
            victim.preemptions += 1
            self.preemptions += 1
            self.waiting.appendleft(victim)
            if victim is request:
                return False
        return True

    def _admit(self, request: EngineRequest, budget: int, limit: int, now_ns: int) -> int:
        """Moves the first of the queue into the batch; gives its tokens to compute, 0 if it must wait."""
        tokens = request.prompt_tokens + request.planned
        if request.planned >= request.output_tokens:
            return 0
        cache = self.cache
        found = 0
        if cache is not None:
            found, idle = cache.find(request, tokens)
            if cache.blocks_for(tokens) - found + idle > cache.free:
                return 0
        computed = found * self._config.block_size
        chunk = tokens - computed
        if 0 < limit < chunk:
            chunk = limit
        chunk = min(chunk, budget)
        if cache is not None:
            cache.take_found(request, found)
            cache.take_new(request, cache.blocks_for(computed + chunk) - found)
            if not request.preemptions and self._config.prefix_caching:
                self.prefix_queries += tokens
                self.prefix_hits += computed
                request.cached_tokens = computed
        request.computed = computed
        if request.admitted_ns < 0:
            request.admitted_ns = now_ns
        self.waiting.popleft()
        self.running.append(request)
        return chunk
