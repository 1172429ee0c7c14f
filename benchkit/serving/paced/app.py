"""The paced server's endpoints: just enough of OpenAI's API for a client to be measured by."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable

from benchkit.serving.paced import MODEL
from benchkit.serving.paced.log import PATH, SentAnswer, encoded
from benchkit.serving.paced.pace import InTurn, Pace
from benchkit.serving.simulated.answers import chunk
from benchkit.serving.simulated.http_server import Exchange
from benchkit.timer import make_timer

_ASKED = re.compile(rb'"max_(?:completion_)?tokens":\s*(\d+)')
_MOST_TOKENS = 1 << 20
_QUANTUM_NS = 200_000
"""Wake-ups are so far apart at least: tokens of one wake-up are late by less, and the log says by how much."""
_PROMPT_TOKENS = 16
_CARD = b'{"object":"list","data":[{"id":"%b","object":"model","owned_by":"benchkit","max_model_len":%d}]}'
_clock, _write = time.monotonic_ns, os.write


class Events:
    """The events of answers, which are the same for all; rendered as far as somebody asked for."""

    def __init__(self) -> None:
        self._made: dict[bool, list[bytes]] = {False: [], True: []}

    def up_to(self, tokens: int, *, chat: bool) -> list[bytes]:
        """Events of the first tokens of an answer that goes on, ``tokens`` of them at least."""
        made = self._made[chat]
        made.extend(self._event(number, chat=chat) for number in range(len(made) + 1, tokens + 1))
        return made

    def last(self, number: int, *, chat: bool) -> bytes:
        """The last token's event and what ends the stream."""
        return self._event(number, chat=chat, last=True) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"

    @staticmethod
    def _event(number: int, *, chat: bool, last: bool = False) -> bytes:
        kind, text = (
            (b"chat.completion.chunk", b'"delta":{"content":" token"}')
            if chat
            else (b"text_completion", b'"text":" token"')
        )
        return chunk(
            b'data: {"id":"cmpl-paced","object":"%b","created":1700000000,"model":"%b","choices":[{"index":0,%b,'
            b'"logprobs":null,"finish_reason":%b}],"usage":{"prompt_tokens":%d,"total_tokens":%d,'
            b'"completion_tokens":%d}}\n\n'
            % (
                kind,
                MODEL.encode(),
                text,
                b'"length"' if last else b"null",
                _PROMPT_TOKENS,
                _PROMPT_TOKENS + number,
                number,
            )
        )


class Answer:
    """A stream of ready events, each written when it is due and noted as it is."""

    __slots__ = ("_blocked", "_events", "_exchange", "_fd", "_last", "_next", "arrived_ns", "log", "total")

    def __init__(
        self, exchange: Exchange, log: SentAnswer, total: int, events: list[bytes], last: bytes
    ) -> None:
        self._exchange, self.log, self.total = exchange, log, total
        self._events, self._last = events, last
        self._next = 0
        self._fd = exchange.connection.fileno()
        self._blocked = False
        self.arrived_ns = log.arrived_ns

    def send(self, due_ns: int) -> bool:
        """See ``pace.Stream``; the log has the time just before the bytes are given to the kernel."""
        if self._fd < 0:
            return False
        self._next += 1
        ends = self._next == self.total
        data = self._last if ends else self._events[self._next - 1]
        sent_ns = _clock()
        if self._blocked:
            self._exchange.connection.send(data)
        else:
            self._write(data)
        self.log.due_ns.append(due_ns)
        self.log.sent_ns.append(sent_ns)
        if ends:
            self._exchange.end_stream()
        return not ends

    def cut(self) -> None:
        """The client is gone."""
        self._fd = -1

    def _write(self, data: bytes) -> None:
        try:
            written = _write(self._fd, data)
        except BlockingIOError:
            written = 0
        except OSError:
            self._fd = -1
            return
        if written < len(data):
            self._blocked = True
            self._exchange.connection.send(data[written:])


class App:
    """Answers requests; one object a server."""

    def __init__(self, pace: Pace, loop: asyncio.AbstractEventLoop, answer_tokens: int) -> None:
        self._pace, self._answer_tokens = pace, answer_tokens
        self._events = Events()
        self._log: list[SentAnswer] = []
        self._timer = make_timer(loop, self._on_timer)
        self._armed_ns: int | None = None
        self._ran_ns = 0
        self._events.up_to(answer_tokens, chat=False)
        self._routes: dict[tuple[str, str], Callable[[Exchange], None]] = {
            ("GET", "/health"): lambda exchange: exchange.respond(200, b"{}", "application/json"),
            ("GET", "/version"): lambda exchange: exchange.respond(
                200, b'{"version":"paced"}', "application/json"
            ),
            ("GET", "/v1/models"): lambda exchange: exchange.respond(
                200, _CARD % (MODEL.encode(), _MOST_TOKENS), "application/json"
            ),
            ("GET", PATH): self._give_log,
            ("POST", "/v1/completions"): lambda exchange: self._answer(exchange, chat=False),
            ("POST", "/v1/chat/completions"): lambda exchange: self._answer(exchange, chat=True),
        }

    def handle(self, exchange: Exchange) -> None:
        """Answers one request."""
        answer = self._routes.get((exchange.method, exchange.path))
        if answer is None:
            exchange.respond(404, b'{"error":{"message":"not found"}}', "application/json")
        else:
            answer(exchange)

    def close(self) -> None:
        """Stops the timer."""
        self._timer.close()

    def _answer(self, exchange: Exchange, *, chat: bool) -> None:
        asked = _ASKED.search(exchange.body)
        total = min(max(1, int(asked[1])), _MOST_TOKENS) if asked else self._answer_tokens
        log = SentAnswer(exchange.header(b"x-request-id") or str(len(self._log)), exchange.arrived_ns)
        self._log.append(log)
        events = self._events.up_to(total - 1, chat=chat)
        exchange.start_stream("text/event-stream; charset=utf-8")
        answer = Answer(exchange, log, total, events, self._events.last(total, chat=chat))
        exchange.on_disconnect = answer.cut
        self._pace.add(answer)
        self._arm()

    def _give_log(self, exchange: Exchange) -> None:
        stages = self._pace.begun_ns if isinstance(self._pace, InTurn) else []
        body = encoded(self._log, {"stages_ns": stages, "cpu_ns": time.process_time_ns()})
        exchange.respond(200, body, "application/octet-stream")

    def _on_timer(self) -> None:
        self._armed_ns = None
        self._ran_ns = _clock()
        self._pace.run()
        self._arm()

    def _arm(self) -> None:
        next_ns = self._pace.next_ns()
        if next_ns is None:
            return
        when_ns = max(next_ns, self._ran_ns + _QUANTUM_NS)
        if self._armed_ns is None or when_ns < self._armed_ns:
            self._armed_ns = when_ns
            self._timer.set(when_ns)
