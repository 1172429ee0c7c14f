"""What a transcriber knows, as one value that survives its process."""

from __future__ import annotations

from typing import Any

from benchkit.load.answer import Answer


class Transcript:
    """All that survives a restart.

    Attributes:
        segment, offset: where on the tape to go on.
        part: number of the next part.
        facts: what the worker noted of itself.
        answers: requests under way, by key.
    """

    def __init__(self) -> None:
        self.segment = ""
        self.offset = 0
        self.part = 0
        self.start_ns = 0
        self.offset_ns = 0
        self.closed = False
        self.facts: dict[str, Any] = {}
        self.answers: dict[int, Answer] = {}
        self.reads = self.events = self.shared_events = 0
        self.lag_max_ns = 0
        self.clock_step_ns = 0
        self.loop_gap_max_ns = 0
        self.ticks: list[tuple[int, int, int]] = []
        self.tokens = 0
        self.outcomes: dict[str, int] = {}
