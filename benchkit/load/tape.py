"""The append-only file of a load process: every read with its two times, as it came.

A tape is a row of segments, ``w<worker>-<number>.tape``. A record is a header of 40 bytes and its data::

    length uint32 | kind uint16 | detail uint16 | key uint32 | spare uint32 | loop_ns int64 | kernel 16 bytes

``key`` numbers the worker's requests from 1 (0 belongs to no request). ``loop_ns`` is CLOCK_MONOTONIC.
``kernel`` is the receive time as the kernel gave it, a ``struct timespec`` of CLOCK_REALTIME, or zeros. Bytes
are received straight into the buffer that is written out, so a read costs one header and no copy.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

HEADER = struct.Struct("<IHHIIq16s")
HEADER_SIZE = HEADER.size
NO_KERNEL_TIME = bytes(16)
READ_MAX = 65_536
BUFFER_SIZE = 4 * 1024 * 1024
SEGMENT_SIZE = 16 * 1024 * 1024


class Kind(IntEnum):
    """What a record says."""

    HELLO = 1
    """A segment begins. Data: JSON of the worker's facts."""
    START = 2
    """A request begins its life. ``loop_ns``: when it was scheduled. Data: JSON of its place in the plan."""
    CONNECT = 3
    """Connecting began."""
    CONNECTED = 4
    """TCP and TLS are up."""
    SENT = 5
    """The last byte went to the kernel. ``detail``: attempt. Data: connection uint64, waited ns int64."""
    WIRE = 6
    """A read: bytes of HTTP/1.1, decrypted."""
    END = 7
    """The message is complete. Data: none."""
    FAIL = 8
    """It failed, ended incomplete or was interrupted. Data: JSON ``{"outcome", "kind", "error"}``."""
    TICK = 9
    """The loop is alive. Data: ``TICK`` struct."""
    HEAD = 10
    """Status and headers of an answer that another HTTP client decoded. ``detail``: status. Data: JSON."""
    BODY = 11
    """A read of such an answer's body."""
    NOTE = 12
    """JSON of facts of the worker; later ones extend earlier ones."""
    CLOSE = 13
    """The worker ended in order; nothing follows."""
    PROMPT = 14
    """Data: the request's body, only where text is kept."""


SENT_DATA = struct.Struct("<Qq")
TICK_DATA = struct.Struct("<qqqqq")
"""CLOCK_REALTIME - CLOCK_MONOTONIC ns, CPU ns of the process, involuntary switches, ns this tick was late, ns that the
process was ready to run and did not (-1: the platform does not say)."""


class Record(NamedTuple):
    """One record as read back; ``data`` is a copy."""

    kind: int
    detail: int
    key: int
    loop_ns: int
    kernel: bytes
    data: bytes


def segment_path(folder: Path, worker: int, number: int) -> Path:
    """Path of a worker's segment."""
    return folder / f"w{worker}-{number:06d}.tape"


def segments(folder: Path, worker: int) -> list[Path]:
    """A worker's segments that still exist, in order."""
    return sorted(folder.glob(f"w{worker}-??????.tape"))


class TapeWriter:
    """Collects records in a buffer and writes it out when asked to, or when it is full.

    The hot path of a connection works on ``view``, ``buffer`` and ``position`` directly: it receives into
    ``view[position + HEADER_SIZE:]``, packs the header in front and moves ``position``.

    Attributes:
        failure: what the disk answered when it took no more; ``None`` while all is well.
        lost_bytes: what could not be kept after such a failure.
    """

    __slots__ = (
        "_fd",
        "_folder",
        "_hello",
        "_number",
        "_segment_bytes",
        "_torn",
        "buffer",
        "failure",
        "lost_bytes",
        "position",
        "room",
        "view",
        "worker",
    )

    def __init__(self, folder: Path, worker: int, hello: dict[str, Any]) -> None:
        self.worker = worker
        self._folder = folder
        self._hello = json.dumps(hello).encode()
        self.buffer = bytearray(BUFFER_SIZE)
        self.view = memoryview(self.buffer)
        self.position = 0
        self.room = BUFFER_SIZE - READ_MAX - HEADER_SIZE
        self.failure: OSError | None = None
        self.lost_bytes = 0
        self._number = 0
        self._fd = -1
        self._segment_bytes = 0
        self._torn = False
        self._next_segment()

    def append(
        self,
        kind: int,
        key: int,
        loop_ns: int,
        data: bytes | memoryview = b"",
        *,
        detail: int = 0,
        kernel: bytes = NO_KERNEL_TIME,
    ) -> None:
        """Adds a record; data longer than the buffer goes out in pieces of the same kind."""
        size = len(data)
        if size > READ_MAX:
            for start in range(0, size, READ_MAX):
                self.append(kind, key, loop_ns, data[start : start + READ_MAX], detail=detail, kernel=kernel)
            return
        if self.position > self.room:
            self.flush()
        position = self.position
        HEADER.pack_into(self.buffer, position, size, kind, detail, key, 0, loop_ns, kernel)
        position += HEADER_SIZE
        self.buffer[position : position + size] = data
        self.position = position + size

    def flush(self) -> None:
        """Hands the buffer to the kernel; starts a new segment when this one is long enough."""
        end = self.position
        if end == 0:
            return
        done = 0
        try:
            if self._torn:
                # What follows a record that was given up half-way can only be read from a segment of its own.
                self._next_segment()
                end = self.position
            while done < end:
                done += os.write(self._fd, self.view[done:end])
        except OSError as error:
            self.failure = error
            self._keep(done, end)
            return
        self.failure = None
        self.position = 0
        self._segment_bytes += end
        if self._segment_bytes >= SEGMENT_SIZE:
            try:
                self._next_segment()
            except OSError as error:
                self.failure = error

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _keep(self, done: int, end: int) -> None:
        """Moves what the disk refused to the front; gives it up when there is no room for the next read."""
        rest = bytes(self.view[done:end])
        if len(rest) > self.room:
            self.lost_bytes += len(rest)
            rest = b""
            self._torn = True
        self.buffer[: len(rest)] = rest
        self.position = len(rest)

    def _next_segment(self) -> None:
        path = segment_path(self._folder, self.worker, self._number + 1)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._number += 1
        self._segment_bytes = 0
        self._torn = False
        self.append(Kind.HELLO, 0, 0, self._hello)


def records(data: bytes | memoryview) -> Iterator[Record]:
    """The whole records in a stretch of tape; a torn last one is left out."""
    position, end = 0, len(data)
    while position + HEADER_SIZE <= end:
        size, kind, detail, key, _, loop_ns, kernel = HEADER.unpack_from(data, position)
        position += HEADER_SIZE
        if position + size > end:
            return
        yield Record(kind, detail, key, loop_ns, kernel, bytes(data[position : position + size]))
        position += size
