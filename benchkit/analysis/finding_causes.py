"""Why first tokens waited and answers paused, as far as a run's own records show it."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.measured import Measured
from benchkit.analysis.slowest_neighbours import Neighbours

Floats = NDArray[np.float64]

_FEWEST: Final = 30
_MOST_GAPS: Final = 200_000
"""More gaps than these say nothing more about what is usual."""
_SAME_STEP_NS: Final = 2_000_000.0
"""Tokens of one step of the engine leave within some 2 ms."""
_APART: Final = 0.35
"""But never more than this share of a short gap, which lies between two steps."""
_LONGER: Final = 1.5
_MOSTLY: Final = 0.6
_BEYOND_CHANCE: Final = 0.3
_SLOWER: Final = 1.2
_MORE: Final = 2.0
_EXPLAINED: Final = 0.5
_SCATTER: Final = 0.1


class Pauses(NamedTuple):
    """The longest pauses of answers, and the prompts that were computed in them."""

    share: float
    """Of answers whose longest pause ended with another request's first token."""
    by_chance: float
    """The same of all gaps."""
    tokens: float
    """Median of the prompt tokens computed in such a pause."""


class Batch(NamedTuple):
    """How a token's time grew with the number of requests under way."""

    few: float
    """Requests under way at the quarter of the gaps with the fewest, at most."""
    few_ms: float
    """Median time of a token there."""
    many: float
    many_ms: float


class Explained(NamedTuple):
    """What goes with the differences between times to first token."""

    by: str
    """``own`` prompt, prompts ``ahead``, or requests ``under_way``."""
    share: float
    """Of the variance (r squared)."""
    slope: float
    """ms for each token, or for each request."""


def pauses_with_prompts(measured: Measured, neighbours: Neighbours) -> Pauses | None:
    """Whether answers pause when another's prompt is computed; None where they do not, or nothing tells.

    A pause belongs to a prompt when that prompt's first token left with the token that ended the pause, or before:
    both were made in one step of the engine.
    """
    chunks, gaps = measured.chunks, measured.gaps
    answered = measured.columns.ok & measured.columns.in_phase & (chunks.counts >= 3)
    later = _later(measured)
    usual = np.flatnonzero(later & measured.inside)
    if answered.sum() < _FEWEST or not usual.size:
        return None
    if usual.size > _MOST_GAPS:
        usual = usual[:: -(-usual.size // _MOST_GAPS)]
    longest = np.array(
        [
            chunks.offsets[row] + 1 + int(np.argmax(gaps[chunks.offsets[row] + 1 : chunks.offsets[row + 1]]))
            for row in np.flatnonzero(answered)
        ]
    )
    if np.median(gaps[longest]) < _LONGER * np.median(gaps[usual]):
        return None
    slack = same_step_ns(measured)
    found = _prompts_in(measured, neighbours, longest, slack)
    share, by_chance = float((found > 0).mean()), _share_with(measured, neighbours, usual, slack)
    if share < _MOSTLY or share - by_chance < _BEYOND_CHANCE:
        return None
    return Pauses(share, by_chance, float(np.median(found[found > 0])))


def same_step_ns(measured: Measured) -> float:
    """How far apart two tokens of one step of the engine may be stamped."""
    gaps = measured.gaps[_later(measured)]
    return min(_SAME_STEP_NS, _APART * float(np.percentile(gaps, 10))) if gaps.size else _SAME_STEP_NS


def slower_in_company(measured: Measured, neighbours: Neighbours) -> Batch | None:
    """Whether a token takes longer while more requests are under way, prompts apart; None where it does not."""
    chunks = measured.chunks
    tokens = chunks.tokens.astype(np.float64)
    usable = np.flatnonzero(_later(measured) & measured.inside & (tokens > 0))
    if usable.size > _MOST_GAPS:
        usable = usable[:: -(-usable.size // _MOST_GAPS)]
    if usable.size < 4 * _FEWEST:
        return None
    usable = usable[_prompts_in(measured, neighbours, usable, same_step_ns(measured)) == 0]
    if usable.size < 4 * _FEWEST:
        return None
    beside = neighbours.under_way(chunks.ns[usable - 1].astype(np.float64))
    few, many = (float(value) for value in np.percentile(beside, (25, 75)))
    paces = measured.gaps[usable] / tokens[usable] / 1e6
    low, high = float(np.median(paces[beside <= few])), float(np.median(paces[beside >= many]))
    if many < _MORE * max(few, 1.0) or high < _SLOWER * low:
        return None
    return Batch(few, low, many, high)


def waits_explained(measured: Measured, neighbours: Neighbours) -> Explained | None:
    """What goes with half of the differences between times to first token at least; None where nothing does."""
    columns = measured.columns
    ttft = measured.values["ttft_ms"]
    rows = np.flatnonzero(columns.ok & columns.in_phase & ~np.isnan(ttft) & ~np.isnan(columns.sent))
    if rows.size < _FEWEST or ttft[rows].std() < _SCATTER * ttft[rows].mean():
        return None
    own = neighbours.prompt_tokens[rows]
    waiting = neighbours.waiting(columns.sent[rows])
    told = {
        "own": own,
        "ahead": np.clip(waiting.tokens - own, 0.0, None),
        "under_way": neighbours.under_way(columns.sent[rows]) - 1,
    }
    fits = [_fit(name, values, ttft[rows]) for name, values in told.items() if np.ptp(values) > 0]
    best = max(fits, key=lambda each: each.share, default=None)
    return best if best is not None and best.share >= _EXPLAINED and best.slope > 0 else None


def _fit(name: str, values: Floats, ttft: Floats) -> Explained:
    covariance = np.cov(values, ttft)
    slope = float(covariance[0, 1] / covariance[0, 0])
    return Explained(name, float(covariance[0, 1] ** 2 / (covariance[0, 0] * covariance[1, 1])), slope)


def _later(measured: Measured) -> NDArray[np.bool_]:
    """Which events have one of the same request before them, of requests that did not fail."""
    chunks, columns = measured.chunks, measured.columns
    later = np.repeat(columns.ok | columns.censored, chunks.counts)
    later[chunks.offsets[:-1][chunks.counts > 0]] = False
    return later


def _prompts_in(
    measured: Measured, neighbours: Neighbours, events: NDArray[np.int64], slack: float
) -> Floats:
    """Prompt tokens of others that were computed in the gaps before these events; 0 where none was."""
    ns = measured.chunks.ns
    after, until = ns[events - 1] + slack, ns[events] + slack
    found = neighbours.first_tokens_between(after.astype(np.float64), until.astype(np.float64))
    # A prompt of unknown length was computed nevertheless.
    return np.where(found.prompts > 0, np.maximum(found.tokens, 1.0), 0.0)


def _share_with(measured: Measured, neighbours: Neighbours, events: NDArray[np.int64], slack: float) -> float:
    return float((_prompts_in(measured, neighbours, events, slack) > 0).mean())
