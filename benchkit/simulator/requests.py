"""What goes into an engine and what comes out: requests, emissions, and the calls between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


@dataclass(slots=True, eq=False)
class EngineRequest:
    """One request inside an engine, and the times of its life there (ns of the caller's clock)."""

    prompt_tokens: int
    output_tokens: int
    arrived_ns: int
    block_hashes: Sequence[int] = ()
    """A number for each full block of the prompt and then of the answer, equal where all tokens up to the
    block's end are equal; empty for a request that shares nothing with any other."""
    admitted_ns: int = -1
    """When it first left the waiting queue; -1 while it waits."""
    first_token_ns: int = -1
    """When the step ended that made its first token."""
    last_token_ns: int = -1
    """When the newest tokens were due; kept by whoever delivers them."""
    emitted: int = 0
    """Output tokens that the engine has made and handed on."""
    cached_tokens: int = 0
    """Prompt tokens that the prefix cache had when it was first admitted."""
    preemptions: int = 0
    cancelled: bool = False
    ready_ns: int = field(default=0, repr=False)
    """When the front end has handed it to the scheduler."""
    planned: int = field(default=0, repr=False)
    """Output tokens that are made or will be at the end of a step that is scheduled."""
    computed: int = field(default=0, repr=False)
    """Tokens, of the prompt and then of the answer, whose keys and values are in the cache or will be."""
    blocks: int = field(default=0, repr=False)
    """Cache blocks that it holds, shared ones included."""
    shared_blocks: list[int] = field(default_factory=list, repr=False)
    """Hashes of those of its blocks that others may share, first to last."""
    hashed: int = field(default=0, repr=False)
    """Full blocks whose hashes the cache has been told."""
    unsent: int = field(default=0, repr=False)
    """Tokens made that wait for the stream interval."""


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


@dataclass(slots=True)
class EngineStats:
    """Counters of an engine since its start, and the share of its cache in use."""

    kv_usage: float = 0.0
    """Share of the cache's blocks that requests hold, 0 to 1."""
    prefix_queries: int = 0
    """Prompt tokens looked up in the prefix cache."""
    prefix_hits: int = 0
    """Of these, the tokens that were there."""
    preemptions: int = 0
    steps: int = 0


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

    @property
    def stats(self) -> EngineStats:
        """Counters since the start."""

    @property
    def wants_hashes(self) -> bool:
        """Whether ``block_hashes`` of requests are of any use."""

    def submit(self, request: EngineRequest, now_ns: int) -> None:
        """Takes a request in."""

    def cancel(self, request: EngineRequest, now_ns: int) -> None:
        """Forgets a request whose client has gone."""

    def next_ns(self) -> int | None:
        """When the next thing happens; ``None`` while there is nothing to do."""

    def advance(self, now_ns: int) -> list[Emission]:
        """Everything due until ``now_ns``, oldest first."""
