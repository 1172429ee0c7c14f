"""Findings about what the server said of itself: its queue, its seats, its cache."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from benchkit.analysis.finding import Cause, Finding
from benchkit.analysis.finding_readings import ServerState
from benchkit.analysis.finding_run import SeenRun
from benchkit.analysis.finding_words import many, milliseconds, share

_QUEUED_SHARE: Final = 0.3
"""Of the time to first token: a queue that takes less is not what a reader waits for."""
_A_QUEUE: Final = 3
"""Where the server does not say how long they waited: one or two may have waited for the end of a step."""
_ROOM: Final = 0.9
"""Share of the KV cache that more seats may fill."""
_MOST_SEATS: Final = 2.0


def of_server(run: SeenRun) -> Iterator[Finding]:
    """What the server's own metrics show; nothing where they are missing, or all was calm."""
    state = run.server
    if state is None:
        return
    if state.out_of_memory:
        yield _memory(state)
    elif waits_in(run, state):
        cause = why_queued(state)
        yield Finding(
            name="server_queue",
            what=f"Requests waited in the server's own queue: {_queue(run, state)}.",
            meaning="That wait is part of every time to first token, and grows with the load, not with the prompt.",
            why=cause.why,
            next_step=cause.next_step,
            flags=cause.flags,
        )


def waits_in(run: SeenRun, state: ServerState) -> bool:
    """Whether requests waited in the server for more than the end of the step that it was at."""
    if not state.queued and not _queue_weighs(run, state):
        return False
    step_ms = run.metric("max_gap_ms").get("p50") or 0.0
    if state.queue_ms is not None:
        return state.queue_ms > step_ms
    return (state.waiting_most or 0.0) >= _A_QUEUE


def calm(run: SeenRun) -> str:
    """That next to nothing waited in the server, in a sentence; empty where something did, or it did not say."""
    state = run.server
    if state is None or state.waiting_most is None or state.running_most is None or state.queued:
        return ""
    if state.waiting_most == 0:
        return (
            f"The server itself says that none waited in any of {many(state.readings, 'reading')} of its metrics, with "
            f"at most {many(state.running_most, 'request')} in its batch."
        )
    return (
        f"By the server's own metrics its queue was empty in {share(1 - (state.waiting_share or 0.0))} of "
        f"{many(state.readings, 'reading')}, with at most {many(state.running_most, 'request')} in its batch."
    )


def why_queued(state: ServerState) -> Cause:
    """What requests in the queue waited for, as far as the server says it."""
    if state.out_of_memory:
        return Cause(f"The server ran out of KV cache: {_cache_words(state)}.", *_for_memory(state))
    if state.seats is None:
        return Cause()
    room = _ROOM / state.cache_peak if state.cache_peak else _MOST_SEATS
    seats = math.floor(state.seats * min(room, _MOST_SEATS))
    known = f"; its KV cache was at most {share(state.cache_peak)} full" if state.cache_peak else ""
    why = f"While requests waited, the batch held {state.seats} and never more: all of its seats were taken{known}."
    if seats <= state.seats:
        return Cause(why, "There is no memory for more seats: lower the load, or add a server.")
    step = "Give it more seats: answers then wait less to begin, and go on somewhat slower."
    return Cause(why, step, (f"--max-num-seqs {seats}",))


def _memory(state: ServerState) -> Finding:
    step, flags = _for_memory(state)
    return Finding(
        name="server_cache",
        what=f"The server ran out of KV cache: {_cache_words(state)}.",
        meaning="Its memory is the limit, not its speed: requests wait for room, or lose it and are computed again.",
        next_step=step,
        flags=flags,
    )


def _cache_words(state: ServerState) -> str:
    told = []
    if state.cache_peak is not None:
        told.append(f"up to {share(state.cache_peak)} of it was in use")
    if state.preemptions:
        told.append(f"{many(state.preemptions, 'request')} lost their place in it")
    if state.waiting_share:
        told.append(f"requests waited in {share(state.waiting_share)} of the readings")
    return ", ".join(told)


def _for_memory(state: ServerState) -> tuple[str, tuple[str, ...]]:
    flags: tuple[str, ...] = ("--gpu-memory-utilization 0.95",)
    if state.preemptions and state.running_most and state.running_most >= 2:
        flags += (f"--max-num-seqs {max(1, round(0.8 * state.running_most))}",)
    step = "Give it more of the GPU's memory, or fewer seats so that none loses its place; shorter contexts help too."
    return step, flags


def _queue_weighs(run: SeenRun, state: ServerState) -> bool:
    ttft = run.metric("ttft_ms").get("mean")
    return bool(state.queue_ms and ttft and state.queue_ms >= _QUEUED_SHARE * ttft)


def _queue(run: SeenRun, state: ServerState) -> str:
    told = []
    if state.waiting_most:
        told.append(f"up to {many(state.waiting_most, 'request')} at once")
        if state.waiting_share is not None:
            told.append(f"some in {share(state.waiting_share)} of {many(state.readings, 'reading')}")
    if state.queue_ms:
        of = run.metric("ttft_ms").get("mean")
        part = f" of a mean time to first token of {milliseconds(float(of))}" if of else ""
        told.append(f"{milliseconds(state.queue_ms)} on average{part}")
    return ", ".join(told)
