"""Turns emissions of an engine into the bytes of an answer, in vLLM's form."""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field
from typing import Any

import orjson

from benchkit.serving.simulated.api import Call
from benchkit.serving.simulated.http_server import Exchange
from benchkit.serving.simulated.tokens import WORDS
from benchkit.simulator.requests import Emission, EngineRequest

LAST_CHUNK = b"0\r\n\r\n"
_DONE = b"data: [DONE]\n\n"


@dataclass(slots=True)
class SendRecord:
    """The true times of one request, ns of CLOCK_MONOTONIC: what a client's measurement is compared with."""

    request_id: str
    arrived_ns: int
    scheduled_ns: array[int] = field(default_factory=lambda: array("q"))
    """When each event of tokens was due."""
    sent_ns: array[int] = field(default_factory=lambda: array("q"))
    """When it was handed to the kernel."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "request_id": self.request_id,
            "arrived_ns": self.arrived_ns,
            "scheduled_ns": self.scheduled_ns.tolist(),
            "sent_ns": self.sent_ns.tolist(),
        }


def chunk(payload: bytes) -> bytes:
    """A chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def usage(call: Call, completion_tokens: int, request: EngineRequest | None = None) -> bytes:
    """The JSON of ``usage``; of the prefix cache it speaks, as vLLM does, only at the end (``request`` given)."""
    details = b""
    if call.prompt_details and request is not None:
        details = b',"prompt_tokens_details":{"cached_tokens":%d}' % request.cached_tokens
    return b'{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d%b}' % (
        call.prompt_tokens,
        call.prompt_tokens + completion_tokens,
        completion_tokens,
        details,
    )


@dataclass(slots=True)
class Names:
    """What every event of an answer repeats."""

    answer_id: str
    model: str
    created: int


class WholeAnswer:
    """An answer that is sent when its last token is there."""

    __slots__ = ("_call", "_exchange", "_names", "record", "request")

    def __init__(
        self, exchange: Exchange, call: Call, names: Names, request: EngineRequest, record: SendRecord | None
    ) -> None:
        self._exchange = exchange
        self._call = call
        self._names = names
        self.request = request
        self.record = record

    @property
    def finish_reason(self) -> str:
        """Why the answer ends."""
        return self._call.finish_reason

    def start(self) -> None:
        """Nothing leaves before the end."""

    def deliver(self, emission: Emission) -> None:
        """Takes tokens; answers with the last of them."""
        if not emission.finished:
            return
        if self.record is not None:
            self.record.scheduled_ns.append(emission.due_ns)
            self.record.sent_ns.append(time.monotonic_ns())
        self._exchange.respond(200, self._body(), "application/json")

    def _body(self) -> bytes:
        call = self._call
        text = b"".join(WORDS[(call.word + at) % len(WORDS)] for at in range(call.text_tokens))
        choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": call.finish_reason}
        if call.chat:
            choice["message"] = {"role": "assistant", "content": text.decode()}
        else:
            choice["text"] = text.decode()
        answer: dict[str, Any] = {
            "id": self._names.answer_id,
            "object": "chat.completion" if call.chat else "text_completion",
            "created": self._names.created,
            "model": self._names.model,
            "choices": [{**choice, "stop_reason": None}],
        }
        if not call.faults.no_usage:
            answer["usage"] = orjson.Fragment(usage(call, call.output_tokens, self.request))
        return orjson.dumps(answer)


class StreamedAnswer:
    """An answer of server-sent events, one for each emission; what repeats is rendered once."""

    __slots__ = ("_call", "_events", "_exchange", "_head", "_tail", "_words", "record", "request")

    def __init__(
        self, exchange: Exchange, call: Call, names: Names, request: EngineRequest, record: SendRecord | None
    ) -> None:
        self._exchange = exchange
        self._call = call
        self.request = request
        self.record = record
        kind = b"chat.completion.chunk" if call.chat else b"text_completion"
        self._events = b'data: {"id":%b,"object":"%b","created":%d,"model":%b,"choices":[' % (
            orjson.dumps(names.answer_id),
            kind,
            names.created,
            orjson.dumps(names.model),
        )
        self._head = self._events + (
            b'{"index":0,"delta":{"content":"' if call.chat else b'{"index":0,"text":"'
        )
        self._tail = self._event_tail(None) + (b"" if call.continuous_usage else self._event_end(0))
        self._words = call.word

    @property
    def finish_reason(self) -> str:
        """Why the answer ends."""
        return self._call.finish_reason

    def start(self) -> None:
        """Sends the head of the answer."""
        self._exchange.start_stream("text/event-stream; charset=utf-8")

    def deliver(self, emission: Emission) -> None:
        """Sends an event with the emission's tokens; with the last of them also what ends the stream."""
        data = self.render(emission)
        record = self.record
        if record is not None:
            record.scheduled_ns.append(emission.due_ns)
            record.sent_ns.append(time.monotonic_ns())
        self._exchange.connection.send(data)
        if emission.finished:
            self._exchange.end_stream()

    def render(self, emission: Emission) -> bytes:
        """The chunks of an emission; before a chat's first token its role, after the last one the ending."""
        if emission.finished:
            data = chunk(self.event(emission, self._call.finish_reason)) + self.ending(emission.total)
        elif self._call.continuous_usage:
            data = chunk(self.event(emission, None))
        else:
            words = self.next_words(emission.tokens)
            head, tail = self._head, self._tail
            data = b"%x\r\n%b%b%b\r\n" % (len(head) + len(words) + len(tail), head, words, tail)
        if emission.first and self._call.chat:
            return chunk(self.role_event()) + data
        return data

    def event(self, emission: Emission, finish_reason: str | None) -> bytes:
        """The event of some tokens; a stop token has no text."""
        words = self.next_words(emission.tokens - 1 if finish_reason == "stop" else emission.tokens)
        return self._head + words + self._event_tail(finish_reason) + self._event_end(emission.total)

    def role_event(self) -> bytes:
        """The event that opens a chat's answer."""
        return (
            self._events
            + b'{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]'
            + (b',"usage":%b}\n\n' % usage(self._call, 0) if self._call.continuous_usage else b"}\n\n")
        )

    def ending(self, total: int) -> bytes:
        """What follows the last token: the final usage, [DONE], the last chunk."""
        call = self._call
        final = b""
        if call.include_usage:
            final = chunk(self._events + b'],"usage":%b}\n\n' % usage(call, total, self.request))
        return final + (b"" if call.faults.no_done else chunk(_DONE)) + LAST_CHUNK

    def next_words(self, tokens: int) -> bytes:
        """The text of the next tokens."""
        start = self._words
        self._words = start + tokens
        if tokens == 1:
            return WORDS[start % len(WORDS)]
        return b"".join(WORDS[at % len(WORDS)] for at in range(start, start + tokens))

    def _event_tail(self, finish_reason: str | None) -> bytes:
        reason = b"null" if finish_reason is None else b'"%b"' % finish_reason.encode()
        if self._call.chat:
            stop = b"" if finish_reason is None else b',"stop_reason":null'
            return b'"},"logprobs":null,"finish_reason":%b%b,"token_ids":null}]' % (reason, stop)
        return (
            b'","logprobs":null,"finish_reason":%b,"stop_reason":null,'
            b'"prompt_token_ids":null,"token_ids":null}]' % reason
        )

    def _event_end(self, total: int) -> bytes:
        if self._call.continuous_usage:
            return b',"usage":%b}\n\n' % usage(self._call, total)
        return b"}\n\n"


Answer = WholeAnswer | StreamedAnswer
