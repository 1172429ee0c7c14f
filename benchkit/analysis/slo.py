"""Whether a run meets its service-level objectives, as far as its sample can tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.binomial import Z95, Interval, needed_for, quantile_ranks, wilson
from benchkit.analysis.measured import WITH_FAILURES, Measured
from benchkit.objectives import (
    METRICS,
    RATES,
    AttainmentObjective,
    Objective,
    RateObjective,
    StatisticObjective,
    Term,
)
from benchkit.records.kinds import Outcome

Flags = NDArray[np.bool_]
Verdict = Literal["meets", "fails", "undecided"]

_OF_EVENTS = frozenset({"itl_ms", "chunk_gap_ms", "tokens_per_chunk"})


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a run says of one objective."""

    text: str
    verdict: Verdict
    value: float | None
    ci95: tuple[float, float] | None
    """Only for shares (Wilson's), until intervals that allow for correlation exist."""
    unit: str
    note: str
    """Why it is undecided, or what the verdict rests on; empty when there is nothing to add."""

    def as_dict(self) -> dict[str, Any]:
        """As summary.json holds it."""
        return asdict(self) | {"ci95": None if self.ci95 is None else list(self.ci95)}


def evaluate(objective: Objective, measured: Measured, rates: Mapping[str, float | None]) -> Evaluation:
    """The verdict on one objective.

    * A percentile is undecided in a sample below ``needed_for`` it, and where the order-statistic interval of
      independent values holds the bound: true intervals are wider still, so they would not decide either. For
      upper bounds on TTFT and latency, failed and shed requests count as worse than any value.
    * A mean is undecided where mean ± 1.96 standard errors of independent values holds the bound.
    * A share (attainment, error_rate, shed_rate) is undecided where Wilson's interval holds the bound.
    * min, max, std, in_flight and the windows' rates are facts of this run, compared as they stand.

    Args:
        objective: a parsed objective.
        measured: the run's samples.
        rates: the window's rates, by name.
    """
    if isinstance(objective, AttainmentObjective):
        return _attainment(objective, measured)
    if isinstance(objective, RateObjective):
        return _rate(objective, measured, rates)
    if objective.metric == "in_flight":
        return _of_run(objective, measured.occupancy.get(objective.statistic), "requests")
    if objective.quantile is not None:
        return _percentile(objective, objective.quantile, measured)
    return _moment(objective, measured)


def good_requests(objectives: Sequence[Objective], measured: Measured) -> Flags | None:
    """Which requests, of both phases, meet every per-request objective; None when there is none."""
    terms = [term for each in objectives if isinstance(each, AttainmentObjective) for term in each.terms]
    return _meets(terms, measured) if terms else None


def _meets(terms: Sequence[Term], measured: Measured) -> Flags:
    """ok, and no term violated; a quantity that the request cannot give violates nothing."""
    good = measured.columns.ok.copy()
    for term in terms:
        values = measured.values[term.metric]
        good &= np.isnan(values) | _holds(term, values)
    return good


def _holds(term: Term, values: NDArray[np.float64]) -> Flags:
    compare = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[term.op]
    result: Flags = compare(values, term.bound)
    return result


def _attainment(objective: AttainmentObjective, measured: Measured) -> Evaluation:
    columns = measured.columns
    good = int((_meets(objective.terms, measured) & columns.in_phase).sum())
    decided = columns.is_outcome(Outcome.OK, Outcome.FAILED, Outcome.SHED)
    unfinished = columns.is_outcome(Outcome.INCOMPLETE) & columns.in_phase
    missed = _certain_miss(objective.terms, measured)
    count = int(((decided | (unfinished & missed)) & columns.in_phase).sum())
    open_ones = int((unfinished & ~missed).sum())
    if not count:
        return Evaluation(objective.text, "undecided", None, None, "share", "no request of the window ended")
    # Requests whose end was not seen may all miss, or all meet.
    interval = Interval(wilson(good, count + open_ones).low, wilson(good + open_ones, count + open_ones).high)
    note = f"incomplete requests that could go either way: {open_ones}" if open_ones else ""
    return _judged(objective, good / count, interval, "share", note)


def _certain_miss(terms: Sequence[Term], measured: Measured) -> Flags:
    """Unfinished requests that have run past an upper bound already."""
    columns = measured.columns
    running = {
        "latency_ms": (columns.end - columns.sent) / 1e6,
        "latency_from_schedule_ms": (columns.end - columns.scheduled) / 1e6,
    }
    missed = np.zeros(columns.ok.shape, dtype=np.bool_)
    for term in terms:
        values = measured.values[term.metric]
        if term.metric.startswith("ttft"):
            late = running["latency_from_schedule_ms" if "schedule" in term.metric else "latency_ms"]
            values = np.where(np.isnan(values), late, values)
        elif term.metric in running:
            values = running[term.metric]
        if term.op in ("<", "<="):
            missed |= ~np.isnan(values) & ~_holds(term, values)
    return missed


def _rate(objective: RateObjective, measured: Measured, rates: Mapping[str, float | None]) -> Evaluation:
    unit = RATES[objective.name]
    if unit != "share":
        return _of_run(objective, rates.get(objective.name), unit)
    columns = measured.columns
    kind = Outcome.FAILED if objective.name == "error_rate" else Outcome.SHED
    hits = int((columns.is_outcome(kind) & columns.in_phase).sum())
    count = int((columns.is_outcome(Outcome.OK, Outcome.FAILED, Outcome.SHED) & columns.in_phase).sum())
    if not count:
        return Evaluation(objective.text, "undecided", None, None, unit, "no request of the window ended")
    return _judged(objective, hits / count, wilson(hits, count), unit, "")


def _percentile(objective: StatisticObjective, quantile: float, measured: Measured) -> Evaluation:
    unit = METRICS[objective.metric]
    sample = measured.samples[objective.metric]
    worse = 0
    if objective.metric in WITH_FAILURES and objective.op in ("<", "<="):
        worse = measured.without_value[objective.metric]
    if not sample.total + worse:
        return Evaluation(objective.text, "undecided", None, None, unit, "no request gave a value")
    value = sample.percentile(100.0 * quantile, worse=worse)
    stated = value if math.isfinite(value) else None
    note = f"requests without a value, counted as worse than any: {worse}" if worse else ""
    independent = _independent(objective.metric, measured) + worse
    needed = needed_for(quantile)
    if independent < needed:
        short = f"not enough data: {independent} of the {needed} requests that {_shown(objective)} needs"
        return Evaluation(
            objective.text, "undecided", stated, None, unit, "; ".join(filter(None, (short, note)))
        )
    ranks = quantile_ranks(independent, quantile)
    # Events are many and dependent: their limits lie where those of as many requests would.
    scale = (sample.total + worse) / independent
    limits = [
        math.inf if at >= sample.total else sample.order_statistic(at)
        for at in (int((ranks.low or 0) * scale), int(((ranks.high or 0) + 1) * scale) - 1)
    ]
    holds = [objective.holds(limit) for limit in (*limits, value)]
    if all(holds) or not any(holds):
        return Evaluation(objective.text, "meets" if holds[0] else "fails", stated, None, unit, note)
    close = f"the sample cannot tell: even independent requests would leave {_range(limits, unit)}"
    return Evaluation(objective.text, "undecided", stated, None, unit, "; ".join(filter(None, (close, note))))


def _moment(objective: StatisticObjective, measured: Measured) -> Evaluation:
    unit = METRICS[objective.metric]
    sample = measured.samples[objective.metric]
    described = sample.describe(percentiles=())
    value = described[objective.statistic]
    if objective.statistic != "mean" or value is None:
        return _of_run(objective, value, unit)
    independent = _independent(objective.metric, measured)
    spread = described["std"]
    if spread is None or independent < 2:
        return Evaluation(objective.text, "undecided", value, None, unit, "not enough data: one request")
    half = Z95 * spread / math.sqrt(independent)
    if objective.holds(value - half) != objective.holds(value + half):
        limits = [value - half, value + half]
        note = f"the sample cannot tell: even independent requests would leave {_range(limits, unit)}"
        return Evaluation(objective.text, "undecided", value, None, unit, note)
    return Evaluation(objective.text, "meets" if objective.holds(value) else "fails", value, None, unit, "")


def _independent(metric: str, measured: Measured) -> int:
    """How many requests stand behind a metric's sample: an upper limit of its independent observations."""
    if metric not in _OF_EVENTS:
        return measured.samples[metric].total
    columns, window = measured.columns, measured.window
    there = (columns.last_token >= window.start_ns) & (columns.first_token < window.end_ns)
    there &= (columns.ok | columns.censored) & (np.diff(measured.chunks.offsets) > 1)
    return min(int(there.sum()), measured.samples[metric].total)


def _judged(objective: Objective, value: float, interval: Interval, unit: str, note: str) -> Evaluation:
    holds = [objective.holds(limit) for limit in interval]
    verdict: Verdict = "undecided" if holds[0] != holds[1] else "meets" if holds[0] else "fails"
    if verdict == "undecided" and not note:
        note = f"the sample cannot tell: its interval is {_range(list(interval), unit)}"
    return Evaluation(objective.text, verdict, value, (interval.low, interval.high), unit, note)


def _of_run(objective: StatisticObjective | RateObjective, value: float | None, unit: str) -> Evaluation:
    if value is None:
        return Evaluation(objective.text, "undecided", None, None, unit, "the run has no value for it")
    return Evaluation(
        objective.text,
        "meets" if objective.holds(value) else "fails",
        value,
        None,
        unit,
        "a fact of this run",
    )


def _shown(objective: StatisticObjective) -> str:
    return f"a {objective.statistic.replace('_', '.')}"


def _range(limits: Sequence[float], unit: str) -> str:
    factor, shown = (100.0, "%") if unit == "share" else (1.0, unit)
    low, high = (f"{limit * factor:.4g}" if math.isfinite(limit) else "no limit" for limit in limits)
    return f"{low} to {high} {shown}"
