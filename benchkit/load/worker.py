"""The process round the engine: a spec in, a tape and progress lines out.

``python -m benchkit.load.worker FOLDER WORKER WARMUP_FD WINDOW_FD``. It is led by lines of JSON on stdin:
``{"headers": {…}}`` first, then ``{"start_ns": …}``, perhaps ``{"stop": "why", "drain": bool}``; it answers on stdout
with ``ready``, ``progress`` and ``done`` lines. When stdin ends, its parent is gone: it sends no more, drains, exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchkit import __version__
from benchkit.errors import BenchkitError
from benchkit.load.clock import forced_fallbacks, kernel_times_available, realtime_offset_ns
from benchkit.load.engine import Engine
from benchkit.load.feed import Feed
from benchkit.load.limits import raise_descriptor_limit
from benchkit.load.priority import be_prompt, go_first, go_in_turn, goes_first
from benchkit.load.readiness import Due
from benchkit.load.sender import Sender, StampedSender, resolve
from benchkit.load.spec import LoadSpec
from benchkit.load.tape import Kind, TapeWriter
from benchkit.load.tls import make_context
from benchkit.records.kinds import Phase

_PROGRESS_S = 0.5
_DISK_RETRIES = 20
_LIMITS_TOLD = 5


def request_head(spec: LoadSpec, headers: dict[str, str], key: str | None) -> Callable[[bytes, int], bytes]:
    """A function from (request id, length of the body) to the bytes of a request's head."""
    default_port = {"http": 80, "https": 443}[spec.scheme]
    host = f"[{spec.host}]" if ":" in spec.host else spec.host
    fields = {
        "host": host if spec.port == default_port else f"{host}:{spec.port}",
        "user-agent": f"benchkit/{__version__}",
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "content-type": "application/json",
    }
    if key:
        fields["authorization"] = f"Bearer {key}"
    if not spec.reuse:
        fields["connection"] = "close"
    fields |= {name.lower(): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    fixed = f"POST {spec.path} HTTP/1.1\r\n{lines}x-request-id: ".encode("latin-1")
    return lambda ident, size: b"%b%b\r\ncontent-length: %d\r\n\r\n" % (fixed, ident, size)


class Worker:
    """Leads the engine through its life by its parent's lines."""

    def __init__(self, folder: Path, worker: int, feeds: dict[Phase, Feed]) -> None:
        self._folder, self._worker, self._feeds = folder, worker, feeds
        self._spec = LoadSpec.read(folder)
        self._lines: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._partial = b""
        self._engine: Engine | None = None
        self._running = True

    async def run(self) -> None:
        """Runs the load; faults that the user can mend are said on stdout."""
        loop = asyncio.get_running_loop()
        os.set_blocking(0, False)
        os.set_blocking(1, False)
        loop.add_reader(0, self._read_line)
        try:
            await self._load(loop)
        except BenchkitError as error:
            self._say("failed", error=type(error).__name__, text=str(error))
        except RuntimeError as error:
            self._say("failed", error="WorkerDied", text=str(error))
        finally:
            loop.remove_reader(0)

    async def _load(self, loop: asyncio.AbstractEventLoop) -> None:
        spec = self._spec
        first = await self._lines.get()
        if first is None:
            return
        limit = raise_descriptor_limit(
            len(spec.streams_of(self._worker)) or spec.cap_of(self._worker) or 1_000
        )
        key = os.environ.get(spec.api_key_env) if spec.api_key_env else None
        tape = TapeWriter(
            spec.tape_folder(self._folder), self._worker, {"worker": self._worker, "pid": os.getpid()}
        )
        engine = self._engine = Engine(
            spec, self._worker, tape, self._feeds, request_head(spec, first["headers"], key)
        )
        sender = self._make_sender(loop, tape, engine.due)
        engine.sender = sender
        await engine.fill()
        gc.collect()
        gc.freeze()
        gc.disable()
        self._say("ready")
        line = await self._lines.get()
        if line is None or "start_ns" not in line:
            return
        start_ns = int(line["start_ns"])
        facts = {
            "worker": self._worker,
            "pid": os.getpid(),
            "start_ns": start_ns,
            "window_ns": start_ns + spec.warmup_ns,
            "offset_ns": realtime_offset_ns(),
            "loop": type(loop).__module__.split(".")[0],
            "timer": engine.timer_name,
            "transport": sender.name,
            "open_files_limit": limit,
            "fallbacks": sorted(forced_fallbacks()),
            "kernel_times": kernel_times_available(),
            "gc_enabled": gc.isenabled(),
            "realtime": go_first(),
        }
        tape.append(Kind.NOTE, 0, time.monotonic_ns(), json.dumps(facts).encode())
        tape.flush()
        loop.set_exception_handler(lambda _, context: self._broke(engine, context))
        listener = loop.create_task(self._listen(engine))
        progress = loop.call_later(_PROGRESS_S, self._progress, loop)
        collected = _collections()
        await engine.run(start_ns)
        went_first = goes_first()
        if went_first:
            go_in_turn()
        self._running = False
        progress.cancel()
        listener.cancel()
        await sender.close()
        facts = {
            "window_end_ns": engine.window_end_ns,
            "stopped_by": engine.stopped_by,
            "limits_hit": sorted(engine.limits_hit)[:_LIMITS_TOLD],
            "kernel_times": sender.kernel_times,
            "realtime": went_first,
            "gc_collections": _collections() - collected,
        }
        tape.append(Kind.NOTE, 0, time.monotonic_ns(), json.dumps(facts).encode())
        tape.append(Kind.CLOSE, 0, time.monotonic_ns())
        await self._close(tape, engine)
        self._say(
            "done",
            window_end_ns=engine.window_end_ns,
            stopped_by=engine.stopped_by,
            lost_bytes=tape.lost_bytes,
        )

    async def _close(self, tape: TapeWriter, engine: Engine) -> None:
        """Writes the tape's end; on a full disk it waits for the parent to make room."""
        tape.flush()
        if tape.failure is not None:
            engine.stopped_by = "disk_full"
            self._say("disk_full", text=str(tape.failure))
            for _ in range(_DISK_RETRIES):
                await asyncio.sleep(0.1)
                tape.flush()
                if tape.failure is None:
                    break
            else:
                tape.lost_bytes += tape.position
                tape.position = 0
        tape.close()

    def _make_sender(self, loop: asyncio.AbstractEventLoop, tape: TapeWriter, due: Due | None) -> Sender:
        spec = self._spec
        if spec.transport == "httpx":
            from benchkit.load.stock import StockSender

            return StockSender(loop, tape, spec)
        context = make_context(verify=spec.verify_tls) if spec.scheme == "https" else None
        return StampedSender(loop, tape, resolve(spec.host, spec.port), context, reuse=spec.reuse, due=due)

    def _broke(self, engine: Engine, context: dict[str, Any]) -> None:
        """A fault of our own in a callback: the load ends, since what it measures can no longer be trusted."""
        if engine.stopped_by != "client_error":
            traceback.print_exception(context.get("exception") or RuntimeError(context["message"]))
            engine.stop("client_error", drain=False)

    async def _listen(self, engine: Engine) -> None:
        while True:
            line = await self._lines.get()
            if line is None:
                engine.stop("parent_died")
                return
            if "stop" in line:
                engine.stop(str(line["stop"]), drain=bool(line.get("drain", False)))

    def _progress(self, loop: asyncio.AbstractEventLoop) -> None:
        engine = self._engine
        assert engine is not None
        counts = engine.counts
        self._say(
            "progress",
            sent=counts.sent,
            answered=counts.answered,
            failed=counts.failed,
            shed=counts.shed,
            in_flight=len(engine.in_flight),
            now_ns=time.monotonic_ns(),
        )
        if self._running:
            loop.call_later(_PROGRESS_S, self._progress, loop)

    def _say(self, event: str, **facts: Any) -> None:
        """Says it if somebody reads; a parent that is slow or gone must not hold the load up."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(1, json.dumps({"event": event, **facts}).encode() + b"\n")

    def _read_line(self) -> None:
        try:
            data = os.read(0, 65_536)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(0)
            self._lines.put_nowait(None)
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._lines.put_nowait(json.loads(line))


def _collections() -> int:
    """How often the garbage collector ran in this process."""
    return sum(int(generation["collections"]) for generation in gc.get_stats())


def main(arguments: list[str]) -> int:
    """Runs one worker."""
    folder, worker = Path(arguments[0]), int(arguments[1])
    feeds = {
        phase: Feed(int(fd)) for phase, fd in zip((Phase.WARMUP, Phase.WINDOW), arguments[2:4], strict=True)
    }
    be_prompt()
    run = asyncio.run
    if "uvloop" not in forced_fallbacks():
        try:
            import uvloop

            run = uvloop.run
        except ImportError:
            pass
    run(Worker(folder, worker, feeds).run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
