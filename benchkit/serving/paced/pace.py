"""When a paced server sends each token: streams in turn at a total pace, or at fixed times after arrivals."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

_MOST_AT_ONCE = 256
"""Tokens sent in one go; requests that came in meanwhile are then looked at."""
_clock = time.monotonic_ns


class Stage(NamedTuple):
    """A pace and how long it is kept."""

    tokens_per_s: float
    """Of all streams together."""
    seconds: float


class Stream(Protocol):
    """An answer under way."""

    arrived_ns: int

    def send(self, due_ns: int) -> bool:
        """Sends the next token; whether another is to follow."""


class Pace(Protocol):
    """Decides when each stream goes on."""

    def add(self, stream: Stream) -> None:
        """Takes in a stream that has just arrived."""

    def next_ns(self) -> int | None:
        """When there is something to send; None while there is nothing."""

    def run(self) -> None:
        """Sends what is due."""


class InTurn:
    """A total of tokens/s, one stream after the other; evenly, or all of them in bursts.

    Attributes:
        begun_ns: when each stage began, CLOCK_MONOTONIC; known from the first request on.
    """

    def __init__(self, stages: Sequence[Stage], ramp_s: float, *, bursts: bool) -> None:
        self._stages, self._ramp_ns, self._bursts = list(stages), round(ramp_s * 1e9), bursts
        self._streams: deque[Stream] = deque()
        self._due_ns = 0.0
        self._stage = 0
        self._step_ns = 1e9 / stages[0].tokens_per_s
        self.begun_ns: list[int] = []

    def add(self, stream: Stream) -> None:
        """See ``Pace``."""
        if not self.begun_ns:
            at_ns = stream.arrived_ns + self._ramp_ns
            for stage in self._stages:
                self.begun_ns.append(at_ns)
                at_ns += round(stage.seconds * 1e9)
        if not self._streams:
            self._due_ns = max(self._due_ns, float(_clock()))
        self._streams.append(stream)

    def next_ns(self) -> int | None:
        """See ``Pace``."""
        return int(self._due_ns) if self._streams else None

    def run(self) -> None:
        """See ``Pace``."""
        now_ns = _clock()
        self._turn_to_stage(now_ns)
        streams, step_ns = self._streams, self._step_ns
        sent = 0
        while streams and self._due_ns <= now_ns and sent < _MOST_AT_ONCE:
            due_ns, count = int(self._due_ns), len(streams) if self._bursts else 1
            for _ in range(count):
                stream = streams.popleft()
                if stream.send(due_ns):
                    streams.append(stream)
            self._due_ns += step_ns * count
            sent += count

    def _turn_to_stage(self, now_ns: int) -> None:
        """What the last stage could not hold does not weigh on the next one."""
        following = self._stage + 1
        if following < len(self._stages) and now_ns >= self.begun_ns[following]:
            self._stage = following
            self._step_ns = 1e9 / self._stages[following].tokens_per_s
            self._due_ns = float(now_ns)


class Fixed:
    """The same times after every arrival; what is due first stands first, since all wait equally long."""

    def __init__(self, ttft_ms: float, gap_ms: float) -> None:
        self._ttft_ns, self._gap_ns = round(ttft_ms * 1e6), round(gap_ms * 1e6)
        self._first: deque[tuple[int, Stream]] = deque()
        self._later: deque[tuple[int, Stream]] = deque()

    def add(self, stream: Stream) -> None:
        """See ``Pace``."""
        self._first.append((stream.arrived_ns + self._ttft_ns, stream))

    def next_ns(self) -> int | None:
        """See ``Pace``."""
        dues = [queue[0][0] for queue in (self._first, self._later) if queue]
        return min(dues, default=None)

    def run(self) -> None:
        """See ``Pace``."""
        now_ns = _clock()
        gap_ns, later = self._gap_ns, self._later
        for queue in (self._first, later):
            for _ in range(_MOST_AT_ONCE):
                if not queue or queue[0][0] > now_ns:
                    break
                due_ns, stream = queue.popleft()
                if stream.send(due_ns):
                    later.append((due_ns + gap_ns, stream))
