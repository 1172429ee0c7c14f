"""Reads one worker's tape: records become answers, ended answers become parts of the request table.

Each time it has read a segment to its end it writes what has ended as a part, then its own state (requests
under way included), then drops the segment: whatever dies, nothing is lost and nothing counts twice.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchkit.load.answer import Answer
from benchkit.load.live_numbers import Recent
from benchkit.load.parts import Finished, write_part
from benchkit.load.spec import LoadSpec
from benchkit.load.tape import HEADER_SIZE, SENT_DATA, Kind, segments
from benchkit.load.transcript import Transcript
from benchkit.load.verdict import judge_cut_short, judge_ended
from benchkit.records.atomic import atomic_write
from benchkit.records.kinds import ErrorKind, Outcome
from benchkit.redaction import redact_text

_HEADER = struct.Struct("<IHHIIqqq")
_NANO = 1_000_000_000
_READ_SIZE = 4 * 1024 * 1024
_PART_CHUNKS = 400_000
_ERROR_LENGTH = 300


class Transcriber:
    """Reads one worker's tape, from where an earlier one stopped.

    Args:
        folder: the run's folder.
        worker: number of the worker.
        repeat: which repeat's tape; the spec's own when ``None``.
    """

    def __init__(self, folder: Path, worker: int, *, repeat: int | None = None) -> None:
        self._folder, self._worker = folder, worker
        spec = LoadSpec.read(folder)
        self._spec = spec if repeat is None else replace(spec, repeat=repeat)
        self._tape = self._spec.tape_folder(folder)
        self._secrets = tuple(filter(None, (os.environ.get(spec.api_key_env),))) if spec.api_key_env else ()
        self._state_file = self._tape / f"w{worker}.state"
        self.state: Transcript = (
            pickle.loads(self._state_file.read_bytes())  # noqa: S301 - we wrote it, in our own folder
            if self._state_file.exists()
            else Transcript()
        )
        self._finished: list[Finished] = []
        self._finished_chunks = 0
        self._recent = Recent()

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
            for read_before in paths[:place]:
                read_before.unlink()
            moved = self._read_segment(paths[place]) or moved
            if place + 1 == len(names):
                return moved
            # The next segment was there before this one was read: it had grown to its end.
            state.segment, state.offset = names[place + 1], 0
            self._checkpoint()
            paths[place].unlink()

    def finish(self) -> dict[str, Any]:
        """Writes the last part; requests that have no end were interrupted. Returns the worker's facts."""
        state = self.state
        why = "its end could not be taped" if state.closed else "the load process died"
        for answer in list(state.answers.values()):
            self._book(answer, judge_cut_short(answer, Outcome.INTERRUPTED, None, why))
        state.answers.clear()
        self._checkpoint()
        return self.facts()

    def facts(self) -> dict[str, Any]:
        """What is known of the worker's own behaviour, times in ns."""
        state = self.state
        conduct = state.conduct
        usage = conduct.usage()
        private = {"start_ns", "offset_ns", "pid"}
        return {
            **{name: value for name, value in state.facts.items() if name not in private},
            "closed": state.closed,
            "reads": state.reads,
            "events": state.events,
            "shared_events": state.shared_events,
            "pickup_lag_p50_ns": conduct.lag_quantile_ns(0.5),
            "pickup_lag_p99_ns": conduct.lag_quantile_ns(0.99),
            "pickup_lag_max_ns": conduct.lag_quantile_ns(1.0),
            "loop_gap_max_ns": conduct.loop_gap_max_ns,
            "cpu_share": usage and usage.cpu_ns / usage.wall_ns,
            "cpu_ns": usage and usage.cpu_ns,
            "involuntary_switches": usage and usage.involuntary_switches,
            "run_queue_ns": usage and usage.run_queue_ns,
            "watched_ns": usage and usage.wall_ns,
            "clock_offset_steps_ns": conduct.clock_step_ns,
            "transcriber_cpu_ns": time.process_time_ns(),
        }

    def live(self) -> dict[str, Any]:
        """Counts so far, how the client behaved so far, and the waits that were seen since the last call."""
        state, conduct = self.state, self.state.conduct
        usage = conduct.usage()
        under_way = sum(answer.tokens_seen for answer in state.answers.values())
        return {
            "tokens": state.tokens + under_way,
            **state.outcomes,
            "recent": self._recent.told(state.answers.values()),
            "pickup_lag_p99_ns": conduct.lag_quantile_ns(0.99),
            "pickup_lag_max_ns": conduct.lag_quantile_ns(1.0),
            "loop_gap_max_ns": conduct.loop_gap_max_ns,
            "cpu_share": usage and usage.cpu_ns / usage.wall_ns,
            "events": state.events,
            "shared_events": state.shared_events,
            "behind_ns": self.behind_ns(),
        }

    def behind_ns(self) -> int:
        """How long ago the newest record that was read had been taped."""
        caught_up_ns = self.state.caught_up_ns
        return max(0, time.monotonic_ns() - caught_up_ns) if caught_up_ns else 0

    def _read_segment(self, path: Path) -> bool:
        state = self.state
        moved = False
        with path.open("rb") as file:
            while True:
                file.seek(state.offset)
                used = self._records(file.read(_READ_SIZE))
                state.offset += used
                moved = moved or used > 0
                if self._finished_chunks >= _PART_CHUNKS:
                    self._checkpoint()
                if used == 0:
                    return moved

    def _records(self, data: bytes) -> int:
        """Reads whole records; returns how many bytes they took."""
        state = self.state
        answers, conduct = state.answers, state.conduct
        unpack, header_size, wire = _HEADER.unpack_from, HEADER_SIZE, int(Kind.WIRE)
        start_ns = state.start_ns
        kernel_start_ns = start_ns + conduct.offset_ns
        window_ns, window_end_ns = conduct.window_ns, conduct.window_end_ns
        lags_ns: list[int] = []
        position, end, reads, newest_ns = 0, len(data), 0, 0
        while position + header_size <= end:
            size, kind, detail, key, _, loop_ns, seconds, nanoseconds = unpack(data, position)
            start = position + header_size
            stop = start + size
            if stop > end:
                break
            position = stop
            newest_ns = loop_ns or newest_ns
            if kind != wire:
                self._other(kind, detail, key, loop_ns, data[start:stop])
                start_ns = state.start_ns
                kernel_start_ns = start_ns + conduct.offset_ns
                window_ns, window_end_ns = conduct.window_ns, conduct.window_end_ns
            elif (answer := answers.get(key)) is not None:
                reads += 1
                moment = stamp = loop_ns - start_ns
                if seconds:
                    stamp = seconds * _NANO + nanoseconds - kernel_start_ns
                    lag_ns = moment - stamp
                    if lag_ns < 0 or stamp < answer.last_ns:
                        # A receive time after the reading, or before that of an earlier read: the wall clock
                        # was moved between two looks at it. What holds then is the loop's time.
                        conduct.note_step(max(-lag_ns, answer.last_ns - stamp))
                        stamp, lag_ns = moment, 0
                    if answer.lag_max_ns is None or lag_ns > answer.lag_max_ns:
                        answer.lag_max_ns = lag_ns
                    if window_ns <= loop_ns <= window_end_ns:
                        lags_ns.append(lag_ns)
                answer.wire(data[start:stop], stamp, moment)
        conduct.note_lags(lags_ns)
        state.reads += reads
        state.caught_up_ns = newest_ns or state.caught_up_ns
        return position

    def _other(self, kind: int, detail: int, key: int, loop_ns: int, data: bytes) -> None:
        state = self.state
        if kind == Kind.TICK:
            state.conduct.tick(loop_ns, data)
        elif kind == Kind.START:
            state.answers[key] = Answer(json.loads(data), loop_ns - state.start_ns)
        elif kind == Kind.NOTE:
            self._note(json.loads(data))
        elif kind == Kind.CLOSE:
            state.closed = True
        elif key in state.answers:
            self._life(kind, detail, key, state.answers[key], loop_ns - state.start_ns, data)

    def _note(self, facts: dict[str, Any]) -> None:
        state, conduct, spec = self.state, self.state.conduct, self._spec
        state.facts |= facts
        state.start_ns = spec.origin_ns or state.facts["start_ns"]
        conduct.offset_ns = conduct.offset_ns or state.facts["offset_ns"]
        conduct.window_ns = state.facts.get("window_ns", 0)
        if "window_end_ns" in state.facts:
            conduct.window_end_ns = state.facts["window_end_ns"]
        elif spec.duration_ns:
            conduct.window_end_ns = conduct.window_ns + spec.duration_ns

    def _life(self, kind: int, detail: int, key: int, answer: Answer, moment: int, data: bytes) -> None:
        if kind == Kind.SENT:
            answer.connection, answer.waited_ns = SENT_DATA.unpack(data)
            answer.attempt = detail
            if answer.sent_ns is None:
                answer.sent_ns = moment
                self._recent.sent(answer)
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
            answer.ended()
            del self.state.answers[key]
            self._book(answer, judge_ended(answer, exact_length=self._spec.exact_length))
        elif kind == Kind.FAIL:
            facts = json.loads(data)
            del self.state.answers[key]
            answer.end_ns = moment
            error_kind = ErrorKind(facts["kind"]) if facts["kind"] else None
            self._book(answer, judge_cut_short(answer, Outcome(facts["outcome"]), error_kind, facts["error"]))
        elif kind == Kind.PROMPT:
            answer.request = (answer.request or b"") + data

    def _book(self, answer: Answer, outcome: Outcome) -> None:
        state = self.state
        if answer.error is not None:
            answer.error = redact_text(answer.error, self._secrets)[:_ERROR_LENGTH]
        self._recent.ended(answer)
        self._finished.append(Finished(answer, outcome))
        chunks = len(answer.chunk_ns)
        self._finished_chunks += chunks
        state.events += chunks
        state.shared_events += int(answer.chunk_shared.sum())
        state.tokens += answer.tokens_seen
        state.outcomes[outcome] = state.outcomes.get(outcome, 0) + 1

    def _checkpoint(self) -> None:
        """Part, then state: a crash in between writes the same part again, of the same number."""
        state = self.state
        if self._finished:
            spec = self._spec
            write_part(
                self._folder,
                self._worker,
                state.part,
                self._finished,
                repeat=spec.repeat,
                target=spec.target,
                model=spec.model,
            )
            state.part += 1
            self._finished = []
            self._finished_chunks = 0
        atomic_write(self._state_file, pickle.dumps(state, pickle.HIGHEST_PROTOCOL))
