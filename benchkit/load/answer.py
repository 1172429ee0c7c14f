"""One request as the tape tells it: its life, and what every read of its answer says.

Everything here can be pickled between any two records, so that a transcriber that dies goes on where it was.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from benchkit.load.api import DONE, MalformedEvent, read_event
from benchkit.load.sse import EventStream, MalformedStream
from benchkit.load.wire import AnswerDecoder, MalformedAnswer
from benchkit.records.kinds import ErrorKind, TokenSource

# By names of our own: looking a member of an enumeration up costs a tenth of reading an event.
_CHUNK_USAGE, _TOKEN_IDS, _EVENTS = TokenSource.CHUNK_USAGE, TokenSource.TOKEN_IDS, TokenSource.EVENTS
_KEEP_BODY = 64 * 1024
_MAX_BODY = 64 * 1024 * 1024
_MOST = 2**63 - 1


class Answer:
    """A request's life. Times are ns since the run's start; ``None`` until they happen."""

    __slots__ = (
        "attempt",
        "body",
        "bytes_received",
        "cached_tokens",
        "chunk_loop_ns",
        "chunk_ns",
        "chunk_tokens",
        "connect_start_ns",
        "connected_ns",
        "connection",
        "content_type",
        "decoder",
        "end_ns",
        "error",
        "error_kind",
        "finish_reason",
        "first_answer_ns",
        "first_text_ns",
        "headers_ns",
        "json_body",
        "lag_max_ns",
        "last_loop_ns",
        "last_ns",
        "meta",
        "output_tokens",
        "prompt_tokens",
        "reasoning_tokens",
        "request",
        "scheduled_ns",
        "sent_ns",
        "simple",
        "sse",
        "status",
        "text",
        "token_source",
        "tokens_seen",
        "usage",
        "usage_tokens",
        "waited_ns",
        "whole",
    )

    def __init__(self, meta: dict[str, Any], scheduled_ns: int) -> None:
        self.meta = meta
        self.scheduled_ns = scheduled_ns
        self.attempt = 1
        self.connection: int | None = None
        self.connect_start_ns: int | None = None
        self.connected_ns: int | None = None
        self.sent_ns: int | None = None
        self.waited_ns = 0
        self.request: bytes | None = None
        self.begin_attempt()

    def begin_attempt(self) -> None:
        """Forgets what an attempt that came to nothing left behind."""
        self.decoder: AnswerDecoder | None = AnswerDecoder()
        self.sse = EventStream()
        self.simple = self.json_body = self.whole = False
        self.status = 0
        self.content_type = ""
        self.headers_ns: int | None = None
        self.first_text_ns: int | None = None
        self.first_answer_ns: int | None = None
        self.end_ns: int | None = None
        self.last_ns = self.last_loop_ns = 0
        self.bytes_received = 0
        self.lag_max_ns: int | None = None
        self.body = bytearray()
        self.text: list[str] = []
        self.error_kind: ErrorKind | None = None
        self.error: str | None = None
        self.finish_reason: str | None = None
        self.usage: dict[str, Any] | None = None
        self.prompt_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.reasoning_tokens: int | None = None
        self.usage_tokens: int | None = None
        self.output_tokens: int | None = None
        self.token_source: TokenSource | None = None
        self.tokens_seen = 0
        self.chunk_ns = array("q")
        self.chunk_loop_ns = array("q")
        self.chunk_tokens = array("i")

    @property
    def first_token_ns(self) -> int | None:
        """The first token-bearing event."""
        return self.chunk_ns[0] if self.chunk_ns else None

    @property
    def last_token_ns(self) -> int | None:
        """The last token-bearing event."""
        return self.chunk_ns[-1] if self.chunk_ns else None

    @property
    def chunk_shared(self) -> np.ndarray:
        """Which token-bearing events are censored: a later one came in the same read."""
        loop_ns = np.frombuffer(self.chunk_loop_ns, dtype=np.int64)
        shared = np.zeros(len(loop_ns), dtype=np.bool_)
        np.equal(loop_ns[1:], loop_ns[:-1], out=shared[:-1])
        return shared

    def wire(self, data: bytes, stamp_ns: int, loop_ns: int) -> None:
        """A read of the connection: the usual case, one event in one chunk, is told at a glance."""
        self.bytes_received += len(data)
        self.last_ns, self.last_loop_ns = stamp_ns, loop_ns
        if self.simple:
            size, _, rest = data.partition(b"\r\ndata: ")
            ending = len(rest) - 4
            if (
                rest.endswith(b"}\n\n\r\n")
                and rest.find(b"\n") == ending
                and rest.find(b"\r") == ending + 2
                and size.lower() == b"%x" % (ending + 8)
            ):
                self._event(rest[:ending], stamp_ns, loop_ns)
                return
        decoder = self.decoder
        if decoder is None:
            return
        try:
            body = decoder.feed(data)
        except MalformedAnswer as error:
            self.fail(ErrorKind.MALFORMED, str(error))
            self.decoder = None
            self.simple = False
            return
        if not self.status and decoder.status:
            self.head(decoder.status, decoder.headers.get("content-type", ""), stamp_ns)
            if decoder.headers.get("content-encoding", "identity").lower() != "identity":
                self.fail(ErrorKind.MALFORMED, "the answer is compressed, though `identity` was asked for")
        self.whole = decoder.complete
        if body:
            self.read_body(body, stamp_ns, loop_ns)
        self.simple = (
            self.status == 200 and not self.json_body and decoder.at_boundary and self.sse.at_boundary
        )

    def head(self, status: int, content_type: str, stamp_ns: int) -> None:
        """The answer's head is whole."""
        self.status, self.headers_ns = status, stamp_ns
        self.content_type = content_type
        self.json_body = "json" in content_type.lower()

    def read_body(self, body: bytes, stamp_ns: int, loop_ns: int) -> None:
        """Some bytes of the body."""
        if self.status != 200:
            self.body += body[: _KEEP_BODY - len(self.body)]
        elif self.json_body:
            if len(self.body) + len(body) > _MAX_BODY:
                self.fail(ErrorKind.MALFORMED, "an answer of more than 64 MiB")
            else:
                self.body += body
        else:
            try:
                events = self.sse.feed(body)
            except MalformedStream as error:
                self.fail(ErrorKind.MALFORMED, str(error))
                self.sse = EventStream()
                return
            for data in events:
                self._event(data, stamp_ns, loop_ns)

    def ended(self) -> None:
        """The message ended, by its own framing or, where it has none, with the connection."""
        decoder = self.decoder
        if decoder is None or not (decoder.chunked or "content-length" in decoder.headers):
            self.whole = True
        self.end_ns = self.last_ns
        if self.status == 200 and self.json_body:
            self._event(bytes(self.body), self.last_ns, self.last_loop_ns)
        elif self.status == 200:
            for data in self.sse.finish():
                self._event(data, self.last_ns, self.last_loop_ns)

    def _event(self, data: bytes, stamp_ns: int, loop_ns: int) -> None:
        if data == DONE:
            return
        try:
            has_choice, text, reasoning, tool_call, ids, reason, usage, total, broken = read_event(data)
        except MalformedEvent as error:
            # An empty event is some server's way to keep a connection alive.
            if data.strip() not in (b"", DONE):
                self.fail(ErrorKind.MALFORMED, str(error))
            return
        if broken is not None:
            self.fail(ErrorKind.ERROR_EVENT, broken)
        if reason is not None:
            self.finish_reason = reason
        if usage:
            if self.usage is None:
                self.read_usage(usage)
            self.usage = usage
        visible = text or reasoning or tool_call
        source = self.token_source
        tokens = 0
        if total is not None:
            self.usage_tokens = total
            if has_choice and (source is None or source is _CHUNK_USAGE):
                tokens = total - self.tokens_seen
                self.token_source = source = _CHUNK_USAGE
        elif source is _CHUNK_USAGE and (visible or ids):
            # `usage` came on some events and is missing on this one: it doesn't count the tokens of each.
            source = None
        if source is not _CHUNK_USAGE:
            if ids:
                tokens = ids
                self.token_source = _TOKEN_IDS
            elif visible and source is not _TOKEN_IDS:
                tokens = 1
                self.token_source = _EVENTS
        if tokens > 0:
            self.tokens_seen += tokens
            self.chunk_ns.append(stamp_ns)
            self.chunk_loop_ns.append(loop_ns)
            self.chunk_tokens.append(tokens)
        if visible:
            if self.first_answer_ns is None:
                if self.first_text_ns is None:
                    self.first_text_ns = stamp_ns
                if text or tool_call:
                    self.first_answer_ns = stamp_ns
            if self.request is not None:
                self.text.append(reasoning + text)

    def read_usage(self, usage: dict[str, Any]) -> None:
        """What a ``usage`` object says beside the tokens of the answer."""
        prompt = _number(usage, "prompt_tokens")
        if prompt is not None:
            self.prompt_tokens = prompt
        cached = _number(usage.get("prompt_tokens_details"), "cached_tokens")
        if cached is not None:
            self.cached_tokens = cached
        reasoning = _number(usage.get("completion_tokens_details"), "reasoning_tokens")
        if reasoning is not None:
            self.reasoning_tokens = reasoning

    def fail(self, kind: ErrorKind, text: str) -> None:
        """Notes the first thing that went wrong."""
        if self.error_kind is None:
            self.error_kind, self.error = kind, text


def _number(values: object, name: str) -> int | None:
    number = values.get(name) if isinstance(values, dict) else None
    return number if isinstance(number, int) and 0 <= number <= _MOST else None
