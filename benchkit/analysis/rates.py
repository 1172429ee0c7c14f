"""Rates: what happened in the window over its length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.binned import TimeBins
from benchkit.analysis.events import tokens_in
from benchkit.analysis.measured import Measured
from benchkit.analysis.window import Window

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Totals:
    """What was counted in a window; each rate is one of these over the window's length."""

    requests: int
    output_tokens: float
    prompt_tokens: float | None
    """Of requests whose first token was stamped in the window; null when no prompt's length is known."""
    offered: int
    sent: int
    good: int | None
    """null without a per-request objective."""


def count(measured: Measured, good: Flags | None) -> Totals:
    """The window's totals, by stamps, warm-up requests included.

    Args:
        measured: the run's records and window.
        good: which requests meet every per-request objective; None when there is none.
    """
    columns, window = measured.columns, measured.window
    ended = columns.ok & window.holds(columns.end)
    prompts = columns.prompt_tokens[window.holds(columns.first_token)]
    unknown = bool(prompts.size) and bool(np.isnan(prompts).all())
    return Totals(
        requests=int(ended.sum()),
        output_tokens=tokens_in(measured.chunks, columns.output_tokens, measured.inside),
        prompt_tokens=None if unknown else float(np.nansum(prompts)),
        offered=int(window.holds(columns.scheduled).sum()),
        sent=int(window.holds(columns.sent).sum()),
        good=None if good is None else int((ended & good).sum()),
    )


def rates(totals: Totals, window: Window) -> dict[str, float | None]:
    """Every rate of a summary, a second; null where its total is, or where the window has no length."""
    tokens = None if totals.prompt_tokens is None else totals.output_tokens + totals.prompt_tokens
    found = {
        "requests_per_s": totals.requests,
        "output_tokens_per_s": totals.output_tokens,
        "total_tokens_per_s": tokens,
        "offered_per_s": totals.offered,
        "sent_per_s": totals.sent,
        "goodput_per_s": totals.good,
    }
    length = window.length_s
    return {name: None if total is None or length <= 0 else total / length for name, total in found.items()}


def counted_in_bins(measured: Measured, good: Flags | None) -> dict[str, Floats]:
    """What each rate counts, in each bin of ``TimeBins.of`` the window; arguments as of ``count``."""
    columns, bins = measured.columns, TimeBins.of(measured.window)
    if not bins.count:
        return {}
    chunks, window = measured.chunks, measured.window
    tokens = bins.total(chunks.ns, _tokens_of_events(measured))
    prompts = np.nan_to_num(columns.prompt_tokens)
    known = ~np.isnan(columns.prompt_tokens[window.holds(columns.first_token)])
    ended = np.where(columns.ok, columns.end, np.nan)
    found = {
        "requests_per_s": bins.total(ended),
        "output_tokens_per_s": tokens,
        "offered_per_s": bins.total(columns.scheduled),
        "sent_per_s": bins.total(columns.sent),
    }
    if known.any() or not known.size:
        found["total_tokens_per_s"] = tokens + bins.total(columns.first_token, prompts)
    if good is not None:
        found["goodput_per_s"] = bins.total(np.where(good, ended, np.nan))
    return found


def _tokens_of_events(measured: Measured) -> Floats:
    """Tokens of each event, those of unknown count shared out evenly as in ``tokens_in``."""
    chunks = measured.chunks
    tokens = chunks.tokens.astype(np.float64)
    if chunks.known.all():
        return tokens
    counts = np.diff(chunks.offsets)
    total = measured.columns.output_tokens
    even = np.where(np.isnan(total), 1.0, total / np.maximum(counts, 1))
    return np.where(np.repeat(chunks.known, counts), tokens, np.repeat(even, counts))
