"""Bytes of an event stream -> the data of its events, split at any byte.

Source: WHATWG HTML, section "Server-sent events". Only ``data`` fields are kept; comments, pings, ``event``,
``id`` and ``retry`` lines pass. Lines end with LF, CRLF or CR.
"""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"
_MAX_EVENT = 16 * 1024 * 1024


class MalformedStream(ValueError):
    """The bytes are not an event stream."""


class EventStream:
    """An incremental parser; it can be pickled between any two bytes."""

    __slots__ = ("_after_cr", "_data", "_held", "_rest", "_started")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._held = 0
        self._after_cr = False
        self._started = False

    @property
    def at_boundary(self) -> bool:
        """Whether nothing is left over from an event that has begun."""
        return self._started and not self._rest and not self._data and not self._after_cr

    def feed(self, body: bytes) -> list[bytes]:
        """The data of the events that these bytes complete; several data lines are joined by LF.

        Raises:
            MalformedStream: an event grows beyond 16 MiB.
        """
        if not body:
            return []
        if not self._started:
            self._rest += body
            if _BOM.startswith(self._rest) and len(self._rest) < len(_BOM):
                return []
            body = self._rest.removeprefix(_BOM)
            self._rest = b""
            self._started = True
        if self._after_cr:
            body = body.removeprefix(b"\n")
            self._after_cr = False
        if body.endswith(b"\r"):
            self._after_cr = True
        if b"\r" in body:
            body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = (self._rest + body).split(b"\n")
        events = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(b"\n".join(self._data))
                    self._data = []
                    self._held = 0
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
                self._held += len(line)
            elif line == b"data":
                self._data.append(b"")
                self._held += len(line)
        if len(self._rest) + self._held > _MAX_EVENT:
            raise MalformedStream("an event of more than 16 MiB")
        return events

    def finish(self) -> list[bytes]:
        """The event that a server left without its blank line at the end of the stream, if any.

        The standard discards it; servers that forget the last blank line are common enough to be read.
        """
        return self.feed(b"\n\n") if self._rest or self._data else []
