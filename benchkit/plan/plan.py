"""A plan: the sessions that a run sends, and when each is due."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from benchkit.plan import arrivals
from benchkit.plan.lengths import UniformLengths
from benchkit.plan.randomness import Purpose, Stream
from benchkit.plan.spec import PlanSpec
from benchkit.plan.workload import SyntheticWorkload
from benchkit.records.kinds import Phase

HASHED_BODIES = {Phase.WARMUP: 100, Phase.WINDOW: 1000}
"""How many bodies of each phase the plan's hash covers."""
_HASHED_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Turn:
    """One request of a session."""

    class_name: str
    """Class of work; a synthetic plan has one, "default"."""
    model: str
    body: bytes
    """The JSON request body, ready to send."""
    prompt_hash: str
    """First 16 hex digits of the body's SHA-256."""
    prompt_tokens: int
    """Wanted length of the prompt."""
    output_tokens: int
    """Wanted length of the answer."""
    due_ns: int | None
    """Open loop: ns since the phase's start. None: due by ``delay_ns``."""
    delay_ns: int | None
    """Ns after the turn before it ended; in a closed loop's first turn 0: as soon as a slot is free."""


@dataclass(frozen=True, slots=True)
class Session:
    """Turns that are sent one after another."""

    index: int
    """Position in its phase, from 0; the same for any number of workers."""
    phase: Phase
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class PlanTotals:
    """How much a plan would send; None where only the server's speed decides."""

    requests: int | None
    """Of the window."""
    prompt_tokens: int | None
    """Of the window."""
    output_tokens: int | None
    """Of the window."""
    warmup_requests: int | None
    seconds: float | None
    """Warm-up and window, without the drain; None = until ``requests`` are answered."""
    mean_prompt_tokens: float
    """Per request, as asked for."""
    mean_output_tokens: float
    """Per request, as asked for."""


class Plan:
    """Sessions and intended times, pure in the spec: any process that holds it draws the same plan."""

    def __init__(self, spec: PlanSpec) -> None:
        self.spec = spec
        self._times: dict[Phase, npt.NDArray[np.int64] | None] = {}

    def due_ns(self, phase: Phase) -> npt.NDArray[np.int64] | None:
        """All intended times of a phase in ns since its start, ascending int64; None in a closed loop."""
        if phase not in self._times:
            self._times[phase] = self._draw_times(phase) if self.spec.is_open_loop else None
        return self._times[phase]

    def count(self, phase: Phase) -> int | None:
        """Sessions of a phase; None when it goes on for as long as the phase does."""
        due = self.due_ns(phase)
        if due is not None:
            return len(due)
        if phase == Phase.WARMUP:
            return None if self.spec.warmup_s > 0 else 0
        return self.spec.requests or None

    def sessions(
        self, phase: Phase, *, worker: int = 0, workers: int = 1, start: int = 0
    ) -> Iterator[Session]:
        """Sessions of one worker, by ascending index.

        Args:
            phase: warm-up or window.
            worker: which one, from 0; it gets the sessions with ``index % workers == worker``.
            workers: how many share the plan.
            start: the first index to consider.

        Yields:
            Sessions; without end in a closed loop that has no number of requests.
        """
        count, due = self.count(phase), self.due_ns(phase)
        workload = SyntheticWorkload(self.spec, phase.value)
        lengths = self._lengths(phase)
        index = start + (worker - start) % workers
        while count is None or index < count:
            wanted = lengths.at(index)
            body = workload.body(index, wanted)
            turn = Turn(
                class_name="default",
                model=self.spec.model,
                body=body,
                prompt_hash=hashlib.sha256(body).hexdigest()[:16],
                prompt_tokens=wanted.prompt_tokens,
                output_tokens=wanted.output_tokens,
                due_ns=None if due is None else int(due[index]),
                delay_ns=0 if due is None else None,
            )
            yield Session(index, phase, (turn,))
            index += workers

    @cached_property
    def sha256(self) -> str:
        """Hex SHA-256 over the generator's inputs, all intended times, and the first bodies of both phases.

        ``HASHED_BODIES`` says how many bodies; very long prompts end the count at 64 MiB a phase.
        """
        digest = hashlib.sha256(self.spec.canonical())
        for phase, bodies in HASHED_BODIES.items():
            due = self.due_ns(phase)
            digest.update(f"\n{phase.value}\n".encode())
            digest.update(b"" if due is None else due.astype("<i8").tobytes())
            size = 0
            for session in self.sessions(phase):
                if session.index >= bodies or size > _HASHED_BYTES:
                    break
                for turn in session.turns:
                    digest.update(turn.body + b"\n")
                    size += len(turn.body)
        return digest.hexdigest()

    def totals(self) -> PlanTotals:
        """What the plan would send, without drawing a single prompt."""
        spec = self.spec
        requests = self.count(Phase.WINDOW)
        tokens = None if requests is None else self._lengths(Phase.WINDOW).total(requests)
        return PlanTotals(
            requests=requests,
            prompt_tokens=tokens.prompt_tokens if tokens else None,
            output_tokens=tokens.output_tokens if tokens else None,
            warmup_requests=self.count(Phase.WARMUP),
            seconds=self._seconds(),
            mean_prompt_tokens=float(spec.input_tokens),
            mean_output_tokens=float(spec.output_tokens),
        )

    def _seconds(self) -> float | None:
        if self.spec.duration_s > 0:
            return self.spec.warmup_s + self.spec.duration_s
        due = self.due_ns(Phase.WINDOW)
        if due is None:
            return None
        return self.spec.warmup_s + (int(due[-1]) / arrivals.NS_PER_S if len(due) else 0.0)

    def _lengths(self, phase: Phase) -> UniformLengths:
        spec = self.spec
        return UniformLengths(
            spec.input_tokens,
            spec.input_tokens_spread,
            spec.output_tokens,
            spec.output_tokens_spread,
            Stream(spec.seed, spec.repeat, phase.value, Purpose.LENGTHS),
        )

    def _draw_times(self, phase: Phase) -> npt.NDArray[np.int64]:
        spec = self.spec
        warmup_ns = round(spec.warmup_s * arrivals.NS_PER_S)
        in_window = phase == Phase.WINDOW
        length_ns = round(spec.duration_s * arrivals.NS_PER_S) if in_window else warmup_ns
        before_ns = length_ns if length_ns or not in_window else None
        count = (spec.requests or None) if in_window else None
        stream = Stream(spec.seed, spec.repeat, phase.value, Purpose.TIMES)
        if spec.load == "constant":
            after_ns = warmup_ns if in_window else 0
            return arrivals.constant(spec.rate, before_ns=before_ns, count=count, after_ns=after_ns)
        if spec.load == "poisson":
            return arrivals.poisson(spec.rate, stream, before_ns=before_ns, count=count)
        return arrivals.gamma(spec.rate, spec.burstiness, stream, before_ns=before_ns, count=count)
