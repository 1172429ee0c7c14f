"""Which requests meet the terms of an attainment, which have missed them, and of which nobody can say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.measured import Measured
from benchkit.objectives import StatisticObjective, Term
from benchkit.records.kinds import Outcome

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_COMPARE = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


def holds(bounded: Term | StatisticObjective, values: Floats) -> Flags:
    """Which values, in the metric's unit and less the growing part, meet the bound; NaN never does."""
    result: Flags = _COMPARE[bounded.op](values, bounded.bound)
    return result


def values_of(bounded: Term | StatisticObjective, measured: Measured) -> Floats:
    """A metric's values, one a request of either phase, less what each prompt token adds to the bound.

    NaN where the request gives no value, or where the bound grows and the prompt's length is unknown.
    """
    return _less_growth(bounded, measured.values[bounded.metric], measured)


def _less_growth(bounded: Term | StatisticObjective, values: Floats, measured: Measured) -> Floats:
    if not bounded.per_token:
        return values
    return values - bounded.per_token * measured.columns.prompt_tokens


def meeting(terms: Sequence[Term], measured: Measured) -> Flags:
    """Which requests, of both phases, ended well and violate no term.

    A quantity that the request cannot give violates nothing: an answer of one token has no TPOT. Nor does one
    that the records do not tell; see ``untold``.
    """
    good = measured.columns.ok.copy()
    for term in terms:
        values = values_of(term, measured)
        good &= np.isnan(values) | holds(term, values)
    return good


def untold(terms: Sequence[Term], measured: Measured) -> Flags:
    """Which ok requests, of both phases, had a quantity of a term that the records do not tell.

    Another tool's file may have no time of the first token, and a server may not say how many tokens an event
    bears. That is no absence: an answer of one token has no TPOT, one without tokens no TTFT.
    """
    columns = measured.columns
    missing = np.zeros(columns.ok.shape, dtype=np.bool_)
    for term in terms:
        values = measured.values[term.metric]
        absent = np.isnan(values)
        missing |= absent & ~_has_none(term.metric, measured)
        missing |= ~absent & np.isnan(_less_growth(term, values, measured))
    found: Flags = missing & columns.ok
    return found


def _has_none(metric: str, measured: Measured) -> Flags:
    """Which requests, if they ended well, have no such quantity."""
    columns = measured.columns
    events: NDArray[np.int64] = np.diff(measured.chunks.offsets)
    tokens = columns.output_tokens
    none: Flags = np.full(tokens.shape, metric == "connect_ms")
    if metric in ("tpot_ms", "max_gap_ms"):
        none = (events == 1) | ((events == 0) & (tokens <= 1))
    elif metric in ("ttft_text_ms", "ttft_answer_ms"):
        # A tool's call, or nothing but reasoning.
        none = (tokens <= 0) | ~np.isnan(columns.first_token)
    elif metric.startswith("ttft") or metric == "normalized_latency_ms":
        none = tokens <= 0
    return none


def certainly_missed(terms: Sequence[Term], measured: Measured) -> Flags:
    """Which requests, of both phases, have run past an upper bound already, ended or not."""
    missed = np.zeros(measured.columns.ok.shape, dtype=np.bool_)
    for term in terms:
        if term.is_upper:
            values = _less_growth(term, _so_far(term.metric, measured), measured)
            missed |= ~np.isnan(values) & ~holds(term, values)
    return missed


def _so_far(metric: str, measured: Measured) -> Floats:
    """A metric's values, and for requests that never gave one how long they have run."""
    columns, values = measured.columns, measured.values[metric]
    began = columns.scheduled if metric.endswith("_from_schedule_ms") else columns.sent
    running = (columns.end - began) / 1e6
    if metric.startswith("latency"):
        return running
    return np.where(np.isnan(values), running, values) if metric.startswith("ttft") else values


def decided(terms: Sequence[Term], measured: Measured) -> Flags:
    """Which requests of the window have met or missed the terms for certain.

    Not among them are requests that we interrupted ourselves, incomplete ones that could still have met the
    terms, and ok ones that miss none but have a quantity that the records do not tell.
    """
    columns = measured.columns
    ended = columns.is_outcome(Outcome.OK, Outcome.FAILED, Outcome.SHED)
    unfinished = columns.is_outcome(Outcome.INCOMPLETE) & certainly_missed(terms, measured)
    either_way = untold(terms, measured) & meeting(terms, measured)
    return ((ended & ~either_way) | unfinished) & columns.in_phase


def undecided(terms: Sequence[Term], measured: Measured) -> Flags:
    """Which requests of the window could have met or missed the terms, for all that the records tell."""
    columns = measured.columns
    counted = columns.is_outcome(Outcome.OK, Outcome.FAILED, Outcome.SHED, Outcome.INCOMPLETE)
    return counted & columns.in_phase & ~decided(terms, measured)
