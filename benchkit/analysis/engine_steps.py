"""The steps of a server's engine, seen from outside: tokens that leave together were made in one step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchkit.errors import CalibrationError
from benchkit.records.chunks import Chunks

_Floats = npt.NDArray[np.float64]
_APART = 0.35
"""Stamps further apart than this share of a short gap belong to different steps."""


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
    if chunks.tokens.max(initial=0) > 1:
        raise CalibrationError(
            "some events carry several tokens (a stream interval or speculative decoding): the times of steps cannot "
            "be told from outside; calibrate a server that sends each token by itself"
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
    context = prompts[request] + place.astype(float)
    follows = np.zeros(count, dtype=bool)
    rows = np.flatnonzero(later)
    follows[step[rows][step[rows] == step[rows - 1] + 1]] = True

    def total(mask: npt.NDArray[np.bool_], values: _Floats) -> _Floats:
        return np.bincount(step[mask], weights=values[mask], minlength=count).astype(float)

    decoding = total(later, np.ones(len(ns)))
    arrivals = total(~later, np.ones(len(ns)))
    fresh = prompts[request] - cached[request]
    table = pd.DataFrame(
        {
            "end_ns": first_ns,
            "duration_us": np.diff(first_ns, prepend=first_ns[0]) / 1e3,
            "prefill_tokens": total(~later, fresh),
            "decoding_requests": decoding,
            "kv_tokens": total(later, context),
            "pairs": total(~later, fresh * (cached[request] + fresh / 2)),
            "spread_us": (last_ns - first_ns) / 1e3,
            "tokens": decoding + arrivals,
        }
    )
    _spill(table, max_num_batched_tokens)
    known = follows & np.isfinite(table.prefill_tokens.to_numpy()) & (decoding > 0)
    kept: pd.DataFrame = table[known].reset_index(drop=True)
    return kept


def _spill(table: pd.DataFrame, budget: int) -> None:
    """Gives what of a step's prompts is over the budget to the steps before it, which computed it."""
    prefill, pairs = table.prefill_tokens.to_numpy(copy=True), table.pairs.to_numpy(copy=True)
    decoding = table.decoding_requests.to_numpy()
    for at in range(len(table) - 1, 0, -1):
        room = max(1.0, budget - decoding[at])
        if prefill[at] > room:
            # The last chunk is what full ones before it leave, and has the longest context.
            rest = prefill[at] % room or room
            moved = prefill[at] - rest
            share = (moved / prefill[at]) ** 2
            prefill[at - 1] += moved
            pairs[at - 1] += pairs[at] * share
            prefill[at], pairs[at] = rest, pairs[at] * (1 - share)
    table["prefill_tokens"], table["pairs"] = prefill, pairs
