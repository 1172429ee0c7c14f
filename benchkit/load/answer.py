"""One request as the tape tells it, and the row of the request table that it becomes.

Everything here can be pickled between any two records, so that a transcriber that dies goes on where it was.
"""

from __future__ import annotations

from array import array
from typing import Any

from benchkit.load.api import DONE, MalformedEvent, error_of_body, read_event
from benchkit.load.sse import EventStream
from benchkit.load.wire import AnswerDecoder, MalformedAnswer
from benchkit.records.kinds import ErrorKind, Outcome, TokenSource

_SHED = {429: ErrorKind.SHED_429, 503: ErrorKind.SHED_503}
_KEEP_BODY = 64 * 1024


class Answer:
    """A request's life. Times are ns since the run's start; ``None`` until they happen."""

    __slots__ = (
        "attempt",
        "body",
        "bytes_received",
        "cached_tokens",
        "chunk_loop_ns",
        "chunk_ns",
        "chunk_shared",
        "chunk_tokens",
        "connect_start_ns",
        "connected_ns",
        "connection",
        "decoder",
        "end_ns",
        "error",
        "error_kind",
        "finish_reason",
        "first_answer_ns",
        "first_text_ns",
        "first_token_ns",
        "headers_ns",
        "json_body",
        "lag_max_ns",
        "last_loop_ns",
        "last_ns",
        "meta",
        "output_tokens",
        "prompt_tokens",
        "reasoning_tokens",
        "scheduled_ns",
        "sent_ns",
        "simple",
        "sse",
        "status",
        "text",
        "token_source",
        "tokens_seen",
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
        self.text: list[str] | None = None
        self.begin_attempt()

    def begin_attempt(self) -> None:
        """Forgets what an attempt that came to nothing left behind."""
        self.decoder: AnswerDecoder | None = AnswerDecoder()
        self.sse = EventStream()
        self.simple = self.json_body = self.whole = False
        self.status = 0
        self.headers_ns = self.first_token_ns = self.first_text_ns = self.first_answer_ns = None
        self.end_ns: int | None = None
        self.last_ns = self.last_loop_ns = 0
        self.bytes_received = 0
        self.lag_max_ns: int | None = None
        self.body = b""
        self.error_kind: ErrorKind | None = None
        self.error: str | None = None
        self.finish_reason: str | None = None
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
        self.chunk_shared = bytearray()

    def wire(self, data: bytes, stamp_ns: int, loop_ns: int) -> None:
        """A read of the connection: the usual case, one event in one chunk, is told at a glance."""
        self.bytes_received += len(data)
        self.last_ns, self.last_loop_ns = stamp_ns, loop_ns
        if self.simple and data.endswith(b"}\n\n\r\n"):
            cut = data.find(b"\r\n", 0, 8)
            if cut > 0 and data.startswith(b"data: ", cut + 2) and data.find(b"\n", cut + 2) == len(data) - 4:
                try:
                    size = int(data[:cut], 16)
                except ValueError:
                    size = -1
                if size == len(data) - cut - 4:
                    self._event(data[cut + 8 : -4], stamp_ns, loop_ns)
                    return
        decoder = self.decoder
        if decoder is None:
            return
        try:
            body = decoder.feed(data)
        except MalformedAnswer as error:
            self._fail(ErrorKind.MALFORMED, str(error))
            self.decoder = None
            return
        if not self.status and decoder.status:
            self.head(decoder.status, decoder.headers.get("content-type", ""), stamp_ns)
        self.whole = decoder.complete
        if body:
            self.read_body(body, stamp_ns, loop_ns)
        self.simple = (
            self.status == 200 and not self.json_body and decoder.at_boundary and self.sse.at_boundary
        )

    def head(self, status: int, content_type: str, stamp_ns: int) -> None:
        """The answer's head is whole."""
        self.status, self.headers_ns = status, stamp_ns
        self.json_body = "json" in content_type.lower()

    def read_body(self, body: bytes, stamp_ns: int, loop_ns: int) -> None:
        """Some bytes of the body."""
        if self.status != 200 or self.json_body:
            if len(self.body) < _KEEP_BODY or self.status == 200:
                self.body += body
            return
        for data in self.sse.feed(body):
            self._event(data, stamp_ns, loop_ns)

    def ended(self, *, whole: bool | None = None) -> None:
        """The message ended; ``whole`` overrides what its framing said."""
        if whole is not None:
            self.whole = whole
        self.end_ns = self.last_ns
        if self.status == 200 and self.json_body:
            self._event(self.body, self.last_ns, self.last_loop_ns)
        elif self.status == 200:
            for data in self.sse.finish():
                self._event(data, self.last_ns, self.last_loop_ns)

    def _event(self, data: bytes, stamp_ns: int, loop_ns: int) -> None:
        if data == DONE:
            return
        try:
            event = read_event(data)
        except MalformedEvent as error:
            self._fail(ErrorKind.MALFORMED, str(error))
            return
        if event.error is not None:
            self._fail(ErrorKind.ERROR_EVENT, event.error)
        if event.finish_reason is not None:
            self.finish_reason = event.finish_reason
        visible = bool(event.text or event.reasoning or event.tool_call)
        tokens = 0
        usage = event.usage
        if usage is not None:
            total = usage.get("completion_tokens")
            if total is not None:
                if event.has_choice and (
                    self.token_source is None or self.token_source is TokenSource.CHUNK_USAGE
                ):
                    tokens = total - (self.usage_tokens or 0)
                    self.token_source = TokenSource.CHUNK_USAGE
                self.usage_tokens = total
            self._usage(usage)
        if tokens <= 0 and self.token_source is not TokenSource.CHUNK_USAGE:
            if event.token_ids:
                tokens = event.token_ids
                self.token_source = TokenSource.TOKEN_IDS
            elif visible and self.token_source is not TokenSource.TOKEN_IDS:
                tokens = 1
                self.token_source = TokenSource.EVENTS
        if tokens > 0:
            if self.first_token_ns is None:
                self.first_token_ns = stamp_ns
            elif self.chunk_loop_ns[-1] == loop_ns:
                self.chunk_shared[-1] = 1
            self.tokens_seen += tokens
            self.chunk_ns.append(stamp_ns)
            self.chunk_loop_ns.append(loop_ns)
            self.chunk_tokens.append(tokens)
            self.chunk_shared.append(0)
        if visible:
            if self.first_text_ns is None:
                self.first_text_ns = stamp_ns
            if self.first_answer_ns is None and (event.text or event.tool_call):
                self.first_answer_ns = stamp_ns
            if self.text is not None:
                self.text.append(event.reasoning + event.text)

    def _usage(self, usage: dict[str, Any]) -> None:
        prompt = usage.get("prompt_tokens")
        if prompt is not None:
            self.prompt_tokens = prompt
        details = usage.get("prompt_tokens_details")
        if details:
            self.cached_tokens = details.get("cached_tokens", self.cached_tokens)
        details = usage.get("completion_tokens_details")
        if details:
            self.reasoning_tokens = details.get("reasoning_tokens", self.reasoning_tokens)

    def _fail(self, kind: ErrorKind, text: str) -> None:
        if self.error_kind is None:
            self.error_kind, self.error = kind, text[:300]

    def count_tokens(self) -> None:
        """Settles the number of output tokens, and whether tokens a chunk are known."""
        source, events, total = self.token_source, len(self.chunk_ns), self.usage_tokens
        if total is None:
            self.output_tokens = self.tokens_seen if source is not None else None
        else:
            self.output_tokens = total
            if source is TokenSource.EVENTS:
                self.token_source = (
                    TokenSource.FINAL_USAGE if total == events else TokenSource.FINAL_USAGE_DIFFERS
                )

    def judge(self, *, exact_length: bool) -> Outcome:
        """The outcome of an answer that ended, and its error kind where it failed."""
        if self.status in _SHED:
            self.error_kind, self.error = _SHED[self.status], error_of_body(self.body)
            return Outcome.SHED
        if self.status != 200:
            kind = {3: ErrorKind.HTTP_3XX, 5: ErrorKind.HTTP_5XX}.get(self.status // 100, ErrorKind.HTTP_4XX)
            self.error_kind, self.error = kind, f"{self.status}: {error_of_body(self.body)}"
            return Outcome.FAILED
        wanted = self.meta.get("wanted")
        if self.error_kind is not None:
            return Outcome.FAILED
        if not self.whole:
            self._fail(ErrorKind.CUT, "the message ended before it was complete")
        elif not self.chunk_ns:
            self._fail(ErrorKind.EMPTY, "a complete answer without a token")
        elif self.finish_reason is None:
            self._fail(ErrorKind.NO_FINISH, "a complete answer without a finish reason")
        elif exact_length and wanted and self.output_tokens is not None and self.output_tokens < wanted:
            self._fail(
                ErrorKind.SHORT,
                f"{self.output_tokens} tokens instead of {wanted}, though the server honours ignore_eos",
            )
        return Outcome.OK if self.error_kind is None else Outcome.FAILED
