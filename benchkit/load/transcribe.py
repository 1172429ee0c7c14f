"""Tape -> records, beside the run, in a process of its own at the lowest priority.

``python -m benchkit.load.transcribe FOLDER WORKER``. It follows the tape; each time it has read a segment to its end
it writes what has finished as a part of the request table, then its own state (requests under way included), then
drops the segment: whatever dies, nothing is lost and nothing counts twice. When stdin ends, its worker is gone: it
reads what is left and ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import statistics
import struct
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchkit.load.answer import Answer
from benchkit.load.parts import Finished, write_part
from benchkit.load.spec import PARTS_FOLDER, LoadSpec
from benchkit.load.tape import HEADER_SIZE, SENT_DATA, TICK_DATA, Kind, segments
from benchkit.load.transcript import Transcript
from benchkit.records.atomic import is_disk_full
from benchkit.records.kinds import ErrorKind, Outcome

_HEADER = struct.Struct("<IHHIIqqq")
_NANO = 1_000_000_000
_READ_SIZE = 4 * 1024 * 1024
_POLL_S = 0.1
_SAY_S = 0.5
_STEP_NS = 1_000_000
_TICKS_KEPT_NS = 100_000_000
_PART_CHUNKS = 400_000


class Transcriber:
    """Reads one worker's tape."""

    def __init__(self, folder: Path, worker: int, *, repeat: int | None = None) -> None:
        self._folder, self._worker = folder, worker
        spec = LoadSpec.read(folder)
        self._spec = spec if repeat is None else replace(spec, repeat=repeat)
        self._tape, self._parts = self._spec.tape_folder(folder), folder / PARTS_FOLDER
        self._state_file = self._tape / f"w{worker}.state"
        self.state: Transcript = (
            pickle.loads(self._state_file.read_bytes()) if self._state_file.exists() else Transcript()
        )
        self._finished: list[Finished] = []
        self._finished_chunks = 0
        self._ttft_ms: list[float] = []
        self.caught_up_ns = 0

    def advance(self) -> bool:
        """Reads all that is on the tape now; returns whether there was anything."""
        moved = False
        while True:
            paths = segments(self._tape, self._worker)
            names = [path.name for path in paths]
            state = self.state
            if not names:
                return moved
            if state.segment not in names:
                state.segment, state.offset = names[0], 0
            place = names.index(state.segment)
            moved = self._read_segment(paths[place]) or moved
            if place + 1 == len(names):
                return moved
            # The next segment exists, so this one grows no more; what came between the last look and now is read first.
            if self._read_segment(paths[place]):
                continue
            state.segment, state.offset = names[place + 1], 0
            self._checkpoint()
            paths[place].unlink()

    def finish(self) -> dict[str, Any]:
        """Writes the last part; requests that have no end were interrupted. Returns the worker's facts."""
        for answer in list(self.state.answers.values()):
            self._cut_short(answer, Outcome.INTERRUPTED, "the load process died")
        self.state.answers.clear()
        self._checkpoint()
        return self.facts()

    def facts(self) -> dict[str, Any]:
        """What is known of the worker's own behaviour, times in ns."""
        state = self.state
        notes = {name: value for name, value in state.facts.items() if name not in {"start_ns", "offset_ns", "pid"}}
        window = [tick for tick in state.ticks if self._in_window(tick[0])]
        cpu_share = switches = cpu_ns = None
        if len(window) >= 2:
            first, last = window[0], window[-1]
            cpu_ns, switches = last[1] - first[1], last[2] - first[2]
            cpu_share = cpu_ns / (last[0] - first[0])
        return {
            **notes,
            "closed": state.closed,
            "reads": state.reads,
            "events": state.events,
            "shared_events": state.shared_events,
            "pickup_lag_max_ns": state.lag_max_ns,
            "loop_gap_max_ns": state.loop_gap_max_ns,
            "cpu_share": cpu_share,
            "cpu_ns": cpu_ns,
            "involuntary_switches": switches,
            "clock_offset_steps_ns": state.clock_step_ns,
            "transcriber_cpu_ns": time.process_time_ns(),
        }

    def live(self) -> dict[str, Any]:
        """Counts so far, and the median TTFT of what ended since the last call."""
        recent, self._ttft_ms = self._ttft_ms, []
        under_way = sum(answer.tokens_seen for answer in self.state.answers.values())
        return {
            "tokens": self.state.tokens + under_way,
            **self.state.outcomes,
            "ttft_ms": statistics.median(recent) if recent else None,
            "behind_ns": self.behind_ns(),
        }

    def behind_ns(self) -> int:
        """How long ago the newest record that was read had been taped."""
        return max(0, time.monotonic_ns() - self.caught_up_ns) if self.caught_up_ns else 0

    def _in_window(self, loop_ns: int) -> bool:
        facts = self.state.facts
        end = facts.get("window_end_ns") or (1 << 62)
        return bool(facts.get("window_ns", 0) <= loop_ns <= end)

    def _read_segment(self, path: Path) -> bool:
        state = self.state
        moved = False
        with path.open("rb") as file:
            while True:
                file.seek(state.offset)
                data = file.read(_READ_SIZE)
                used = self._records(data)
                state.offset += used
                moved = moved or used > 0
                if self._finished_chunks >= _PART_CHUNKS:
                    self._checkpoint()
                if used == 0:
                    return moved

    def _records(self, data: bytes) -> int:
        """Reads whole records; returns how many bytes they took."""
        state = self.state
        answers = state.answers
        unpack, header_size, wire = _HEADER.unpack_from, HEADER_SIZE, int(Kind.WIRE)
        position, end = 0, len(data)
        reads, lag_max = 0, state.lag_max_ns
        loop_ns = 0
        while position + header_size <= end:
            size, kind, detail, key, _, loop_ns, seconds, nanoseconds = unpack(data, position)
            start = position + header_size
            stop = start + size
            if stop > end:
                break
            position = stop
            if kind == wire:
                answer = answers.get(key)
                if answer is None:
                    continue
                reads += 1
                if seconds:
                    stamp = seconds * _NANO + nanoseconds - state.offset_ns
                    lag = loop_ns - stamp
                    if lag < 0:
                        # The wall clock was moved between two looks at it: a receive time cannot be in the future.
                        state.clock_step_ns = max(state.clock_step_ns, -lag)
                        stamp, lag = loop_ns, 0
                    if answer.lag_max_ns is None or lag > answer.lag_max_ns:
                        answer.lag_max_ns = lag
                        if lag > lag_max and self._in_window(loop_ns):
                            lag_max = lag
                    answer.wire(data[start:stop], stamp - state.start_ns, loop_ns - state.start_ns)
                else:
                    moment = loop_ns - state.start_ns
                    answer.wire(data[start:stop], moment, moment)
            else:
                self._other(kind, detail, key, loop_ns, data[start:stop])
        state.reads += reads
        state.lag_max_ns = lag_max
        if loop_ns:
            self.caught_up_ns = loop_ns
        return position

    def _other(self, kind: int, detail: int, key: int, loop_ns: int, data: bytes) -> None:
        state = self.state
        moment = loop_ns - state.start_ns
        if kind == Kind.TICK:
            self._tick(loop_ns, *TICK_DATA.unpack(data))
        elif kind == Kind.START:
            answer = Answer(json.loads(data), moment)
            state.answers[key] = answer
        elif kind == Kind.NOTE:
            facts = json.loads(data)
            state.facts |= facts
            state.start_ns = self._spec.origin_ns or state.facts["start_ns"]
            state.offset_ns = state.facts["offset_ns"] if not state.offset_ns else state.offset_ns
        elif kind == Kind.CLOSE:
            state.closed = True
        elif key in state.answers:
            self._life(kind, detail, key, state.answers[key], moment, data)

    def _life(self, kind: int, detail: int, key: int, answer: Answer, moment: int, data: bytes) -> None:
        if kind == Kind.SENT:
            answer.connection, answer.waited_ns = SENT_DATA.unpack(data)
            answer.attempt = detail
            if answer.sent_ns is None:
                answer.sent_ns = moment
        elif kind == Kind.CONNECT:
            if answer.sent_ns is not None:
                answer.begin_attempt()
            elif answer.connect_start_ns is None:
                answer.connect_start_ns = moment
        elif kind == Kind.CONNECTED:
            if answer.sent_ns is None:
                answer.connected_ns = moment
        elif kind == Kind.HEAD:
            answer.decoder = None
            answer.head(detail, json.loads(data).get("content-type", ""), moment)
            answer.last_ns = answer.last_loop_ns = moment
        elif kind == Kind.BODY:
            self.state.reads += 1
            answer.bytes_received += len(data)
            answer.last_ns = answer.last_loop_ns = moment
            answer.read_body(data, moment, moment)
        elif kind == Kind.END:
            decoded = answer.decoder
            framed = decoded is not None and (decoded.chunked or "content-length" in decoded.headers)
            answer.ended(whole=None if framed else True)
            answer.count_tokens()
            del self.state.answers[key]
            self._book(answer, answer.judge(exact_length=self._spec.exact_length))
        elif kind == Kind.FAIL:
            facts = json.loads(data)
            del self.state.answers[key]
            if facts["kind"]:
                answer.error_kind = answer.error_kind or ErrorKind(facts["kind"])
            answer.end_ns = moment
            self._cut_short(answer, Outcome(facts["outcome"]), facts["error"])
        elif kind == Kind.PROMPT:
            answer.meta["request"] = (answer.meta.get("request") or "") + data.decode("utf-8", "replace")
            answer.text = answer.text or []

    def _cut_short(self, answer: Answer, outcome: Outcome, text: str) -> None:
        answer.error = answer.error or text
        answer.count_tokens()
        self._book(answer, outcome)

    def _book(self, answer: Answer, outcome: Outcome) -> None:
        state = self.state
        self._finished.append(Finished(answer, outcome))
        chunks = len(answer.chunk_ns)
        self._finished_chunks += chunks
        state.events += chunks
        state.shared_events += sum(answer.chunk_shared)
        state.tokens += answer.tokens_seen
        state.outcomes[outcome] = state.outcomes.get(outcome, 0) + 1
        if outcome is Outcome.OK and answer.first_token_ns is not None and answer.sent_ns is not None:
            self._ttft_ms.append((answer.first_token_ns - answer.sent_ns) / 1e6)

    def _tick(self, loop_ns: int, offset_ns: int, cpu_ns: int, switches: int, late_ns: int) -> None:
        state = self.state
        if state.offset_ns and abs(offset_ns - state.offset_ns) > _STEP_NS:
            state.clock_step_ns = max(state.clock_step_ns, abs(offset_ns - state.offset_ns))
        state.offset_ns = offset_ns
        # Only the window's first and last tick matter, but its end is known late: ten a second are enough.
        if not state.ticks or loop_ns - state.ticks[-1][0] >= _TICKS_KEPT_NS:
            state.ticks.append((loop_ns, cpu_ns, switches))
        if self._in_window(loop_ns):
            state.loop_gap_max_ns = max(state.loop_gap_max_ns, late_ns)

    def _checkpoint(self) -> None:
        state = self.state
        if self._finished:
            write_part(
                self._parts,
                self._worker,
                state.part,
                self._finished,
                repeat=self._spec.repeat,
                target=self._spec.target,
                model=self._spec.model,
            )
            state.part += 1
            self._finished = []
            self._finished_chunks = 0
        partial = self._state_file.with_suffix(".tmp")
        partial.write_bytes(pickle.dumps(state, pickle.HIGHEST_PROTOCOL))
        os.replace(partial, self._state_file)


def transcribe(folder: Path, worker: int, *, repeat: int) -> dict[str, Any]:
    """Transcribes what is left of a dead worker's tape, in this process.

    Returns:
        ``facts`` as ``Transcriber.facts``, and CLOCK_MONOTONIC ``start_ns``, ``window_ns``, ``window_end_ns`` (0 where
        the worker did not live to tell) and ``last_ns``, the newest record's time.
    """
    transcriber = Transcriber(folder, worker, repeat=repeat)
    transcriber.advance()
    noted = transcriber.state.facts
    last_ns = transcriber.caught_up_ns or noted.get("start_ns", 0)
    facts = transcriber.finish()
    return {
        "facts": facts,
        "start_ns": transcriber.state.start_ns,
        "window_ns": noted.get("window_ns", 0),
        "window_end_ns": noted.get("window_end_ns", 0),
        "last_ns": last_ns,
    }


def _be_humble() -> None:
    """Takes only the processor time that nobody else wants, where the platform can say so."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        return
    with contextlib.suppress(OSError):
        os.nice(19)


def main(arguments: list[str]) -> int:
    """Follows one worker until its tape is closed or the worker is gone."""
    _be_humble()
    transcriber = Transcriber(Path(arguments[0]), int(arguments[1]))
    try:
        behind_max_ns = _follow(transcriber)
        facts = transcriber.finish()
    except OSError as error:
        _say("failed", disk_full=is_disk_full(error), text=str(error))
        return 1
    _say("facts", **facts, transcriber_behind_max_ns=behind_max_ns)
    return 0


def _follow(transcriber: Transcriber) -> int:
    """Reads along until the tape is closed or its worker is gone; returns how far it fell behind, in ns."""
    alive = True
    said = time.monotonic()
    behind_max_ns = 0
    while True:
        before = transcriber.caught_up_ns
        transcriber.advance()
        if before:
            behind_max_ns = max(behind_max_ns, transcriber.behind_ns())
        if transcriber.state.closed:
            return behind_max_ns
        if not alive and not _lives(transcriber.state.facts.get("pid")):
            transcriber.advance()
            return behind_max_ns
        now = time.monotonic()
        if now - said >= _SAY_S:
            said = now
            _say("live", **transcriber.live())
        if not alive:
            time.sleep(_POLL_S)
        elif select.select([0], [], [], _POLL_S)[0] and not os.read(0, 4096):
            alive = False


def _lives(pid: int | None) -> bool:
    """Whether the worker lives on: it drains when its parent, who held our stdin, has died."""
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _say(event: str, **facts: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps({"event": event, **facts}), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
