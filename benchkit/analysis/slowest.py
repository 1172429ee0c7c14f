"""The slowest requests of a run: how much time each lost against the run's usual, where, and what else went on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.analysis.finding_causes import same_step_ns
from benchkit.analysis.measured import Measured, measure
from benchkit.analysis.points import Records
from benchkit.analysis.recorded import window_of
from benchkit.analysis.server_said import WAITING, said_by_server, totals
from benchkit.analysis.slowest_neighbours import Neighbours
from benchkit.analysis.slowest_pauses import Pause, Silence, longest_pause, silence_in
from benchkit.analysis.slowest_usual import Usual, tokens_of, usual_of

Floats = NDArray[np.float64]
Part = Literal["client", "connecting", "held back", "first token", "pauses", "pace"]

COUNT: Final = 20
_MS: Final = 1e6
_LEAST_LOSS: Final = 0.1
"""Of its latency: who lost less was hardly slow."""


@dataclass(frozen=True, slots=True)
class SlowRequest:
    """One of the slowest requests; times that it has not are None."""

    row: int
    """In the request table."""
    index: int
    repeat: int
    scheduled_s: float
    """When it was due, in s since its window began."""
    lost_ms: float
    """By how much later it ended than a usual request of as many tokens."""
    part: Part
    """Where most of that was lost."""
    part_ms: float
    """How much was lost there."""
    is_over: bool
    """Whether it was seen to end; else all its times are at least so long."""
    late_ms: float
    """The client's own delay."""
    connecting_ms: float
    waited_ms: float
    """Under ``max_in_flight``."""
    ttft_ms: float | None
    generation_ms: float | None
    """From the first token to the last."""
    latency_ms: float
    """From when it was sent to its end."""
    pause: Pause | None
    """Its longest pause, and who shared it."""
    prompt_tokens: float
    cached_tokens: float | None
    output_tokens: float
    opened_connection: bool
    attempts: int
    under_way: int
    """Others under way when it was sent."""
    ahead_tokens: float
    """Prompt tokens of others that were sent before it and had no token yet."""
    wait_prompts: int
    """Prompts of others whose first token fell into its wait."""
    wait_tokens: float
    answer_prompts: int
    """Prompts of others whose first token fell into its answer."""
    answer_tokens: float
    queued_most: float | None
    """Most requests in the server's queue during its wait, by its metrics; None where they do not say."""
    silence: Silence
    """The longest stretch of its wait in which no stream had a token."""

    @property
    def stands_out(self) -> bool:
        """Whether it was slow at all, and not only the last of the quick."""
        return self.lost_ms >= _LEAST_LOSS * self.latency_ms


@dataclass(frozen=True, slots=True)
class Slowest:
    """The slowest requests of a run, the slowest first."""

    requests: tuple[SlowRequest, ...]
    usual: Usual | None
    """None where the run has no first tokens to compare with."""
    of: int
    """How many requests were compared."""
    why_none: str = ""
    """Why there are none."""


def slowest(records: Records, count: int = COUNT) -> Slowest:
    """The requests that lost most time, counted from when each was due.

    Time lost is what a request took longer than a usual one with as many tokens: than the median wait for a first
    token, and the median pace for the rest of its answer. Thus long answers are not slow for their length. Requests
    that did not end are compared by what they had taken until then; failed and refused ones are not slow, but failed.

    Args:
        records: a run, or another tool's file with its requests.
        count: how many, at most.
    """
    requests = records.requests
    if not len(requests):
        return Slowest((), None, 0, "there are no records of single requests")
    measured = measure(requests, records.chunks, window_of(records.manifest, requests))
    columns = measured.columns
    compared = (columns.ok | columns.censored) & columns.in_phase & ~np.isnan(columns.sent)
    known = columns.ok & columns.in_phase & ~np.isnan(columns.first_token)
    if not known.any():
        return Slowest((), None, int(compared.sum()), "no first token of a request was recorded")
    neighbours = Neighbours(requests, columns)
    usual = usual_of(measured, neighbours, known, _numbers(requests, "cached_tokens"))
    lost = _lost(measured, usual)
    lost[~compared] = np.nan
    telemetry = getattr(records, "telemetry", None)
    order = np.argsort(-np.nan_to_num(lost, nan=-np.inf), kind="stable")[: max(count, 0)]
    rows = [int(row) for row in order if lost[row] > 0]
    slack = same_step_ns(measured)
    kept = tuple(
        _slow(row, float(lost[row]), measured, neighbours, usual, requests, telemetry, slack) for row in rows
    )
    none = "" if kept else "no request took longer than the run's median"
    return Slowest(kept, usual, int(compared.sum()), none)


def _lost(measured: Measured, usual: Usual) -> Floats:
    """ms by which each request ended later than usual, from when it was due; NaN where that is unknown."""
    columns = measured.columns
    end = _seen_until(measured)
    begin = np.where(np.isnan(columns.scheduled), columns.sent, columns.scheduled)
    tokens = np.clip(tokens_of(measured) - 1, 0, None)
    return np.asarray((end - begin) / _MS - usual.ttft_ms - tokens * usual.pace_ms, dtype=np.float64)


def _seen_until(measured: Measured) -> Floats:
    """When each request ended, or until when it was watched."""
    columns = measured.columns
    last = np.fmax(columns.end, columns.last_token)
    return np.where(np.isnan(last), float(measured.window.end_ns), last)


def _slow(
    row: int,
    lost_ms: float,
    measured: Measured,
    neighbours: Neighbours,
    usual: Usual,
    requests: pd.DataFrame,
    telemetry: pd.DataFrame | None,
    slack_ns: float,
) -> SlowRequest:
    columns = measured.columns
    sent, first, end = columns.sent[row], columns.first_token[row], _seen_until(measured)[row]
    until = end if np.isnan(first) else first
    begin = sent if np.isnan(columns.scheduled[row]) else columns.scheduled[row]
    connecting, waited = np.nan_to_num(columns.connecting[row]) / _MS, columns.waited[row] / _MS
    late = max(0.0, (sent - begin) / _MS - connecting - waited)
    ttft = (until - sent) / _MS
    last = columns.last_token[row] if not np.isnan(columns.last_token[row]) else end
    generation = None if np.isnan(first) else float(last - first) / _MS
    tokens = float(tokens_of(measured)[row])
    pause = longest_pause(measured, neighbours, row, slack_ns)
    slower = max(0.0, (generation or 0.0) - max(tokens - 1, 0.0) * usual.pace_ms)
    stalled = max(0.0, pause.length_ms - usual.pause_ms) if pause is not None else 0.0
    in_pauses = stalled >= slower / 2
    parts: dict[Part, float] = {
        "client": late,
        "connecting": connecting,
        "held back": waited,
        "first token": max(0.0, ttft - usual.ttft_ms),
        "pauses" if in_pauses else "pace": slower,
    }
    part = max(parts, key=lambda name: parts[name])
    own = neighbours.prompt_tokens[row]
    at = np.array([sent, until], dtype=np.float64)
    ahead = neighbours.waiting(at[:1])
    beside = neighbours.first_tokens_between(at[:1], at[1:])
    during = neighbours.first_tokens_between(at[1:], np.array([last], dtype=np.float64))
    is_own = 0 if np.isnan(first) else 1
    windows = measured.window.parts
    start = next((each.start_ns for each in reversed(windows) if each.start_ns <= begin), windows[0].start_ns)
    cached = _numbers(requests, "cached_tokens")[row]
    return SlowRequest(
        row=row,
        index=_whole(requests, "index", row, row),
        repeat=_whole(requests, "repeat", row, 0),
        scheduled_s=float(begin - start) / 1e9,
        lost_ms=lost_ms,
        part=part,
        part_ms=parts[part],
        is_over=bool(columns.ok[row]),
        late_ms=late,
        connecting_ms=float(connecting),
        waited_ms=float(waited),
        ttft_ms=None if np.isnan(first) else float(ttft),
        generation_ms=generation,
        latency_ms=float(end - sent) / _MS,
        pause=pause,
        prompt_tokens=float(np.nan_to_num(columns.prompt_tokens[row])),
        cached_tokens=None if np.isnan(cached) else float(cached),
        output_tokens=tokens,
        opened_connection=bool(columns.connected[row] <= sent),
        attempts=_whole(requests, "attempt", row, 1),
        under_way=int(neighbours.under_way(at[:1])[0]) - 1,
        ahead_tokens=max(0.0, float(ahead.tokens[0]) - own),
        wait_prompts=max(0, int(beside.prompts[0]) - is_own),
        wait_tokens=max(0.0, float(beside.tokens[0]) - is_own * own),
        answer_prompts=max(0, int(during.prompts[0])),
        answer_tokens=max(0.0, float(during.tokens[0])),
        queued_most=_queued(telemetry, float(sent), float(until)),
        silence=silence_in(measured, neighbours, float(sent), float(until), slack_ns),
    )


def _queued(telemetry: pd.DataFrame | None, sent_ns: float, until_ns: float) -> float | None:
    """Most requests that waited in the server between two times; None without a reading in between."""
    said = said_by_server(telemetry)
    if said is None:
        return None
    waiting = totals(said, WAITING)
    inside = waiting[(waiting.index >= sent_ns) & (waiting.index <= until_ns)]
    return float(inside.max()) if len(inside) else None


def _numbers(requests: pd.DataFrame, name: str) -> Floats:
    if name not in requests:
        return np.full(len(requests), np.nan)
    return requests[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _whole(requests: pd.DataFrame, name: str, row: int, default: int) -> int:
    value = _numbers(requests, name)[row]
    return default if np.isnan(value) else int(value)
