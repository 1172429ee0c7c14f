"""The simulator's engine for many runs at once: the same steps as ``VllmEngine`` takes, as arrays over the runs.

Only what the runs of the coverage table need: no limit of the cache or of a step's tokens, no front end. A test holds
it against the simulator, nanosecond by nanosecond where steps do not jitter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchkit.simulator.step_time import LinearStepTime

Ints = NDArray[np.int64]

UNKNOWN = np.iinfo(np.int64).max
"""A time that did not come within the steps that were taken."""


@dataclass(frozen=True)
class Steps:
    """What happened in every run; times in ns."""

    arrived_ns: Ints
    """Of shape (runs, requests), as are the next two."""
    first_token_ns: Ints
    end_ns: Ints
    step_ns: Ints
    """When each step ended: of shape (steps, runs), as are the next two."""
    decoded: NDArray[np.int16]
    """Requests that got a token of theirs that is not the first."""
    begun: NDArray[np.int16]
    """Requests that got their first token."""


class Engines:
    """Engines that take their steps side by side.

    Args:
        seats: requests that an engine computes at the same time.
        prompts: tokens of each request's prompt, of shape (runs, requests).
        outputs: tokens of each request's answer, likewise.
        arrived_ns: when each request arrives, in order; in a closed loop of the first ones alone.
        streams: 0 = open loop, else a closed loop of so many streams, all of which begin at 0.
        jitter: standard deviation of the logarithm of a step's time round its model, as in ``EngineConfig``.
        random: what the jitter is drawn from.
    """

    def __init__(
        self,
        seats: int,
        prompts: Ints,
        outputs: Ints,
        arrived_ns: Ints | None = None,
        streams: int = 0,
        *,
        jitter: float = 0.0,
        random: np.random.Generator | None = None,
    ) -> None:
        self._seats, self._prompts, self._outputs = seats, prompts, outputs
        runs, count = prompts.shape
        # One more than there are requests: a last one that never comes.
        self._arrived = np.full((runs, count + 1), UNKNOWN)
        if arrived_ns is None:
            self._arrived[:, :streams] = 0
        else:
            self._arrived[:, :count] = arrived_ns
        self._streams = streams
        self._jitter, self._random = jitter, random
        self._known = np.full(runs, streams or count)
        self._first_step = np.full((runs, count), -1, dtype=np.int64)

    def run(self, until_ns: int, model: LinearStepTime) -> Steps:
        """Takes steps until every run has passed a time, or has nothing left to do."""
        runs, count = self._prompts.shape
        every = np.arange(runs)
        reach = int(self._outputs.max()) + 1
        leaving, freed = np.zeros((reach, runs), dtype=np.int64), np.zeros((reach, runs), dtype=np.int64)
        now = np.zeros(runs, dtype=np.int64)
        decoding, context, admitted = (np.zeros(runs, dtype=np.int64) for _ in range(3))
        ends, decoded, begun = [], [], []
        step = 0
        while now.min() < until_ns:
            idle = decoding == 0
            due = self._arrived[every, admitted]
            # An idle engine starts with the request that wakes it; one that works takes in those that came before.
            now = np.where(idle & (due != UNKNOWN), np.maximum(now, due), now)
            if not (~idle | (due != UNKNOWN)).any():
                break
            here = np.flatnonzero(((due < now) | (idle & (due <= now))) & (decoding < self._seats))
            prefill, new = np.zeros(runs, dtype=np.int64), np.zeros(runs, dtype=np.int64)
            staying = np.zeros(runs, dtype=np.int64)
            later = np.zeros(runs, dtype=np.int64)
            while here.size:
                row = admitted[here]
                prompt, output = self._prompts[here, row], self._outputs[here, row]
                self._first_step[here, row] = step
                prefill[here] += prompt
                new[here] += 1
                several = output > 1
                staying[here] += several
                later[here] += np.where(several, prompt + 1, 0)
                # Unique runs each time round: plain fancy addition is safe.
                slot = (step + output - 1) % reach
                leaving[slot, here] += 1
                freed[slot, here] += np.where(several, prompt + output, 0)
                admitted[here] += 1
                here = here[
                    ~idle[here]
                    & (self._arrived[here, admitted[here]] < now[here])
                    & (decoding[here] + new[here] < self._seats)
                ]
            duration_us = (
                model.base_us
                + model.prefill_us_per_token * prefill
                + model.decode_us_per_request * decoding
                + model.kv_us_per_token * context
            )
            if self._random is not None:
                noise = self._random.standard_normal(runs) - self._jitter / 2
                duration_us = duration_us * np.exp(self._jitter * noise)
            busy = decoding + new > 0
            now = now + np.where(busy, np.rint(duration_us * 1e3).astype(np.int64), 0)
            ends.append(now)
            decoded.append(decoding.astype(np.int16))
            begun.append(new.astype(np.int16))
            at = step % reach
            gone = leaving[at].copy()
            # Those that decoded have one token more in their context; those that end take theirs with them.
            context += decoding + later - freed[at]
            ended_at_once = new - staying
            decoding += staying - (gone - ended_at_once)
            context[decoding == 0] = 0
            leaving[at] = freed[at] = 0
            if self._streams:
                self._renew(gone, now, count)
            step += 1
        return self._steps(np.array(ends), np.array(decoded), np.array(begun))

    def _renew(self, gone: Ints, now: Ints, count: int) -> None:
        """In a closed loop each end brings the next request."""
        left = gone.copy()
        here = np.flatnonzero((left > 0) & (self._known < count))
        while here.size:
            self._arrived[here, self._known[here]] = now[here]
            self._known[here] += 1
            left[here] -= 1
            here = here[(left[here] > 0) & (self._known[here] < count)]

    def _steps(self, ends: Ints, decoded: NDArray[np.int16], begun: NDArray[np.int16]) -> Steps:
        count = self._prompts.shape[1]
        run = np.arange(self._prompts.shape[0])[:, None]
        first, last = self._first_step, self._first_step + self._outputs - 1
        steps = ends.shape[0]

        def at(which: Ints) -> Ints:
            there = (first >= 0) & (which < steps)
            return np.where(there, ends[np.clip(which, 0, steps - 1), run], UNKNOWN)

        return Steps(self._arrived[:, :count], at(first), at(last), ends, decoded, begun)
