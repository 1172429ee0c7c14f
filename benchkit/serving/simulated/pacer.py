"""Drives an engine in real time: one timer for all streams, each emission handed over when it is due."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from benchkit.simulator.requests import Emission, Engine, EngineRequest
from benchkit.timer import make_timer


class Pacer:
    """Runs an engine on the monotonic clock.

    Wake-ups are at least ``quantum_ns`` apart: waking for every single token costs more than sending it, so
    at high rates a few tokens share a wake-up, each late by less than the quantum.
    """

    def __init__(
        self,
        engine: Engine,
        deliver: Callable[[Emission], None],
        loop: asyncio.AbstractEventLoop,
        *,
        quantum_ns: int,
    ) -> None:
        self.engine = engine
        self._deliver = deliver
        self._quantum_ns = quantum_ns
        self._timer = make_timer(loop, self._on_timer)
        self._armed_ns: int | None = None
        self._ran_ns = 0
        self._delivering = False

    def submit(self, request: EngineRequest) -> None:
        """Gives the engine a request that came in now."""
        now_ns = self.run_due()
        self.engine.submit(request, now_ns)
        self._arm()

    def cancel(self, request: EngineRequest) -> None:
        """Takes a request out of the engine; allowed while emissions are being delivered."""
        self.engine.cancel(request, time.monotonic_ns())
        self._arm()

    def run_due(self) -> int:
        """Delivers what is due; gives the time until which the engine has advanced.

        Anything that keeps the loop busy calls it in between: work for one client must not delay another.
        """
        now_ns = time.monotonic_ns()
        next_ns = self.engine.next_ns()
        if next_ns is not None and next_ns <= now_ns and not self._delivering:
            self._ran_ns = now_ns
            self._delivering = True
            try:
                for emission in self.engine.advance(now_ns):
                    self._deliver(emission)
            finally:
                self._delivering = False
        return now_ns

    def close(self) -> None:
        """Stops the timer."""
        self._timer.close()

    def _on_timer(self) -> None:
        self._armed_ns = None
        self.run_due()
        self._arm()

    def _arm(self) -> None:
        next_ns = self.engine.next_ns()
        if next_ns is None:
            return
        when_ns = max(next_ns, self._ran_ns + self._quantum_ns)
        if self._armed_ns is None or when_ns < self._armed_ns:
            self._armed_ns = when_ns
            self._timer.set(when_ns)
