"""Answers on which a client's handling of faults is tested."""

from __future__ import annotations

import asyncio
import time

import orjson

from benchkit.serving.simulated.answers import LAST_CHUNK, StreamedAnswer, WholeAnswer, chunk
from benchkit.serving.simulated.crash import DEAD, crash
from benchkit.simulator.requests import Emission


class FaultyAnswer(StreamedAnswer):
    """A streamed answer with the faults of its call."""

    __slots__ = ("_closing", "_held", "_holding", "_merged", "_over", "_started")

    _held: list[bytes]

    def start(self) -> None:
        """Sends the head, or holds it where the answer starts late or as a whole."""
        faults = self._call.faults
        self._held = []
        self._merged = 0
        self._started = False
        self._over = False
        self._closing = False
        self._holding = faults.buffer
        if faults.slow_start:
            self._hold_for(faults.slow_start)
        elif not faults.buffer:
            self._begin()

    def deliver(self, emission: Emission) -> None:
        """Sends, holds, spoils or ends the answer, as its faults say."""
        if self._over:
            return
        faults = self._call.faults
        emitted = emission.total
        last = emission.finished
        if faults.merge > 1 and emitted > 1 and not last and self._merged + emission.tokens < faults.merge:
            self._merged += emission.tokens
            return
        merged = emission._replace(tokens=emission.tokens + self._merged)
        self._merged = 0
        self._log(merged)
        data = self._spoiled(merged)
        if faults.malformed and emitted == faults.malformed:
            data += chunk(b'data: {"id":"cmpl-broken","choices":[{"index":0,"te\n\n')
        if faults.error_event and emitted == faults.error_event and not last:
            self._over, last = True, True
            data += chunk(b"data: " + _server_error() + b"\n\n") + chunk(b"data: [DONE]\n\n") + LAST_CHUNK
        self._put(data)
        if faults.crash_after and emitted >= faults.crash_after:
            crash()
        if faults.cut_after and emitted >= faults.cut_after:
            self._over = True
            self._exchange.connection.cut()
        elif last:
            self._over = self._closing = True
            self._flush_if_whole()
        elif faults.stall_ms and emitted == max(self.request.output_tokens // 2, 1):
            self._hold_for(faults.stall_ms)

    def _spoiled(self, emission: Emission) -> bytes:
        faults = self._call.faults
        if emission.finished and faults.no_finish_reason:
            data = chunk(self.event(emission, None)) + self.ending(emission.total)
        else:
            data = self.render(emission)
        return (chunk(b": ping\n\n") if faults.ping else b"") + data

    def _log(self, emission: Emission) -> None:
        if self.record is not None:
            self.record.scheduled_ns.append(emission.due_ns)
            self.record.sent_ns.append(0)

    def _put(self, data: bytes) -> None:
        if self._holding:
            self._held.append(data)
        else:
            self._send(data)

    def _send(self, data: bytes) -> None:
        if not self._started:
            self._begin()
        self._stamp()
        self._exchange.connection.send(data)

    def _stamp(self) -> None:
        """Events that were held get the time at which they left."""
        if self.record is None:
            return
        now_ns = time.monotonic_ns()
        sent = self.record.sent_ns
        at = len(sent)
        while at and sent[at - 1] == 0:
            at -= 1
            sent[at] = now_ns

    def _begin(self) -> None:
        self._started = True
        self._exchange.start_stream("text/event-stream; charset=utf-8")

    def _hold_for(self, milliseconds: int) -> None:
        self._holding = True
        asyncio.get_running_loop().call_later(milliseconds / 1000, self._release)

    def _release(self) -> None:
        if self._call.faults.buffer and not self._closing:
            return
        self._holding = False
        if not self._started:
            self._begin()
        if self._held:
            self._send(b"".join(self._held))
            self._held.clear()
        if self._closing:
            self._exchange.end_stream()

    def _flush_if_whole(self) -> None:
        if not self._holding or self._call.faults.buffer:
            self._release()


class FaultyWhole(WholeAnswer):
    """An answer in one piece whose request may take the server down."""

    __slots__ = ()

    def deliver(self, emission: Emission) -> None:
        """Takes tokens; answers with the last of them, if it comes to that."""
        crash_after = self._call.faults.crash_after
        if crash_after and emission.total >= crash_after:
            crash()
        super().deliver(emission)


def _server_error() -> bytes:
    return orjson.dumps(
        {"error": {"message": DEAD, "type": "InternalServerError", "param": None, "code": 500}}
    )
