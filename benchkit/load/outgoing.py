"""The bytes of an HTTP/1.1 request, piece by piece as its body comes. Source: RFC 9112, sections 3 to 7."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, Sequence

PIECE_SIZE = 256 * 1024
"""Bytes of a body that are written, and under TLS encrypted, at a time."""
_FORBIDDEN = re.compile(rb"[\r\n\0]")


class Unsendable(ValueError):
    """The request cannot be written as HTTP/1.1."""


async def request_pieces(
    method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: AsyncIterable[bytes]
) -> AsyncGenerator[bytes, None]:
    """The head, together with the first of the body, and then the rest of the body.

    Args:
        method: of the request line.
        target: of the request line, encoded.
        headers: as they go out; where they don't say how long the body is, it is read whole first.
        body: in parts of any size.

    Raises:
        Unsendable: the head has a line break in a line, or the body is not as long as the head says.
    """
    framing = {name.lower(): value for name, value in headers}
    chunked = b"transfer-encoding" in framing
    if not chunked and b"content-length" not in framing:
        whole = b"".join([part async for part in body])
        length = [(b"Content-Length", b"%d" % len(whole))] if whole else []
        yield _head(method, target, [*headers, *length]) + whole
        return
    declared = 0 if chunked else int(framing[b"content-length"])
    front, size = _head(method, target, headers), 0
    async for part in body:
        size += len(part)
        if size > declared and not chunked:
            break
        for start in range(0, len(part), PIECE_SIZE):
            piece = part[start : start + PIECE_SIZE]
            yield front + (b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            front = b""
    if size != declared and not chunked:
        relation = "longer" if size > declared else "shorter"
        raise Unsendable(f"the body is {relation} than the {declared} bytes of its Content-Length")
    front += b"0\r\n\r\n" if chunked else b""
    if front:
        yield front


def _head(method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method.encode(), target), *(b"%b: %b" % header for header in headers)]
    for line in lines:
        if _FORBIDDEN.search(line):
            raise Unsendable(f"a line of the request's head has a line break or a NUL in it: {line[:40]!r}")
    return b"\r\n".join((*lines, b"", b""))
