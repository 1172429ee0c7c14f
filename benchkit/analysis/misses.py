"""Objectives as "at most this share of requests may miss": who missed, in order of sending."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.measured import WITH_FAILURES, Measured
from benchkit.analysis.points import Records
from benchkit.analysis.recorded import measured_of
from benchkit.analysis.slo_terms import decided, holds, meeting, values_of
from benchkit.objectives import (
    PER_REQUEST,
    AllOf,
    AttainmentObjective,
    Objective,
    RateObjective,
    StatisticObjective,
)
from benchkit.records.kinds import Outcome

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Misses:
    """Who missed an objective, one element a request of the window that counts, in order of sending."""

    flags: Flags
    """True where the request missed."""
    times_s: Floats
    """When it was sent, s since the window began; when it was due, where it never was sent."""
    allowed: float
    """The share that may miss, above 0 and below 1."""

    @property
    def count(self) -> int:
        """How many requests count."""
        return int(self.flags.size)

    @property
    def share(self) -> float:
        """The share that missed; NaN when no request counts."""
        return float(self.flags.mean()) if self.flags.size else float("nan")


def misses_of(objective: Objective, records: Records) -> Misses | None:
    """Who missed an objective in a run or in another tool's records; see ``misses_in``.

    For several objectives of one run, ``measured_of`` once and ``misses_in`` for each is cheaper.
    """
    return misses_in(objective, measured_of(records)) if _is_share(objective) else None


def misses_in(objective: Objective, measured: Measured) -> Misses | None:
    """Who missed an objective, where it is one about a share of requests.

    * ``pXX metric < bound``: a request misses by a value that does not meet its bound, and 1 - XX/100 may.
      For TTFT and latency, requests that never gave a value (failed, shed, incomplete) miss too.
      ``pXX metric > bound``: XX/100 may miss.
    * ``attainment(...) > share``: whoever ended and does not meet every term misses, and so do unfinished
      requests that have run past an upper bound; 1 - share may.
    * ``error_rate < share``, ``shed_rate < share``: the failed, or the shed, of all that ended.

    Returns:
        None where the objective is no such thing: means, min, max and std, rates a second, in_flight, metrics
        of events (their values are no requests), shares of which none or all may miss, since no load meets or
        misses those by degrees, and several objectives at once: take ``objectives.singles`` of them.
    """
    if not _is_share(objective):
        return None
    if isinstance(objective, AttainmentObjective):
        counted = decided(objective.terms, measured)
        return _misses(measured, counted, ~meeting(objective.terms, measured), 1.0 - objective.bound)
    if isinstance(objective, RateObjective):
        columns = measured.columns
        kind = Outcome.FAILED if objective.name == "error_rate" else Outcome.SHED
        counted = columns.is_outcome(Outcome.OK, Outcome.FAILED, Outcome.SHED) & columns.in_phase
        return _misses(measured, counted, columns.is_outcome(kind), objective.bound)
    assert isinstance(objective, StatisticObjective)
    return _of_percentile(objective, measured)


def _is_share(objective: Objective) -> bool:
    if isinstance(objective, AllOf):
        return False
    if isinstance(objective, StatisticObjective):
        return objective.quantile is not None and objective.metric in PER_REQUEST
    if isinstance(objective, AttainmentObjective):
        return not objective.is_upper and 0.0 < objective.bound < 1.0
    return (
        objective.name in ("error_rate", "shed_rate") and objective.is_upper and 0.0 < objective.bound < 1.0
    )


def _of_percentile(objective: StatisticObjective, measured: Measured) -> Misses:
    quantile = objective.quantile
    assert quantile is not None
    columns, values = measured.columns, values_of(objective, measured)
    counted = ~np.isnan(values) & columns.in_phase
    if objective.is_upper and objective.metric in WITH_FAILURES:
        counted |= measured.never_gave(objective.metric)
    allowed = 1.0 - quantile if objective.is_upper else quantile
    return _misses(measured, counted, ~holds(objective, values), allowed)


def _misses(measured: Measured, counted: Flags, missed: Flags, allowed: float) -> Misses:
    columns = measured.columns
    at = np.where(np.isnan(columns.sent), columns.scheduled, columns.sent)[counted]
    order = np.argsort(at, kind="stable")
    return Misses(missed[counted][order], (at[order] - measured.window.start_ns) / 1e9, allowed)
