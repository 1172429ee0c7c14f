"""What the token-bearing events of a run say: gaps, paces and tokens, by their stamps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.quantiles import Sample
from benchkit.records.chunks import Chunks

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.integer[Any]]

_NS_PER_MS = 1e6
_BLOCK = 1 << 19
"""Events that are worked on at once: their times stay in the processor's cache."""
_FEW_KINDS = 16


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
    """The time since the event before of the same request, one an event; 0 for a first event.

    In 32 bits where all gaps fit (2.1 s), since half the memory is half the time to walk through it.
    """
    try:
        return _gaps(chunks, np.dtype(np.int32))
    except OverflowError:
        return _gaps(chunks, np.dtype(np.int64))


def _gaps(chunks: Chunks, kind: np.dtype[Any]) -> Integers:
    """The gaps in one integer type; OverflowError when one does not fit."""
    gaps: Integers = np.zeros(chunks.ns.size, dtype=kind)
    starts = _starts(chunks)
    largest, smallest = np.iinfo(kind).max, np.iinfo(kind).min
    for at in range(1, gaps.size, _BLOCK):
        block = chunks.ns[at : at + _BLOCK] - chunks.ns[at - 1 : min(at + _BLOCK, gaps.size) - 1]
        first, last = np.searchsorted(starts, (at, at + _BLOCK))
        block[starts[first:last] - at] = 0
        if block.max() > largest or block.min() < smallest:
            raise OverflowError
        gaps[at : at + _BLOCK] = block
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
    values = np.full(chunks.known.size, np.nan)
    usable = (np.diff(chunks.offsets) > 0) & chunks.known
    values[usable] = chunks.tokens[chunks.offsets[:-1][usable]]
    return values


def event_samples(chunks: Chunks, gaps: Integers, counted: Flags, inside: Flags) -> EventSamples:
    """The distributions over events stamped in the window.

    Args:
        chunks: all events.
        gaps: of ``gaps_ns``.
        counted: which requests' events count, one flag a request.
        inside: which events are stamped in the window.
    """
    counts = np.diff(chunks.offsets)
    if not counted.all():
        inside = inside & np.repeat(counted, counts)
    known = inside if chunks.known.all() else inside & np.repeat(chunks.known, counts)
    tokens = _picked(chunks.tokens, known)
    later = inside.copy()
    later[_starts(chunks)] = False
    chunk_gap = Sample(_picked(gaps, later), divisor=_NS_PER_MS)
    if known is inside and tokens.size and tokens.min() == tokens.max() == 1:
        # One token an event: both are the same sample, and half of the work is saved.
        return EventSamples(chunk_gap, chunk_gap, _token_sample(tokens))
    later &= known
    weights = _picked(chunks.tokens, later)
    itl = Sample(_picked(gaps, later), weights, divisor=_NS_PER_MS, shared=True)
    return EventSamples(itl, chunk_gap, _token_sample(tokens))


def _picked(values: Integers, flags: Flags) -> Integers:
    """The flagged values; the array itself, uncopied, when all are."""
    picked: Integers = values if flags.all() else values[flags]
    return picked


def _token_sample(tokens: Integers) -> Sample:
    """Small whole numbers are counted, not sorted."""
    if not tokens.size:
        return Sample(tokens)
    most = int(tokens.max())
    if most < _FEW_KINDS:
        counts = np.array([np.count_nonzero(tokens == kind) for kind in range(most + 1)])
    else:
        counts = np.bincount(tokens)
    return Sample(np.arange(counts.size), counts)


def tokens_in(chunks: Chunks, output_tokens: Floats, inside: Flags) -> float:
    """Output tokens of the events that are inside, whoever sent their requests.

    A request whose tokens per event are unknown has its total shared out evenly among its events; without a
    total, an event counts one token.
    """
    # Tokens of requests with unknown counts are 0, so that one sum serves.
    total = float(_picked(chunks.tokens, inside).sum(dtype=np.int64))
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
