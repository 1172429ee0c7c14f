"""What else ran beside a request: others under way, prompts ahead of it, prompts computed in a stretch of time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.analysis.columns import RequestColumns

Floats = NDArray[np.float64]


class Prompts(NamedTuple):
    """Prompts of others, one element a stretch."""

    prompts: Floats
    tokens: Floats
    """Computed tokens of them: those of the prefix cache are left out."""


class Neighbours:
    """Answers questions about all requests of a run, of both phases, by time in ns; vectors in, vectors out."""

    def __init__(self, requests: pd.DataFrame, columns: RequestColumns) -> None:
        tokens = np.nan_to_num(columns.prompt_tokens)
        if "cached_tokens" in requests:
            cached = requests["cached_tokens"].to_numpy(dtype=np.float64, na_value=np.nan)
            tokens = np.clip(tokens - np.nan_to_num(cached), 0.0, None)
        self.prompt_tokens: Floats = tokens
        """What each request's prompt had to be computed for."""
        self._sent = _Sums(columns.sent, tokens)
        self._first = _Sums(columns.first_token, tokens)
        # Who failed before its first token is no longer ahead of anybody.
        self._served = _Sums(np.fmin(columns.first_token, columns.end), tokens)
        self._ended = _Sums(columns.end, tokens)

    def first_tokens_between(self, after_ns: Floats, until_ns: Floats) -> Prompts:
        """Prompts whose first token came after the one time and not after the other."""
        after, until = self._first.until(after_ns), self._first.until(until_ns)
        return Prompts(until.prompts - after.prompts, until.tokens - after.tokens)

    def under_way(self, at_ns: Floats) -> Floats:
        """Requests sent until a time and not ended by then; one that is sent at the time is among them."""
        return self._sent.until(at_ns).prompts - self._ended.until(at_ns).prompts

    def waiting(self, at_ns: Floats) -> Prompts:
        """Prompts that were sent until a time and had no token by then; one that is sent at the time is among them."""
        sent, served = self._sent.until(at_ns), self._served.until(at_ns)
        return Prompts(sent.prompts - served.prompts, sent.tokens - served.tokens)


class _Sums:
    """How many requests, and how many prompt tokens, had passed a point of their lives by a time."""

    def __init__(self, at_ns: Floats, tokens: Floats) -> None:
        known = np.flatnonzero(~np.isnan(at_ns))
        order = known[np.argsort(at_ns[known], kind="stable")]
        self._at = at_ns[order]
        self._tokens = np.concatenate(([0.0], np.cumsum(tokens[order])))

    def until(self, at_ns: Floats) -> Prompts:
        place = np.searchsorted(self._at, at_ns, side="right")
        return Prompts(place.astype(np.float64), self._tokens[place])
