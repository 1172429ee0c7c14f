"""What is usual among the requests of a run: the medians that a slow one is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.measured import Measured
from benchkit.analysis.slowest_neighbours import Neighbours

Floats = NDArray[np.float64]

_MS: Final = 1e6


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual in the run: medians over its ok requests."""

    ttft_ms: float
    pace_ms: float
    """Of the time of a token after the first."""
    pause_ms: float
    """Of the longest pauses of answers."""
    prompt_tokens: float
    under_way: float
    """Of the others under way when a request was sent."""
    ahead_tokens: float
    """Of the prompt tokens that were sent before and had no token yet."""
    wait_tokens: float
    """Of the prompt tokens of others computed in a request's wait."""
    answer_tokens: float
    """Of the prompt tokens of others computed during an answer, for each of its tokens after the first."""
    cached_tokens: float


def usual_of(
    measured: Measured, neighbours: Neighbours, rows: NDArray[np.bool_], cached_tokens: Floats
) -> Usual:
    """The medians of these requests, all of which have a first token.

    Args:
        measured: the run.
        neighbours: the same run's requests.
        rows: which count.
        cached_tokens: prompt tokens from the prefix cache, one a request; NaN where unknown.
    """
    columns = measured.columns
    sent, first = columns.sent[rows], columns.first_token[rows]
    own = neighbours.prompt_tokens[rows]
    last, later = columns.last_token[rows], np.maximum(tokens_of(measured)[rows] - 1, 1)
    pauses = measured.values["max_gap_ms"]
    return Usual(
        ttft_ms=float(np.median(first - sent)) / _MS,
        pace_ms=_median(np.where(last > first, (last - first) / later / _MS, np.nan)),
        pause_ms=_median(pauses[rows]),
        prompt_tokens=_median(columns.prompt_tokens[rows]),
        under_way=_median(neighbours.under_way(sent) - 1),
        ahead_tokens=_median(np.clip(neighbours.waiting(sent).tokens - own, 0, None)),
        wait_tokens=_median(np.clip(neighbours.first_tokens_between(sent, first).tokens - own, 0, None)),
        answer_tokens=_median(neighbours.first_tokens_between(first, last).tokens / later),
        cached_tokens=_median(cached_tokens[rows]),
    )


def tokens_of(measured: Measured) -> Floats:
    """Tokens of each answer: as counted, or as many as it had events, whichever is more."""
    return np.fmax(np.nan_to_num(measured.columns.output_tokens), measured.chunks.counts)


def _median(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else 0.0
