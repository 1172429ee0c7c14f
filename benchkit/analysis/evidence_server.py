"""Evidence of the server and of what lies before it: its counts against ours, its cache, how its streams arrive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis import conservation
from benchkit.analysis.evidence import Case, Evidence, Found
from benchkit.analysis.server_readings import prefix_hits
from benchkit.analysis.server_said import said_by_server
from benchkit.records.kinds import TokenSource

_FEWEST_TOKENS = 8
_LINE_PACE_NS = 200_000
"""Tokens that come faster than this were not made one by one: the quickest engines take some 300 us for one."""
_AT_THE_END = 0.05
_A_BURST = 4
_LATE_NS = 1_000_000
"""Events of a read that waited for longer may have come apart."""
_PAUSE_NS = 5_000_000
"""A client that pauses for so long finds four tokens of a quick stream waiting, made one by one."""


def of_server(case: Case) -> Found:
    """What the server said of itself, and what its answers say."""
    yield from _of_counts(case)
    yield from _of_tokens(case)
    yield from _of_streams(case)


def _of_counts(case: Case) -> Found:
    columns, telemetry = case.columns, case.telemetry
    held = conservation.held(columns, case.window, telemetry)
    if held is not None:
        yield Evidence("in_flight_gap", held.gap, held.words)
    passed = conservation.answered(columns, telemetry)
    if passed is not None:
        yield Evidence("requests_gap", passed.gap, passed.words)
    wanted = np.full(len(case.requests), np.nan)
    if "wanted_output_tokens" in case.requests:
        wanted = case.requests["wanted_output_tokens"].to_numpy(dtype=np.float64, na_value=np.nan)
    made = conservation.generated(columns, case.chunks, wanted, telemetry)
    if made is not None:
        yield Evidence("tokens_gap", made.gap, made.words)
    hits = prefix_hits(
        case.requests,
        said_by_server(telemetry),
        {"parameters": case.parameters, "preflight": case.preflight},
    )
    if hits is not None:
        yield Evidence("prefix_hits", hits.surplus)


def _of_tokens(case: Case) -> Found:
    columns, chunks = case.columns, case.chunks
    ok = columns.ok & columns.in_phase
    if not ok.any():
        return
    yield Evidence("tokens_unknown", float((~chunks.known[ok]).mean()))
    if "token_source" in case.requests:
        sources = case.requests["token_source"].to_numpy(dtype=object)
        yield Evidence("tokens_assumed", float((sources[ok] == str(TokenSource.EVENTS)).mean()))
    counted = ok & chunks.known & ~np.isnan(columns.output_tokens)
    if counted.any():
        stamped = conservation.per_request(chunks, chunks.tokens)
        yield Evidence("usage_gap", float((stamped != columns.output_tokens)[counted].mean()))


def _of_streams(case: Case) -> Found:
    """Which answers came faster than tokens are made: at once at their end, or in bursts."""
    columns, chunks = case.columns, case.chunks
    tokens = np.fmax(np.nan_to_num(columns.output_tokens), chunks.counts)
    long = columns.ok & columns.in_phase & (tokens >= _FEWEST_TOKENS) & ~np.isnan(columns.last_token)
    if not long.any() or _reads_late_unseen(case):
        return
    spread = columns.last_token - columns.first_token
    latency = columns.end - columns.sent
    at_once = (spread < _LINE_PACE_NS * (tokens - 1)) & (spread < _AT_THE_END * latency)
    yield Evidence("buffered", float((at_once | _in_bursts(case))[long].mean()))


def _reads_late_unseen(case: Case) -> bool:
    """Whether the client may itself have joined events: it has no receive times, and once stood still."""
    workers = [worker for worker in case.load_facts.get("workers") or () if worker]
    blind = any(worker.get("kernel_times") is False for worker in workers)
    return blind and any((worker.get("loop_gap_max_ns") or 0) > _PAUSE_NS for worker in workers)


def _in_bursts(case: Case) -> NDArray[np.bool_]:
    """Which answers came in bursts of four events or more on average, one a request."""
    chunks = case.chunks
    joined = case.measured.gaps < _LINE_PACE_NS
    joined &= chunks.loop_ns - chunks.ns <= _LATE_NS
    firsts = chunks.offsets[:-1][chunks.counts > 0]
    joined[firsts] = False
    bursts = chunks.counts - conservation.per_request(chunks, joined)
    found: NDArray[np.bool_] = (chunks.counts >= _FEWEST_TOKENS) & (bursts * _A_BURST <= chunks.counts)
    return found
