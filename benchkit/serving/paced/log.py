"""A paced server's log of its own sends: written as one body of JSON and raw numbers, read back as arrays."""

from __future__ import annotations

import contextlib
import http.client
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from benchkit.errors import TargetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PATH = "/paced/log"
_SIZE = struct.Struct("<Q")
_TIMEOUT_S = 30.0


class SentAnswer:
    """What was sent of one answer; times are CLOCK_MONOTONIC in ns."""

    __slots__ = ("arrived_ns", "due_ns", "request_id", "sent_ns")

    def __init__(self, request_id: str, arrived_ns: int) -> None:
        self.request_id, self.arrived_ns = request_id, arrived_ns
        self.due_ns: array[int] = array("q")
        self.sent_ns: array[int] = array("q")


def encoded(answers: Sequence[SentAnswer], facts: dict[str, Any]) -> bytes:
    """The log as bytes: the length of a JSON head, the head, then all times due, all times sent."""
    head = orjson.dumps(
        {
            **facts,
            "requests": [answer.request_id for answer in answers],
            "arrived_ns": [answer.arrived_ns for answer in answers],
            "tokens": [len(answer.sent_ns) for answer in answers],
        }
    )
    times = [answer.due_ns.tobytes() for answer in answers]
    times += [answer.sent_ns.tobytes() for answer in answers]
    return b"".join([_SIZE.pack(len(head)), head, *times])


@dataclass(frozen=True, slots=True)
class PacedLog:
    """What a paced server received and sent; all times are CLOCK_MONOTONIC in ns."""

    requests: tuple[str, ...]
    """The id that each request came with, in the order of their arrival."""
    arrived_ns: NDArray[np.int64]
    """When each had been read."""
    offsets: NDArray[np.int64]
    """The tokens of request i are at ``offsets[i]:offsets[i + 1]`` of the arrays below."""
    due_ns: NDArray[np.int64]
    """When each token should have been sent."""
    sent_ns: NDArray[np.int64]
    """Just before each token was given to the kernel."""
    stages_ns: tuple[int, ...]
    """When each stage began; empty where the times are fixed."""
    cpu_ns: int
    """Processor time of the server until then."""

    @property
    def late_ns(self) -> NDArray[np.int64]:
        """How late each token was by the server's own fault."""
        return self.sent_ns - self.due_ns


def decoded(body: bytes) -> PacedLog:
    """The log that ``encoded`` wrote."""
    import numpy as np

    (size,) = _SIZE.unpack_from(body)
    head = orjson.loads(body[_SIZE.size : _SIZE.size + size])
    times = np.frombuffer(body, np.int64, offset=_SIZE.size + size)
    counts = np.array(head["tokens"], dtype=np.int64)
    total = int(counts.sum())
    return PacedLog(
        tuple(head["requests"]),
        np.array(head["arrived_ns"], dtype=np.int64),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        times[:total],
        times[total:],
        tuple(head["stages_ns"]),
        int(head["cpu_ns"]),
    )


def fetch(port: int) -> PacedLog:
    """Asks the paced server on a port of this machine for its log.

    Raises:
        TargetError: it is gone, or something else answers there.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    with contextlib.closing(connection):
        try:
            connection.request("GET", PATH)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise TargetError(f"the paced server on port {port} gave no log: {error}") from None
    if answer.status != http.client.OK:
        raise TargetError(f"what listens on port {port} is no paced server: it answered {answer.status}")
    return decoded(body)
