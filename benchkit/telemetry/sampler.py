"""Takes readings beside a run, at a steady pace and best effort: a source that fails never fails the run."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Literal, Self

from benchkit.telemetry.sample import Reading, Sample

GIVES_UP_AFTER = 5
"""Failures in a row after which a source is left alone: a server without /metrics is not asked for ever."""
LAST_SAMPLE_S = 2.0
"""How long the end of a run may wait for the last sample."""


class Sampler:
    """Calls ``read`` in a thread of its own every ``interval_s``; an asynchronous context manager.

    A first sample is taken on entry and a last one on exit: a window inside the block has both its edges.

    Args:
        read: Gives the readings; blocking is fine.
        source: For the table.
        started_ns: The run's start on CLOCK_MONOTONIC; samples count from it.
        interval_s: Seconds between samples; a slow reading skips beats, it does not shift them.

    Attributes:
        samples: What was taken so far.
        failures: How often ``read`` raised.
        last_error: What it raised last; "" if it never did.
    """

    def __init__(
        self,
        read: Callable[[], Iterable[Reading]],
        source: Literal["server", "host"],
        *,
        started_ns: int,
        interval_s: float = 0.5,
    ) -> None:
        self.samples: list[Sample] = []
        self.failures = 0
        self.last_error = ""
        self._read = read
        self._source = source
        self._started_ns = started_ns
        self._interval_s = interval_s
        self._failed_in_a_row = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"benchkit-{source}")
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._sample()
        self._task = asyncio.create_task(self._keep_sampling())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._sample(), LAST_SAMPLE_S)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _keep_sampling(self) -> None:
        began = time.monotonic()
        beat = 0
        while self._failed_in_a_row < GIVES_UP_AFTER:
            beat = max(beat + 1, int((time.monotonic() - began) / self._interval_s))
            await asyncio.sleep(began + beat * self._interval_s - time.monotonic())
            await self._sample()

    async def _sample(self) -> None:
        if self._failed_in_a_row >= GIVES_UP_AFTER:
            return
        before_ns = time.monotonic_ns()
        try:
            readings = await asyncio.get_running_loop().run_in_executor(self._thread, self._taken)
        except Exception as error:  # noqa: BLE001 - whatever a source raises, the run goes on
            self.failures += 1
            self._failed_in_a_row += 1
            self.last_error = f"{type(error).__name__}: {error}"
            return
        self._failed_in_a_row = 0
        # The source looked at its values at some time in between.
        time_ns = (before_ns + time.monotonic_ns()) // 2 - self._started_ns
        self.samples += [Sample(time_ns, self._source, *reading) for reading in readings]

    def _taken(self) -> list[Reading]:
        return list(self._read())
