"""Bytes of one HTTP/1.1 answer -> status, headers, body; incremental, and picklable between any two bytes.

The engine leaves HTTP to llhttp, whose state cannot be saved; transcription must survive its own death in the
middle of an answer. Source: RFC 9112, sections 4 to 7.
"""

from __future__ import annotations

_MAX_HEAD = 256 * 1024
_MAX_SIZE_LINE = 4096
_MAX_DIGITS = 19
_HEX = frozenset(b"0123456789abcdefABCDEF")


class MalformedAnswer(ValueError):
    """The bytes are not an HTTP/1.1 answer."""


class AnswerDecoder:
    """Decodes one answer.

    Attributes:
        status: status code, 0 before the head is whole.
        headers: lower-case names; of repeated ones the last.
        chunked: whether the body comes in chunks.
        complete: whether the message has ended by its own framing.
    """

    __slots__ = ("_in_trailer", "_left", "_rest", "chunked", "complete", "headers", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.chunked = self.complete = False
        self._rest = b""
        self._left = -1
        self._in_trailer = False

    @property
    def at_boundary(self) -> bool:
        """Whether the next byte starts a chunk."""
        return self.chunked and not (self._rest or self._left > 0 or self._in_trailer)

    def feed(self, data: bytes) -> bytes:
        """The body's bytes among these.

        Raises:
            MalformedAnswer: the framing is broken.
        """
        if not self.status:
            data = self._head((self._rest + data).lstrip(b"\r\n"))
            if not self.status:
                return b""
        if self.complete:
            return b""
        if self.chunked:
            return self._chunks(data)
        if self._left < 0:
            return data
        body = data[: self._left]
        self._left -= len(body)
        self.complete = self._left == 0
        return body

    def _head(self, data: bytes) -> bytes:
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > _MAX_HEAD:
                    raise MalformedAnswer("a head of more than 256 KiB")
                self._rest = data
                return b""
            lines = data[:end].decode("latin-1").split("\r\n")
            data = data[end + 4 :]
            version, _, rest = lines[0].partition(" ")
            if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
                raise MalformedAnswer(f"not an HTTP/1.1 status line: {lines[0][:80]!r}")
            status = int(rest[:3])
            if status >= 200 or status == 101:
                break
        self._rest = b""
        self.status = status
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self.chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        if status in (204, 304):
            self.complete = True
        elif not self.chunked and "content-length" in self.headers:
            length = self.headers["content-length"]
            if not (length.isascii() and length.isdigit() and len(length) < _MAX_DIGITS):
                raise MalformedAnswer(f"content-length: {length[:40]!r}")
            self._left = int(length)
            self.complete = self._left == 0
        elif self.chunked:
            self._left = 0
        return data

    def _chunks(self, data: bytes) -> bytes:
        """``_left`` counts the bytes to come of a chunk with the CRLF behind it."""
        data = self._rest + data
        self._rest = b""
        position, end = 0, len(data)
        pieces = []
        while position < end:
            if self._left > 0:
                take = min(self._left, end - position)
                content = min(take, max(0, self._left - 2))
                if content:
                    pieces.append(data[position : position + content])
                self._left -= take
                position += take
                continue
            cut = data.find(b"\r\n", position)
            if cut < 0:
                if end - position > _MAX_SIZE_LINE:
                    raise MalformedAnswer("a chunk's size line of more than 4 KiB")
                self._rest = data[position:]
                break
            line = data[position:cut]
            position = cut + 2
            if self._in_trailer:
                if not line:
                    self.complete = True
                    break
                continue
            digits = line.partition(b";")[0].strip()
            if not digits or not _HEX.issuperset(digits):
                raise MalformedAnswer(f"a chunk's size is {line[:40]!r}")
            size = int(digits, 16)
            if size == 0:
                self._in_trailer = True
            else:
                self._left = size + 2
        return b"".join(pieces)
