"""Writes tapes by hand: what a load process would have taped, at times of a test's choosing.

All times are ms since the run's start. A ``HandTape`` makes a run's folder with its spec, and one worker's
tape in it; ``rows`` gives what a transcriber made of it.
"""

import json
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchkit.load.spec import PARTS_FOLDER, LoadSpec
from benchkit.load.tape import NO_KERNEL_TIME, SENT_DATA, TICK_DATA, Kind, TapeWriter
from benchkit.load.transcriber import Transcriber
from benchkit.records.kinds import ErrorKind, Outcome

MS = 1_000_000
START_NS = 5_000_000_000_000
"""The run's start, CLOCK_MONOTONIC."""
OFFSET_NS = 1_780_000_000_000_000_123
"""CLOCK_REALTIME - CLOCK_MONOTONIC."""
LAG_MS = 0.04
_TIMESPEC = struct.Struct("<qq")


def load_spec(**changes: Any) -> LoadSpec:
    """The spec of a load of one worker, with changes."""
    values: dict[str, Any] = {
        "scheme": "http",
        "host": "127.0.0.1",
        "port": 8000,
        "path": "/v1/completions",
        "target": "http://127.0.0.1:8000",
        "model": "a-model",
        "api_key_env": "",
        "load": "concurrent",
        "concurrency": 8,
        "max_in_flight": 0,
        "warmup_ns": 0,
        "duration_ns": 0,
        "drain_ns": 0,
        "timeout_ns": 600_000 * MS,
        "max_error_rate": 0.5,
        "workers": 1,
        "repeat": 0,
        "origin_ns": 0,
        "transport": "stamped",
        "reuse": True,
        "verify_tls": True,
        "keep_text": False,
        "exact_length": True,
        "run_id": "run",
    }
    return LoadSpec(**(values | changes))


class HandTape:
    """One worker's tape, written record by record.

    Args:
        folder: the run's folder.
        worker: number of the worker.
        kernel_times: whether reads carry receive times.
        facts: further facts of the worker's first note.
        spec: changes to the spec.
    """

    def __init__(
        self,
        folder: Path,
        worker: int = 0,
        *,
        kernel_times: bool = True,
        facts: dict[str, Any] | None = None,
        **spec: Any,
    ) -> None:
        self.folder, self.worker, self.kernel_times = folder, worker, kernel_times
        self.spec = load_spec(**spec)
        self.place = self.spec.tape_folder(folder)
        self.place.mkdir(parents=True, exist_ok=True)
        (folder / PARTS_FOLDER).mkdir(exist_ok=True)
        self.spec.write(folder)
        self.writer = TapeWriter(self.place, worker, {"worker": worker, "pid": 0})
        self.offset_ns = OFFSET_NS
        window_ns = START_NS + self.spec.warmup_ns
        self.note(start_ns=START_NS, window_ns=window_ns, offset_ns=OFFSET_NS, **(facts or {}))

    def note(self, **facts: Any) -> None:
        """Facts of the worker."""
        self.writer.append(Kind.NOTE, 0, START_NS, json.dumps(facts).encode())

    def tick(
        self, at_ms: float, *, cpu_ms: float = 0, switches: int = 0, late_ms: float = 0, waited_ms: float = 0
    ) -> None:
        """The loop is alive; tells the offset of the clocks that is in force."""
        taken = (int(cpu_ms * MS), switches, int(late_ms * MS), int(waited_ms * MS))
        data = TICK_DATA.pack(self.offset_ns, *taken)
        self.writer.append(Kind.TICK, 0, _ns(at_ms), data)

    def start(self, key: int, at_ms: float = 0, **meta: Any) -> None:
        """A request begins its life."""
        planned = {
            "index": key,
            "phase": "window",
            "session": key,
            "turn": 0,
            "class": "default",
            "model": "a-model",
            "prompt_tokens": 16,
            "wanted": None,
            "hash": f"{key:016x}",
        }
        self.writer.append(Kind.START, key, _ns(at_ms), json.dumps(planned | meta).encode())

    def prompt(self, key: int, at_ms: float, body: bytes) -> None:
        """The request's body, where text is kept."""
        self.writer.append(Kind.PROMPT, key, _ns(at_ms), body)

    def connect(self, key: int, at_ms: float) -> None:
        """Connecting began."""
        self.writer.append(Kind.CONNECT, key, _ns(at_ms))

    def connected(self, key: int, at_ms: float) -> None:
        """The connection is up."""
        self.writer.append(Kind.CONNECTED, key, _ns(at_ms))

    def sent(
        self, key: int, at_ms: float = 0, *, attempt: int = 1, connection: int = 1, waited_ms: float = 0
    ) -> None:
        """The request's last byte went out."""
        data = SENT_DATA.pack(connection, int(waited_ms * MS))
        self.writer.append(Kind.SENT, key, _ns(at_ms), data, detail=attempt)

    def read(
        self, key: int, at_ms: float, data: bytes, *, lag_ms: float = LAG_MS, loop_ns: int | None = None
    ) -> None:
        """A read: received by the kernel at ``at_ms``, picked up ``lag_ms`` later."""
        received = _ns(at_ms)
        kernel = NO_KERNEL_TIME
        if self.kernel_times:
            kernel = _TIMESPEC.pack(*divmod(received + self.offset_ns, 1_000_000_000))
        picked_up = received + round(lag_ms * MS) if loop_ns is None else loop_ns
        self.writer.append(Kind.WIRE, key, picked_up, data, kernel=kernel)

    def end(self, key: int, at_ms: float) -> None:
        """The message is complete."""
        self.writer.append(Kind.END, key, _ns(at_ms))

    def fail(
        self,
        key: int,
        at_ms: float,
        outcome: Outcome = Outcome.FAILED,
        kind: ErrorKind | None = None,
        error: str = "why",
    ) -> None:
        """The request came to an end without a complete answer."""
        facts = {"outcome": outcome, "kind": kind, "error": error}
        self.writer.append(Kind.FAIL, key, _ns(at_ms), json.dumps(facts).encode())

    def stock_head(self, key: int, at_ms: float, status: int, content_type: str) -> None:
        """Head of an answer that another client decoded."""
        data = json.dumps({"content-type": content_type}).encode()
        self.writer.append(Kind.HEAD, key, _ns(at_ms), data, detail=status)

    def stock_body(self, key: int, at_ms: float, data: bytes) -> None:
        """A read of such an answer's body."""
        self.writer.append(Kind.BODY, key, _ns(at_ms), data)

    def exchange(
        self, key: int, reads: Iterable[tuple[float, bytes]], *, sent_ms: float = 0, **meta: Any
    ) -> None:
        """A whole exchange: started and sent at ``sent_ms``, answered by these (ms, bytes)."""
        self.start(key, sent_ms, **meta)
        self.sent(key, sent_ms)
        at_ms = sent_ms
        for at_ms, data in reads:
            self.read(key, at_ms, data)
        self.end(key, at_ms + LAG_MS)

    def flush(self) -> None:
        """What was appended is in the file."""
        self.writer.flush()

    def roll(self) -> None:
        """A new segment begins."""
        self.writer.flush()
        self.writer._next_segment()

    def close(self, at_ms: float | None = None, *, in_order: bool = True) -> None:
        """The worker ends; in order, or (flushed all the same) by being killed."""
        if in_order:
            if at_ms is not None:
                self.note(window_end_ns=_ns(at_ms), stopped_by=None)
            self.writer.append(Kind.CLOSE, 0, _ns(at_ms or 0))
        self.writer.close()

    def transcribed(self) -> list[dict[str, Any]]:
        """Closes the tape and gives its rows."""
        self.close()
        transcriber = Transcriber(self.folder, self.worker)
        transcriber.advance()
        transcriber.finish()
        return rows(self.folder)


def rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of all parts, sorted by repeat, worker and index."""
    parts = sorted((folder / PARTS_FOLDER).glob("*.parquet"))
    found = [row for part in parts for row in pq.read_table(part, partitioning=None).to_pylist()]
    return sorted(found, key=lambda row: (row["repeat"], row["worker"], row["index"]))


def head(status: int = 200, content_type: str = "text/event-stream", **fields: str) -> bytes:
    """The head of an answer; without other ``fields`` its body is chunked."""
    framing = fields or {"transfer_encoding": "chunked"}
    lines = {
        "content-type": content_type,
        **{name.replace("_", "-"): value for name, value in framing.items()},
    }
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{text}\r\n".encode()


def chunk(body: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(body), body)


LAST_CHUNK = b"0\r\n\r\n"


def event(value: object) -> bytes:
    """One event as vLLM writes it."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return b"data: %b\n\n" % text.encode()


DONE_EVENT = event("[DONE]")


def completion(text: str = "", *, finish: str | None = None, **choice: Any) -> dict[str, Any]:
    """The value of an event of ``/v1/completions``."""
    return {
        "id": "cmpl-0123456789abcdef",
        "object": "text_completion",
        "created": 1780000000,
        "model": "a-model",
        "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish, **choice}],
    }


def chat(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """The value of an event of ``/v1/chat/completions``."""
    return {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1780000000,
        "model": "a-model",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }


def with_usage(
    value: dict[str, Any], completion_tokens: int, prompt_tokens: int = 16, **more: Any
) -> dict[str, Any]:
    """The value with a ``usage`` object."""
    usage = {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
        **more,
    }
    return {**value, "usage": usage}


def usage_event(completion_tokens: int, prompt_tokens: int = 16, **more: Any) -> dict[str, Any]:
    """The last event of a stream with ``include_usage``: no choice, only ``usage``."""
    return with_usage({**completion(), "choices": []}, completion_tokens, prompt_tokens, **more)


def streamed(values: Sequence[object], *, done: bool = True) -> list[bytes]:
    """The reads of a whole streamed answer: head, one chunk an event, ``[DONE]``, the last chunk."""
    events = [event(value) for value in values] + ([DONE_EVENT] if done else [])
    return [head(), *(chunk(data) for data in events), LAST_CHUNK]


def timed(reads: Iterable[bytes], first_ms: float = 50, gap_ms: float = 20) -> list[tuple[float, bytes]]:
    """Reads at a steady pace."""
    return [(first_ms + gap_ms * place, data) for place, data in enumerate(reads)]


def tokens(count: int, *, continuous: bool = True) -> list[dict[str, Any]]:
    """Events of one token each, the last with its finish reason; ``usage`` on each if ``continuous``."""
    values = []
    for number in range(1, count + 1):
        value = completion(f" word{number}", finish="length" if number == count else None)
        values.append(with_usage(value, number) if continuous else value)
    return values


def write_long(tape: HandTape, *, streams: int, chunks: int, rounds: int, padding: int = 0) -> int:
    """Writes ``rounds`` times ``streams`` answers side by side, a token a chunk; returns the reads.

    Each event is about 350 bytes long, and longer by ``padding``.
    """
    values = [chunk(event({**value, "padding": "x" * padding})) for value in tokens(chunks)]
    opening, closing = head(), chunk(DONE_EVENT) + LAST_CHUNK
    at_ms = 0.0
    for turn in range(rounds):
        keys = range(turn * streams + 1, (turn + 1) * streams + 1)
        for key in keys:
            tape.start(key, at_ms, wanted=chunks)
            tape.sent(key, at_ms)
            tape.read(key, at_ms + 1, opening)
        for data in values:
            at_ms += 20
            tape.tick(at_ms)
            for key in keys:
                tape.read(key, at_ms, data)
        for key in keys:
            tape.read(key, at_ms + 0.1, closing)
            tape.end(key, at_ms + 0.2)
        at_ms += 1
    return rounds * streams * (chunks + 2)


def _ns(at_ms: float) -> int:
    return START_NS + round(at_ms * MS)
