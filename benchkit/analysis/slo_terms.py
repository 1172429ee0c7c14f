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
_RUNNING_MS = {"latency_ms": "sent", "latency_from_schedule_ms": "scheduled"}


def holds(bounded: Term | StatisticObjective, values: Floats) -> Flags:
    """Which values, in the metric's unit, meet the bound; NaN never does."""
    result: Flags = _COMPARE[bounded.op](values, bounded.bound)
    return result


def meeting(terms: Sequence[Term], measured: Measured) -> Flags:
    """Which requests, of both phases, ended well and violate no term.

    A quantity that the request cannot give violates nothing: an answer of one token has no TPOT.
    """
    good = measured.columns.ok.copy()
    for term in terms:
        values = measured.values[term.metric]
        good &= np.isnan(values) | holds(term, values)
    return good


def certainly_missed(terms: Sequence[Term], measured: Measured) -> Flags:
    """Which requests, of both phases, have run past an upper bound already, ended or not."""
    missed = np.zeros(measured.columns.ok.shape, dtype=np.bool_)
    for term in terms:
        if term.op in ("<", "<="):
            values = _so_far(term.metric, measured)
            missed |= ~np.isnan(values) & ~holds(term, values)
    return missed


def _so_far(metric: str, measured: Measured) -> Floats:
    """A metric's values, and for requests that never gave one how long they have run."""
    columns, values = measured.columns, measured.values[metric]
    latency = metric if metric in _RUNNING_MS else "latency_ms"
    if metric == "ttft_from_schedule_ms":
        latency = "latency_from_schedule_ms"
    began = columns.scheduled if _RUNNING_MS[latency] == "scheduled" else columns.sent
    running = (columns.end - began) / 1e6
    if metric in _RUNNING_MS:
        return running
    return np.where(np.isnan(values), running, values) if metric.startswith("ttft") else values


def decided(terms: Sequence[Term], measured: Measured) -> Flags:
    """Which requests of the window have met or missed the terms: those that ended, and certain misses.

    Not among them are requests that we interrupted ourselves, and incomplete ones that could go either way.
    """
    columns = measured.columns
    ended = columns.is_outcome(Outcome.OK, Outcome.FAILED, Outcome.SHED)
    unfinished = columns.is_outcome(Outcome.INCOMPLETE) & certainly_missed(terms, measured)
    return (ended | unfinished) & columns.in_phase
