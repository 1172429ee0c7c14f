"""What a transcriber knows, as one value that survives its process."""

from __future__ import annotations

from typing import Any

from benchkit.load.answer import Answer
from benchkit.load.conduct import Conduct


class Transcript:
    """All that survives a restart.

    Attributes:
        segment, offset: where on the tape to go on.
        part: number of the next part.
        start_ns: the run's start, CLOCK_MONOTONIC.
        caught_up_ns: loop time of the newest record that was read; 0 before the first.
        closed: the worker ended in order.
        facts: what the worker noted of itself.
        answers: requests under way, by key.
        conduct: how the worker behaved.
        reads, events, shared_events, tokens: counts so far; all but ``reads`` of ended requests only.
        outcomes: number of ended requests by outcome.
    """

    def __init__(self) -> None:
        self.segment = ""
        self.offset = 0
        self.part = 0
        self.start_ns = 0
        self.caught_up_ns = 0
        self.closed = False
        self.facts: dict[str, Any] = {}
        self.answers: dict[int, Answer] = {}
        self.conduct = Conduct()
        self.reads = self.events = self.shared_events = self.tokens = 0
        self.outcomes: dict[str, int] = {}
