"""One measurement at a time in a kernel; a button, an interrupt, or a page that was closed stops it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

from benchkit.errors import BenchkitError
from benchkit.experiments.sweep_progress import SweepProgress
from benchkit.experiments.sweeping import SweepHooks
from benchkit.load.launch import Launcher
from benchkit.load.progress import Progress
from benchkit.widgets.bridge import Bridge

TICK_S: Final = 0.5


class State(StrEnum):
    """What became of a job."""

    IDLE = "idle"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class Watcher(NamedTuple):
    """Who is told how a job goes."""

    hooks: SweepHooks
    ended: Callable[[], None]


class Job:
    """The measurement that a kernel is busy with, if any; panels come and go, and all show the same one.

    A kernel that ends takes the load's parent away: its worker stops sending, and what was measured can be recovered.

    Attributes:
        kind: ``run`` or ``sweep``.
        state: what became of it.
        error: of a failed one, in words.
        folder: what it left, where it left something.
        stays: whether it goes on when all pages are closed.
        why_stopped: who stopped it.
        pages: the pages that show it.
    """

    def __init__(self) -> None:
        self.kind = ""
        self.state = State.IDLE
        self.error = ""
        self.folder: Path | None = None
        self.stays = False
        self.why_stopped = ""
        self.pages: list[Bridge] = []
        self._watchers: list[Watcher] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._launcher: Launcher | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is being measured."""
        return self.state in (State.RUNNING, State.STOPPING)

    def watch(self, watcher: Watcher) -> None:
        """Tells somebody how the measurement under way goes, until its end."""
        self._watchers.append(watcher)

    def start(self, kind: str, work: Callable[[SweepHooks], Coroutine[Any, Any, Path]]) -> None:
        """Begins a measurement in this kernel's loop.

        Args:
            kind: ``run``, one load, which is stopped by its launcher and then stored; or ``sweep``.
            work: makes it, with hooks; gives the folder that it leaves.

        Raises:
            BenchkitError: something is being measured already.
        """
        if self.is_busy:
            raise BenchkitError("something is being measured already: stop it first, or wait for its end")
        self.kind, self.state, self.error, self.folder, self.why_stopped = kind, State.RUNNING, "", None, ""
        self._launcher, self._watchers = None, []
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(work))

    def stop(self, why: str = "stopped by its button") -> None:
        """Ends it; what was measured until now is finished and stored."""
        if self.state is not State.RUNNING:
            return
        self.state, self.why_stopped = State.STOPPING, why
        if self.kind == "run" and self._launcher is not None:
            self._launcher.stop("interrupt")
        elif self._task is not None:
            self._task.cancel()

    async def wait(self) -> None:
        """Returns when nothing is being measured."""
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(self._task)

    async def _run(self, work: Callable[[SweepHooks], Coroutine[Any, Any, Path]]) -> None:
        ticker = asyncio.ensure_future(self._tick())
        try:
            self.folder = await work(self._hooks())
            self.state = State.INTERRUPTED if self.state is State.STOPPING else State.DONE
        except asyncio.CancelledError:
            self.state = State.INTERRUPTED
        except BenchkitError as error:
            self.state, self.error = State.FAILED, f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 - shown in the panel, where nobody would see a traceback
            self.state, self.error = State.FAILED, f"{type(error).__name__}: {error}"
        finally:
            ticker.cancel()
            for watcher in self._watchers:
                watcher.ended()

    def _hooks(self) -> SweepHooks:
        def stage(text: str) -> None:
            for watcher in self._watchers:
                watcher.hooks.stage(text)

        def progress(state: Progress) -> None:
            for watcher in self._watchers:
                if watcher.hooks.on_progress is not None:
                    watcher.hooks.on_progress(state)

        def point(state: SweepProgress) -> None:
            for watcher in self._watchers:
                if watcher.hooks.on_point is not None:
                    watcher.hooks.on_point(state)

        def started(launcher: Launcher) -> None:
            self._launcher = launcher
            if self.state is State.STOPPING:
                launcher.stop("interrupt")

        return SweepHooks(on_stage=stage, on_progress=progress, on_start=started, on_point=point)

    async def _tick(self) -> None:
        """Listens for the Interrupt button, which a kernel at rest would pass over, and for pages that left."""
        with self._interruptible():
            while True:
                await asyncio.sleep(TICK_S)
                self._listen()
                gone = [page.waited(TICK_S) for page in self.pages]
                if gone and all(gone) and not self.stays:
                    self.stop("its page was closed")

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        try:
            self._listen()
            yield
        finally:
            with contextlib.suppress(ValueError):
                if signal.getsignal(signal.SIGINT) == self._interrupted:
                    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _listen(self) -> None:
        # While a cell is executed its interrupt belongs to the cell: only a signal that would be ignored is taken.
        with contextlib.suppress(ValueError):
            if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
                signal.signal(signal.SIGINT, self._interrupted)

    def _interrupted(self, _: int, __: FrameType | None) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.stop, "interrupted")


_OF_KERNEL: Final = Job()


def job_of_kernel() -> Job:
    """The one of this kernel."""
    return _OF_KERNEL
