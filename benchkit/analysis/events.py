"""What the token-bearing events of a run say: gaps, paces and tokens, by their stamps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.quantiles import Sample
from benchkit.analysis.window import Window
from benchkit.records.chunks import Chunks

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.integer[Any]]

_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class EventSamples:
    """Distributions over events that were stamped in a window."""

    itl: Sample
    """ms a token, each gap's pace with the weight of its tokens."""
    chunk_gap: Sample
    """ms between neighbouring events of a request."""
    tokens_per_chunk: Sample
    """tokens in an event, first events included."""


def gaps_ns(chunks: Chunks) -> Integers:
    """The time since the event before of the same request, one an event; 0 for a first event."""
    gaps: Integers = np.zeros(chunks.ns.size, dtype=np.int64)
    np.subtract(chunks.ns[1:], chunks.ns[:-1], out=gaps[1:])
    gaps[_starts(chunks)] = 0
    return gaps


def longest_gaps_ns(chunks: Chunks, gaps: Integers) -> Floats:
    """Each request's longest gap; NaN for a request of fewer than two events."""
    counts = np.diff(chunks.offsets)
    longest = np.full(counts.size, np.nan)
    some = counts > 0
    if some.any():
        longest[some] = np.maximum.reduceat(gaps, chunks.offsets[:-1][some])
    longest[counts < 2] = np.nan
    return longest


def first_tokens(chunks: Chunks) -> Floats:
    """Tokens in each request's first event; NaN where they are unknown."""
    return _edge(chunks, np.where(np.diff(chunks.offsets) > 0, chunks.offsets[:-1], -1))


def _edge(chunks: Chunks, positions: Integers) -> Floats:
    values = np.full(positions.size, np.nan)
    usable = (positions >= 0) & chunks.known
    values[usable] = chunks.tokens[positions[usable]]
    return values


def event_samples(chunks: Chunks, gaps: Integers, counted: Flags, window: Window) -> EventSamples:
    """The distributions over events stamped in the window.

    Args:
        chunks: all events.
        gaps: of ``gaps_ns``.
        counted: which requests' events count, one flag a request.
        window: the window; an event's own stamp decides, not its request's.
    """
    counts = np.diff(chunks.offsets)
    inside = window.holds(chunks.ns)
    if not counted.all():
        inside &= np.repeat(counted, counts)
    later = inside.copy()
    later[_starts(chunks)] = False
    own_gaps = gaps if later.all() else gaps[later]
    chunk_gap = Sample(own_gaps, divisor=_NS_PER_MS)
    if chunks.known.all():
        known = inside
        known_later, known_gaps = later, own_gaps
    else:
        known = inside & np.repeat(chunks.known, counts)
        known_later = later & known
        known_gaps = gaps[known_later]
    weights = chunks.tokens[known_later]
    every_one = bool(weights.size) and int(weights.min()) == int(weights.max()) == 1
    if every_one and known_gaps.size == own_gaps.size:
        itl = chunk_gap
    else:
        itl = Sample(known_gaps, weights, divisor=_NS_PER_MS, shared=True)
    return EventSamples(itl, chunk_gap, _token_sample(chunks.tokens[known]))


def _token_sample(tokens: Integers) -> Sample:
    """Small whole numbers are counted, not sorted."""
    if not tokens.size:
        return Sample(tokens)
    counts = np.bincount(tokens)
    return Sample(np.arange(counts.size), counts)


def tokens_in(chunks: Chunks, output_tokens: Floats, window: Window) -> float:
    """Output tokens stamped in the window, whoever sent their requests.

    A request whose tokens per event are unknown has its total shared out evenly among its events; without a
    total, an event counts one token.
    """
    inside = window.holds(chunks.ns)
    # Tokens of requests with unknown counts are 0, so that one sum serves.
    total = float(np.sum(chunks.tokens, where=inside, dtype=np.int64))
    unknown = np.flatnonzero(~chunks.known)
    if unknown.size:
        before = np.concatenate(([0], np.cumsum(inside)))
        events = np.diff(chunks.offsets)[unknown]
        here = before[chunks.offsets[unknown + 1]] - before[chunks.offsets[unknown]]
        tokens = np.where(np.isnan(output_tokens[unknown]), events, output_tokens[unknown])
        total += float(np.sum(tokens * here / np.maximum(events, 1)))
    return total


def _starts(chunks: Chunks) -> Integers:
    starts = chunks.offsets[:-1]
    return starts[np.diff(chunks.offsets) > 0]
