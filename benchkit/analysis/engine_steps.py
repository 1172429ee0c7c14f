"""The steps of a server's engine, seen from outside: tokens that leave together were made in one step."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchkit.errors import CalibrationError
from benchkit.records.chunks import Chunks

_Floats = npt.NDArray[np.float64]
_APART = 0.35
"""Stamps further apart than this share of a short gap belong to different steps."""
_BUSY = 0.6
"""Share of a step that sending the tokens of the one before may take, so that its end can be seen."""
_MERGED = 0.1
"""Events with several tokens that are put up with: a front end that falls behind merges some."""


def steps_of(requests: pd.DataFrame, chunks: Chunks, *, max_num_batched_tokens: int) -> pd.DataFrame:
    """The steps of one run whose length is known, one a row.

    A step ends when its tokens leave. Its length is known when the step before it was followed by it at once, which a
    request shows that has a token in both.

    Args:
        requests: of a run on a server without other load.
        chunks: their tokens.
        max_num_batched_tokens: the server's budget; a longer prompt is computed in several steps.

    Returns:
        ``duration_us``; ``prefill_tokens``, ``decoding_requests``, ``kv_tokens``, ``pairs`` as ``step_time.Batch``;
        ``spread_us``, from the step's first token to its last, and ``tokens``, how many there are; ``end_ns``.

    Raises:
        CalibrationError: tokens come several at a time, or there are too few of them.
    """
    ns, request = chunks.ns, chunks.request
    place = np.arange(len(ns)) - np.repeat(chunks.offsets[:-1], chunks.counts)
    later = place > 0
    if later.sum() < 20:
        raise CalibrationError(
            f"only {int(later.sum())} gaps between tokens were measured; 20 are needed at least"
        )
    tokens = np.maximum(chunks.tokens, 1).astype(np.int64)
    merged = tokens > 1
    if merged.mean() > _MERGED:
        raise CalibrationError(
            f"{100 * merged.mean():.0f} % of the events carry several tokens (a stream interval or speculative "
            "decoding): the times of steps cannot be told from outside; calibrate a server that sends each token by "
            "itself"
        )
    gaps = np.diff(ns, prepend=0)[later]
    order = np.argsort(ns, kind="stable")
    apart = np.diff(ns[order]) > _APART * np.percentile(gaps, 10)
    step_sorted = np.concatenate([[0], np.cumsum(apart)])
    step = np.empty(len(ns), dtype=np.int64)
    step[order] = step_sorted
    count = int(step_sorted[-1]) + 1
    first_ns = np.full(count, np.iinfo(np.int64).max)
    last_ns = np.zeros(count, dtype=np.int64)
    np.minimum.at(first_ns, step, ns)
    np.maximum.at(last_ns, step, ns)

    prompts = requests.prompt_tokens.to_numpy(dtype=float, na_value=np.nan)
    cached = requests.cached_tokens.fillna(0).to_numpy(dtype=float)
    before = np.cumsum(tokens) - tokens
    answered = chunks.counts > 0
    at_first = np.repeat(before[chunks.offsets[:-1][answered]], chunks.counts[answered])
    context = prompts[request] + before - at_first
    follows = np.zeros(count, dtype=bool)
    rows = np.flatnonzero(later)
    follows[step[rows][step[rows] == step[rows - 1] + 1]] = True

    def total(mask: npt.NDArray[np.bool_], values: _Floats) -> _Floats:
        return np.bincount(step[mask], weights=values[mask], minlength=count).astype(float)

    decoding = total(later, np.ones(len(ns)))
    arrivals = total(~later, np.ones(len(ns)))
    shortest_ns = int(np.percentile(gaps, 10))
    prefill, pairs = _prompts_of(
        pd.DataFrame(
            {
                "step": step[~later],
                "sent_ns": requests.sent_ns.to_numpy(dtype=float, na_value=np.nan)[request[~later]],
                "tokens": (prompts - cached)[request[~later]],
                "cached": cached[request[~later]],
            }
        ),
        begin_ns=np.where(follows, np.roll(first_ns, 1), first_ns - shortest_ns),
        room=max_num_batched_tokens - decoding,
        follows=follows,
    )
    table = pd.DataFrame(
        {
            "end_ns": first_ns,
            "duration_us": np.diff(first_ns, prepend=first_ns[0]) / 1e3,
            "prefill_tokens": prefill,
            "decoding_requests": decoding,
            "kv_tokens": total(later, context),
            "pairs": pairs,
            "spread_us": (last_ns - first_ns) / 1e3,
            "tokens": decoding + arrivals,
        }
    )
    # Who sends token after token and is not done when the next step ends hides when that was.
    busy_us = np.concatenate([[0.0], table.spread_us.to_numpy()[:-1]])
    idle = busy_us < _BUSY * table.duration_us.to_numpy()
    idle &= np.bincount(step[rows][step[rows] == step[rows - 1]], minlength=count) == 0
    known = follows & np.isfinite(prefill) & (decoding > 0) & idle & np.roll(idle, 1)
    # Where tokens came late, the steps that made them show fewer requests than they had.
    for late, made in zip(step[merged], tokens[merged], strict=True):
        known[max(0, late - made + 1) : late + 1] = False
    kept: pd.DataFrame = table[known].reset_index(drop=True)
    return kept


def _prompts_of(
    arrivals: pd.DataFrame, *, begin_ns: _Floats, room: _Floats, follows: npt.NDArray[np.bool_]
) -> tuple[_Floats, _Floats]:
    """Prompt tokens and attended pairs of each step, as a scheduler that is first come first served deals them out.

    A prompt fills what room is left from the first step after it was sent that lets it end in the step that brought
    its first token. Steps without a token of anybody cannot be seen: what a step that follows none of ours cannot
    hold was computed in such. Where prompts do not fit (a smaller budget than was said, a full cache) it is NaN.

    Args:
        arrivals: requests: ``step`` of the first token, ``sent_ns``, ``tokens`` to compute, ``cached`` before them.
        begin_ns: of each step.
        room: tokens left of each step's budget.
        follows: whether a step began when the one before it ended.
    """
    left = np.maximum(1.0, room)
    whole, begin_ns = left.copy(), begin_ns.copy()
    prefill, pairs = np.zeros(len(left)), np.zeros(len(left))
    segment = np.maximum.accumulate(np.where(follows, 0, np.arange(len(left))))
    for at, sent_ns, tokens, cached in (
        arrivals.sort_values(["step", "sent_ns"])[["step", "sent_ns", "tokens", "cached"]]
        .to_numpy(dtype=float)
        .tolist()
    ):
        last = int(at)
        if not math.isfinite(tokens):
            prefill[last] = math.nan
            continue
        if not follows[last]:
            prefill[last] += tokens
            left[last] = whole[last] - (prefill[last] % whole[last] or whole[last])
            if prefill[last] <= whole[last]:
                begin_ns[last] = sent_ns
            continue
        since = int(segment[last])
        earliest = since + int(np.searchsorted(begin_ns[since:last], sent_ns, side="right"))
        begin = next(
            (k for k in range(earliest, last) if left[k:last].sum() < tokens <= left[k : last + 1].sum()),
            last,
        )
        if tokens > left[begin : last + 1].sum():
            prefill[earliest : last + 1] = math.nan
        done, rest = cached, tokens
        for k in range(begin, last + 1):
            chunk = min(left[k], rest) if k < last else rest
            rest -= chunk
            left[k] = max(0.0, left[k] - chunk)
            prefill[k] += chunk
            pairs[k] += chunk * (done + chunk / 2)
            done += chunk
    return prefill, pairs
