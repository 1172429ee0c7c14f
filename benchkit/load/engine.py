"""Runs a plan: open or closed loop, warm-up, window, drain, and every way to stop early."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchkit.load.clock import forced_fallbacks, realtime_offset_ns
from benchkit.load.feed import Feed, Item
from benchkit.load.readiness import Due
from benchkit.load.run_queue import RunQueue
from benchkit.load.sender import Exchange, Failure, Sender
from benchkit.load.spec import TICK_NS, LoadSpec
from benchkit.load.tape import TICK_DATA, Kind, TapeWriter
from benchkit.records.kinds import ErrorKind, Outcome, Phase
from benchkit.timer import make_timer

_SHED = frozenset((429, 503))
_JUDGED_FROM = 20
_PAUSE_AFTER_FAILURE_S = 0.1
_READY_ITEMS = 64
_TEXT_KEPT = 200
_LEAD_NS = 60_000
"""What a wake-up from idle takes: the timer is set so much early, and what is left is waited for on the spot."""
_monotonic_ns = time.monotonic_ns


@dataclass(slots=True)
class Counts:
    """What the worker itself knows, without reading a single event."""

    sent: int = 0
    answered: int = 0
    failed: int = 0
    shed: int = 0


class Engine:
    """One load process's part of a plan.

    Attributes:
        counts: requests so far, warm-up included.
        in_flight: the exchanges under way, oldest first.
        limits_hit: what this machine lacked, in words.
        stopped_by: why no more is sent, when it is not the plan's own end.
        window_end_ns: when the window ended, CLOCK_MONOTONIC.
    """

    def __init__(
        self,
        spec: LoadSpec,
        worker: int,
        tape: TapeWriter,
        feeds: Mapping[Phase, Feed],
        head: Callable[[bytes, int], bytes],
    ) -> None:
        self._spec, self._worker, self._tape, self._feeds, self._head = spec, worker, tape, feeds, head
        self._loop = asyncio.get_running_loop()
        precise = "timerfd" not in forced_fallbacks()
        self._timer = None if spec.closed else make_timer(self._loop, self._send_due, precise=precise)
        self.due = None if spec.closed else Due(self._send_due)
        self._cap = spec.cap_of(worker)
        self._held: deque[tuple[Item, int, int]] = deque()
        self._starved: deque[int] = deque()
        self._watched: set[Phase] = set()
        self._keys = 0
        self._sending = False
        self._run_queue = RunQueue()
        self._finished = asyncio.Event()
        self._start_ns = self._window_ns = self._end_ns = self._tick_due_ns = self._drain_until_ns = 0
        self.counts = Counts()
        self.limits_hit: set[str] = set()
        self.in_flight: dict[int, Exchange] = {}
        self.stopped_by: str | None = None
        self.window_end_ns = 0
        self.sender: Sender

    @property
    def timer_name(self) -> str:
        """Which timer sends the open loop."""
        return self._timer.name if self._timer is not None else "none"

    async def fill(self) -> None:
        """Waits until the feeds hold enough to start with.

        Raises:
            RuntimeError: the process that draws the plan died.
        """
        enough = len(self._spec.streams_of(self._worker)) + _READY_ITEMS
        for phase in self._feeds:
            self._refill(phase)
        while True:
            if any(feed.broken for feed in self._feeds.values()):
                raise RuntimeError("the process that draws the plan died")
            if all(not feed.hungry or len(feed) >= enough for feed in self._feeds.values()):
                return
            await asyncio.sleep(0.002)

    async def run(self, start_ns: int) -> None:
        """Runs warm-up, window and drain; returns when nothing is in flight any more.

        Args:
            start_ns: the run's start, CLOCK_MONOTONIC.
        """
        spec = self._spec
        self._start_ns, self._window_ns = start_ns, start_ns + spec.warmup_ns
        self._end_ns = self._window_ns + spec.duration_ns if spec.duration_ns else 1 << 62
        self._sending = True
        self._tick_due_ns = _monotonic_ns() + TICK_NS
        self._loop.call_later(TICK_NS / 1e9, self._tick)
        if spec.closed:
            for stream in spec.streams_of(self._worker):
                due_ns = start_ns + spec.warmup_ns * stream // max(1, spec.concurrency)
                self._loop.call_later(max(0.0, (due_ns - _monotonic_ns()) / 1e9), self._slot_free)
        else:
            self._send_due()
        await self._finished.wait()
        if self._timer is not None:
            self._timer.close()
        for phase in list(self._watched):
            self._unwatch(phase)
        self._run_queue.close()
        if not self.window_end_ns:
            self.window_end_ns = _monotonic_ns()

    def stop(self, reason: str, *, drain: bool = True) -> None:
        """Sends nothing more; with ``drain`` what is under way may still end, else it is interrupted."""
        if self.stopped_by is None:
            self.stopped_by = reason
        self._give_up_held(Outcome.INTERRUPTED, f"stopped before it was sent: {reason}")
        self._stop_sending()
        if not drain:
            self._give_up(Outcome.INTERRUPTED, f"stopped: {reason}")

    def _stop_sending(self) -> None:
        if self._sending:
            self._sending = False
            now = _monotonic_ns()
            self.window_end_ns = max(self._window_ns, min(self._end_ns, now))
            self._drain_until_ns = self.window_end_ns + self._spec.drain_ns
        if not self.in_flight and not self._held:
            self._finished.set()

    def _give_up(self, outcome: Outcome, text: str) -> None:
        now = _monotonic_ns()
        for exchange in list(self.in_flight.values()):
            self.sender.abandon(exchange)
            self._tape_failure(exchange.key, now, outcome, None, text)
        self.in_flight.clear()
        self._give_up_held(outcome, f"never sent: {text}")
        self._finished.set()

    def _give_up_held(self, outcome: Outcome, text: str) -> None:
        """Records what was due and could not leave: no arrival is lost from the books."""
        now = _monotonic_ns()
        while self._held:
            item, due_ns, _ = self._held.popleft()
            self._keys += 1
            self._tape.append(Kind.START, self._keys, due_ns, item.meta)
            self._tape_failure(self._keys, now, outcome, None, text)

    def _tape_failure(self, key: int, now: int, outcome: Outcome, kind: ErrorKind | None, text: str) -> None:
        self._tape.append(
            Kind.FAIL, key, now, json.dumps({"outcome": outcome, "kind": kind, "error": text[:500]}).encode()
        )

    def _tick(self) -> None:
        now = _monotonic_ns()
        late = now - self._tick_due_ns
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        taken = (time.process_time_ns(), switches, late, self._run_queue.waited_ns())
        self._tape.append(Kind.TICK, 0, now, TICK_DATA.pack(realtime_offset_ns(), *taken))
        self._tape.flush()
        if self._tape.failure is not None and self.stopped_by != "disk_full":
            self.stop("disk_full", drain=False)
            return
        if self._sending and now >= self._end_ns:
            self._window_over(now)
        if not self._sending and now >= self._drain_until_ns:
            self._give_up(Outcome.INCOMPLETE, "still running when the drain ended")
        self._expire(now)
        if not self._finished.is_set():
            self._tick_due_ns = now + TICK_NS
            self._loop.call_later(TICK_NS / 1e9, self._tick)

    def _window_over(self, now: int) -> None:
        """Ends the sending; an open loop that is late first sends what was due, as long as the drain lasts."""
        if self._timer is not None:
            feed = self._feeds[Phase.WINDOW]
            if (len(feed) or not feed.ended) and now < self._end_ns + self._spec.drain_ns:
                return
            while (item := feed.take()) is not None:
                self._held.append((item, self._window_ns + item.due_ns, now))
        self._stop_sending()

    def _expire(self, now: int) -> None:
        limit = now - self._spec.timeout_ns
        while self.in_flight:
            exchange = next(iter(self.in_flight.values()))
            if exchange.begun_ns > limit:
                return
            self.sender.abandon(exchange)
            self._done(
                exchange,
                0,
                Failure(ErrorKind.TIMEOUT, f"no end within timeout_s ({self._spec.timeout_ns / 1e9:g} s)"),
            )

    def _feed(self) -> tuple[Feed, Phase, int]:
        if self._spec.closed:
            phase = Phase.WINDOW if _monotonic_ns() >= self._window_ns else Phase.WARMUP
        else:
            warmup = self._feeds[Phase.WARMUP]
            phase = Phase.WINDOW if warmup.ended and not len(warmup) else Phase.WARMUP
        return self._feeds[phase], phase, self._start_ns if phase is Phase.WARMUP else self._window_ns

    def _take(self, feed: Feed, phase: Phase) -> Item | None:
        item = feed.take()
        if feed.low and phase not in self._watched:
            self._watched.add(phase)
            self._loop.add_reader(feed.fd, self._refill, phase)
        return item

    def _refill(self, phase: Phase) -> None:
        feed = self._feeds[phase]
        was_empty = not len(feed)
        feed.read()
        if feed.hungry:
            if phase not in self._watched:
                self._watched.add(phase)
                self._loop.add_reader(feed.fd, self._refill, phase)
        else:
            self._unwatch(phase)
        if feed.broken:
            self.stop("plan_process_died")
        if not self._sending:
            return
        if self._timer is not None and (was_empty or feed.ended):
            self._send_due()
        while self._starved and len(feed):
            self._slot_free(self._starved.popleft())

    def _unwatch(self, phase: Phase) -> None:
        if phase in self._watched:
            self._watched.discard(phase)
            self._loop.remove_reader(self._feeds[phase].fd)

    def _slot_free(self, since_ns: int = 0) -> None:
        now = _monotonic_ns()
        if not self._sending:
            return
        if now >= self._end_ns:
            self._stop_sending()
            return
        feed, phase, _ = self._feed()
        item = self._take(feed, phase)
        if item is not None:
            self._send(item, since_ns or now, 0)
        elif not feed.ended:
            self._starved.append(since_ns or now)
        elif phase is Phase.WINDOW:
            self._plan_ended()
        else:
            self._loop.call_later(max(0, self._window_ns - now) / 1e9, self._slot_free)

    def _plan_ended(self) -> None:
        """The plan has no more; where the number of requests limits it, the window ends with the last of them."""
        if self._spec.bounded and not self.in_flight and not self._held:
            self._stop_sending()

    def _send_due(self) -> None:
        assert self._timer is not None
        assert self.due is not None
        self.due.at_ns = Due.NEVER_NS
        while self._sending:
            feed, phase, base_ns = self._feed()
            item = feed.peek()
            if item is None:
                if not feed.ended:
                    return
                if phase is Phase.WINDOW:
                    self._plan_ended()
                    return
                continue
            due_ns = base_ns + item.due_ns
            wait_ns = due_ns - _monotonic_ns()
            if wait_ns > _LEAD_NS:
                self.due.at_ns = due_ns - _LEAD_NS
                self._timer.set(due_ns - _LEAD_NS)
                return
            while wait_ns > 0:
                wait_ns = due_ns - _monotonic_ns()
            self._take(feed, phase)
            if self._cap and len(self.in_flight) >= self._cap:
                self._held.append((item, due_ns, _monotonic_ns()))
            else:
                self._send(item, due_ns, 0)

    def _send(self, item: Item, scheduled_ns: int, waited_ns: int) -> None:
        self._keys = key = self._keys + 1
        payload = self._head(item.ident, len(item.body)) + item.body
        tape = self._tape
        tape.append(Kind.START, key, scheduled_ns, item.meta)
        if self._spec.keep_text:
            tape.append(Kind.PROMPT, key, scheduled_ns, item.body)
        exchange = Exchange(key, payload, scheduled_ns, waited_ns, self._done)
        exchange.begun_ns = _monotonic_ns()
        self.in_flight[key] = exchange
        self.counts.sent += 1
        self.sender.send(exchange)

    def _done(self, exchange: Exchange, status: int, failure: Failure | None) -> None:
        if self.in_flight.pop(exchange.key, None) is None:
            return
        counts = self.counts
        counts.answered += 1
        bad = failure is not None or status != 200
        if failure is not None:
            if failure.kind is ErrorKind.CLIENT:
                self.limits_hit.add(failure.text[:_TEXT_KEPT])
            self._tape_failure(exchange.key, _monotonic_ns(), Outcome.FAILED, failure.kind, failure.text)
        if bad:
            if status in _SHED:
                counts.shed += 1
            else:
                counts.failed += 1
                if (
                    counts.answered >= _JUDGED_FROM
                    and self._sending
                    and counts.failed > self._spec.max_error_rate * counts.answered
                ):
                    self.stop("max_error_rate")
        if self._timer is not None:
            if self._held:
                item, due_ns, since_ns = self._held.popleft()
                self._send(item, due_ns, _monotonic_ns() - since_ns)
            elif self._sending and not self.in_flight:
                self._send_due()
        elif self._sending and bad:
            self._loop.call_later(_PAUSE_AFTER_FAILURE_S, self._slot_free)
        elif self._sending:
            self._slot_free()
        if not self._sending and not self.in_flight and not self._held:
            self._finished.set()
