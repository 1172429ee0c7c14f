"""Draws a plan's bodies in a process of its own and hands them to the load process through pipes.

``python -m benchkit.load.feed FOLDER WORKER WARMUP_FD WINDOW_FD``: one pipe a phase. A pipe that is full holds the
writer back, so an endless plan costs no more memory than a short one.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchkit.load.priority import give_way
from benchkit.records.kinds import Phase

FRAME = struct.Struct("<IIIq")
"""Lengths of the name, the metadata and the body; due ns (-1: when a slot falls free)."""
_READ_SIZE = 8_192
"""Small, since what is read is taken apart at once: a send that falls due meanwhile must not wait for it."""
_FIRST_FRAMES = 1_100
"""After these a worker has all that it holds ready, and drawing more has time."""
_ENOUGH_ITEMS = 1_024
_ENOUGH_BYTES = 4 * 1024 * 1024


class Item(NamedTuple):
    """A request as it will be sent.

    Attributes:
        ident: its name in the run, as the server sees it.
        meta: JSON of its place in the plan, as the tape keeps it.
        body: the request's body.
        due_ns: when it is due, since its phase's start; -1 when a slot falls free.
    """

    ident: bytes
    meta: bytes
    body: bytes
    due_ns: int


class Feed:
    """The reading end: holds a bounded number of items ready.

    Attributes:
        ended: the plan has no more items than those that are held.
        broken: the writer died before the plan ended.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._buffer = bytearray()
        self.ended = self.broken = False
        os.set_blocking(fd, False)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def fd(self) -> int:
        """Descriptor to watch while ``hungry``."""
        return self._fd

    @property
    def hungry(self) -> bool:
        """Whether more should be read, once reading has begun."""
        return not self.ended and len(self._items) < _ENOUGH_ITEMS and self._bytes < _ENOUGH_BYTES

    @property
    def low(self) -> bool:
        """Whether reading should begin: half of what is enough is gone."""
        return not self.ended and (len(self._items) < _ENOUGH_ITEMS // 2 and self._bytes < _ENOUGH_BYTES // 2)

    def peek(self) -> Item | None:
        """The next item, left in place."""
        return self._items[0] if self._items else None

    def take(self) -> Item | None:
        """The next item; ``None`` when none is there yet, or ever (``ended``)."""
        if not self._items:
            return None
        item = self._items.popleft()
        self._bytes -= len(item.body)
        return item

    def read(self) -> None:
        """Reads what the pipe holds now."""
        try:
            data = os.read(self._fd, _READ_SIZE)
        except BlockingIOError:
            return
        if not data:
            self.ended = self.broken = True
            return
        buffer = self._buffer
        buffer += data
        position = 0
        while len(buffer) - position >= FRAME.size:
            ident_size, meta_size, body_size, due_ns = FRAME.unpack_from(buffer, position)
            ident_at = position + FRAME.size
            meta_at = ident_at + ident_size
            body_at = meta_at + meta_size
            end = body_at + body_size
            if end > len(buffer):
                break
            if meta_size == 0:
                self.ended = True
                break
            self._items.append(
                Item(
                    bytes(buffer[ident_at:meta_at]),
                    bytes(buffer[meta_at:body_at]),
                    bytes(buffer[body_at:end]),
                    due_ns,
                )
            )
            self._bytes += body_size
            position = end
        del buffer[:position]


def frames(folder: Path, worker: int, phase: Phase) -> Iterator[bytes]:
    """The frames of one worker's part of a phase, an end mark last."""
    from benchkit.load.spec import LoadSpec
    from benchkit.plan.plan import Plan
    from benchkit.plan.spec import PlanSpec

    spec = LoadSpec.read(folder)
    plan = Plan(PlanSpec.from_json(spec.plan))
    for session in plan.sessions(phase, worker=worker, workers=spec.workers):
        for number, turn in enumerate(session.turns):
            meta = json.dumps(
                {
                    "index": session.index,
                    "phase": phase.value,
                    "session": session.index,
                    "turn": number,
                    "class": turn.class_name,
                    "model": turn.model,
                    "prompt_tokens": turn.prompt_tokens,
                    "wanted": turn.output_tokens,
                    "hash": turn.prompt_hash,
                },
                separators=(",", ":"),
            ).encode()
            due_ns = -1 if turn.due_ns is None else turn.due_ns
            ident = f"{spec.run_id}-{phase.value[:3]}-{session.index}-{number}".encode()
            yield FRAME.pack(len(ident), len(meta), len(turn.body), due_ns) + ident + meta + turn.body
    yield FRAME.pack(0, 0, 0, -1)


def _pump(source: Callable[[], Iterator[bytes]], fd: int) -> None:
    try:
        with open(fd, "wb", buffering=65_536) as pipe:
            for count, frame in enumerate(source()):
                pipe.write(frame)
                if count == _FIRST_FRAMES:
                    give_way()
                if count < 64:
                    pipe.flush()
    except BrokenPipeError:
        return


def main(arguments: list[str]) -> int:
    """Feeds one load process until it has all, or goes away."""
    folder, worker = Path(arguments[0]), int(arguments[1])
    pumps = [
        threading.Thread(target=_pump, args=(lambda phase=phase: frames(folder, worker, phase), int(fd)))
        for phase, fd in zip((Phase.WARMUP, Phase.WINDOW), arguments[2:4], strict=True)
    ]
    for pump in pumps:
        pump.start()
    for pump in pumps:
        pump.join()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
