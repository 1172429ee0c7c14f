"""Starts the processes of a load, leads them through it, and collects what they found out about themselves.

Each worker has two companions: a feed that draws its part of the plan, and a transcriber that turns its tape into
records. All of them live in sessions of their own: an interrupt in a terminal or a notebook reaches none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchkit import errors
from benchkit.errors import TranscriptionFailed, WorkerDied
from benchkit.load.limits import check_ports
from benchkit.load.progress import Progress, ProgressKeeper
from benchkit.load.spec import PARTS_FOLDER, LoadSpec
from benchkit.records import processes
from benchkit.records.atomic import Reserve

_READY_TIMEOUT_S = 60.0
_LEAD_NS = 20_000_000
_TRANSCRIBER_RESTARTS = 3
_PATIENCE_S = 1.0
_LINE_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load's processes report at its end.

    Attributes:
        start_ns: the run's start, CLOCK_MONOTONIC.
        window_start_ns, window_end_ns: the window, ns since the run's start.
        stopped_by: why it ended early; ``None`` when it did not.
        workers: facts of each worker.
        lost_bytes: what a full disk did not take.
    """

    start_ns: int
    window_start_ns: int
    window_end_ns: int
    stopped_by: str | None
    workers: tuple[dict[str, Any], ...]
    lost_bytes: int = 0


@dataclass(slots=True)
class _Member:
    """A worker with its companions."""

    number: int
    worker: asyncio.subprocess.Process
    transcriber: asyncio.subprocess.Process
    feed: asyncio.subprocess.Process
    latest: dict[str, Any] = field(default_factory=dict)
    live: dict[str, Any] = field(default_factory=dict)
    done: dict[str, Any] | None = None
    facts: dict[str, Any] | None = None
    in_a_hurry: bool = False


class Launcher:
    """One load on this machine.

    Args:
        spec: what is sent; written to the folder.
        folder: the run's folder; tape and parts go into it.
        headers: extra headers, which may be secret: they travel by pipe, never by file.
        on_progress: called about twice a second.
    """

    def __init__(
        self,
        spec: LoadSpec,
        folder: Path,
        *,
        headers: Mapping[str, str] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._spec, self._folder = spec, folder
        self._headers = dict(headers or {})
        self._members: list[_Member] = []
        self._stop_asked = asyncio.Event()
        self._stopped_by: str | None = None
        self._start_ns = 0
        total_ns = spec.warmup_ns + spec.duration_ns if spec.duration_ns else 0
        self._keeper = ProgressKeeper(spec.warmup_ns / 1e9, total_ns / 1e9, on_progress)

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._keeper.progress

    def stop(self, reason: str = "interrupt", *, drain: bool = False) -> None:
        """Ends the load early; what was measured is kept."""
        self._stopped_by = self._stopped_by or reason
        for member in self._members:
            _tell(member.worker, {"stop": reason, "drain": drain})
        self._stop_asked.set()

    async def run(self) -> LoadResult:
        """Runs the load to its end.

        Raises:
            OutOfDescriptors: the limit of open files is too low.
            WorkerDied: a process did not even start.
            TargetError: a worker could not resolve the server's name.
        """
        spec = self._spec
        check_ports(spec.concurrency or spec.max_in_flight)
        spec.tape_folder(self._folder).mkdir(parents=True, exist_ok=True)
        (self._folder / PARTS_FOLDER).mkdir(exist_ok=True)
        spec.write(self._folder)
        try:
            for number in range(spec.workers):
                self._members.append(await self._start(number))
            await asyncio.wait_for(
                asyncio.gather(*(self._ready(member) for member in self._members)), _READY_TIMEOUT_S
            )
            self._start_ns = time.monotonic_ns() + _LEAD_NS
            for member in self._members:
                _tell(member.worker, {"start_ns": self._start_ns})
            reporter = asyncio.create_task(self._report())
            try:
                await asyncio.gather(*(self._follow(member) for member in self._members))
            finally:
                reporter.cancel()
            return self._result()
        except TimeoutError:
            raise WorkerDied(
                f"the load processes did not start within a minute; their logs are in {self._folder}"
            ) from None
        finally:
            await self._end_all()

    async def _start(self, number: int) -> _Member:
        arguments = [str(self._folder), str(number)]
        pipes = [os.pipe(), os.pipe()]
        write_ends = [str(write) for _, write in pipes]
        read_ends = [str(read) for read, _ in pipes]
        try:
            feed = await self._spawn("feed", [*arguments, *write_ends], pass_fds=[w for _, w in pipes])
            worker = await self._spawn("worker", [*arguments, *read_ends], pass_fds=[r for r, _ in pipes])
            transcriber = await self._spawn("transcribe", arguments)
        finally:
            for pair in pipes:
                for fd in pair:
                    os.close(fd)
        _tell(worker, {"headers": self._headers})
        return _Member(number, worker, transcriber, feed)

    async def _spawn(
        self, module: str, arguments: list[str], pass_fds: list[int] | None = None
    ) -> asyncio.subprocess.Process:
        log = self._folder / f"{module}-{arguments[1]}.log"
        with log.open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"benchkit.load.{module}",
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                pass_fds=pass_fds or [],
                limit=_LINE_LIMIT,
            )
        processes.remember(self._folder, f"{module} {arguments[1]}", process.pid)
        return process

    async def _ready(self, member: _Member) -> None:
        line = await _line(member.worker)
        if line is None:
            raise WorkerDied(
                f"the load process ended at its start: {self._log_tail('worker', member.number)}"
            )
        if line["event"] == "failed":
            kind = getattr(errors, line["error"], WorkerDied)
            raise kind(line["text"])

    async def _follow(self, member: _Member) -> None:
        transcription = asyncio.create_task(self._follow_transcriber(member))
        while (line := await _line(member.worker)) is not None:
            if line["event"] == "progress":
                member.latest = line
            elif line["event"] == "disk_full":
                Reserve(self._folder).release()
            elif line["event"] == "done":
                member.done = line
                if line["stopped_by"]:
                    self.stop(line["stopped_by"], drain=line["stopped_by"] == "max_error_rate")
        await member.worker.wait()
        if member.done is None:
            self.stop("worker_died")
        await transcription

    async def _follow_transcriber(self, member: _Member) -> None:
        hurry = asyncio.create_task(self._hurry(member))
        try:
            await self._transcribed(member)
        finally:
            hurry.cancel()

    async def _hurry(self, member: _Member) -> None:
        """Replaces a transcriber that got no processor time by one of ordinary priority, once the load is over.

        Killing it is safe: whatever it had not finished is still on the tape.
        """
        await member.worker.wait()
        await asyncio.sleep(_PATIENCE_S)
        if member.facts is None:
            member.in_a_hurry = True
            _kill(member.transcriber)

    async def _transcribed(self, member: _Member) -> None:
        for attempt in range(1 + _TRANSCRIBER_RESTARTS):
            if attempt:
                more = ["ordinary"] if member.in_a_hurry else []
                arguments = [str(self._folder), str(member.number), *more]
                member.transcriber = await self._spawn("transcribe", arguments)
                if member.worker.returncode is not None:
                    _hang_up(member.transcriber)
            while (line := await _line(member.transcriber)) is not None:
                if line["event"] == "live":
                    member.live = line
                    self._keeper.heard(self._elapsed_s(), line)
                    self._judge_errors()
                elif line["event"] == "facts":
                    member.facts = line
                elif line["event"] == "failed" and line["disk_full"]:
                    self.stop("disk_full")
                    await member.worker.wait()
                    Reserve(self._folder).release()
            await member.transcriber.wait()
            if member.facts is not None:
                return
        # The tape is safe on the disk, so the load goes on: what it measures can be read later.
        await member.worker.wait()
        raise TranscriptionFailed(
            f"the tape of worker {member.number} could not be turned into records "
            f"({self._log_tail('transcribe', member.number)}); it is kept in {self._folder}, "
            "`benchkit recover` tries again"
        )

    def _judge_errors(self) -> None:
        """Stops a load whose answers fail in ways that only their content shows."""
        failed = sum(member.live.get("failed", 0) for member in self._members)
        ended = failed + sum(member.live.get(kind, 0) for member in self._members for kind in ("ok", "shed"))
        if ended >= 20 and failed > self._spec.max_error_rate * ended and self._stopped_by is None:
            self.stop("max_error_rate", drain=True)

    async def _report(self) -> None:
        hung_up: set[int] = set()
        while True:
            await asyncio.sleep(0.1)
            for member in self._members:
                if member.worker.returncode is not None and member.number not in hung_up:
                    hung_up.add(member.number)
                    _hang_up(member.transcriber)
            self._keeper.update(
                self._elapsed_s(),
                (member.latest for member in self._members),
                (member.live for member in self._members),
            )

    def _elapsed_s(self) -> float:
        return max(0.0, (time.monotonic_ns() - self._start_ns) / 1e9)

    def _result(self) -> LoadResult:
        origin_ns = self._spec.origin_ns or self._start_ns
        window_start_ns = self._start_ns + self._spec.warmup_ns - origin_ns
        ends = [
            member.done["window_end_ns"] - origin_ns for member in self._members if member.done is not None
        ]
        now = time.monotonic_ns() - origin_ns
        planned = window_start_ns + self._spec.duration_ns if self._spec.duration_ns else now
        window_end_ns = max(ends) if ends else max(window_start_ns, min(now, planned))
        workers = tuple(
            {
                name: value
                for name, value in (member.facts or {"worker": member.number}).items()
                if name not in {"event", "window_ns", "window_end_ns"}
            }
            for member in self._members
        )
        lost = sum((member.done or {}).get("lost_bytes", 0) for member in self._members)
        return LoadResult(origin_ns, window_start_ns, window_end_ns, self._stopped_by, workers, lost)

    async def _end_all(self) -> None:
        """Leaves no process behind, whatever happened."""
        for member in self._members:
            for process in (member.feed, member.worker, member.transcriber):
                if process.returncode is None and process is member.feed:
                    _kill(process)
                elif process.returncode is None:
                    _hang_up(process)
        for member in self._members:
            for process in (member.worker, member.transcriber, member.feed):
                try:
                    await asyncio.wait_for(process.wait(), 10.0)
                except TimeoutError:
                    _kill(process)
                    await process.wait()
                _release(process)
        for log in self._folder.glob("*.log"):
            if log.stat().st_size == 0:
                log.unlink()

    def _log_tail(self, module: str, number: int) -> str:
        with contextlib.suppress(OSError):
            lines = (self._folder / f"{module}-{number}.log").read_text(errors="replace").strip().splitlines()
            return lines[-1] if lines else "it left no message"
        return "it left no message"


async def run_load(
    spec: LoadSpec,
    folder: Path,
    *,
    headers: Mapping[str, str] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> LoadResult:
    """Runs one load; see ``Launcher``."""
    return await Launcher(spec, folder, headers=headers, on_progress=on_progress).run()


def _tell(process: asyncio.subprocess.Process, line: dict[str, Any]) -> None:
    if process.returncode is None and process.stdin is not None and not process.stdin.is_closing():
        with contextlib.suppress(OSError, RuntimeError):
            process.stdin.write(json.dumps(line).encode() + b"\n")


def _hang_up(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError, RuntimeError):
            process.stdin.close()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _release(process: asyncio.subprocess.Process) -> None:
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()


async def _line(process: asyncio.subprocess.Process) -> dict[str, Any] | None:
    assert process.stdout is not None
    raw = await process.stdout.readline()
    if not raw:
        return None
    line: dict[str, Any] = json.loads(raw)
    return line
