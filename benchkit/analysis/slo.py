"""Whether a run meets its service-level objectives, as far as its sample can tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.binomial import Interval, wilson
from benchkit.analysis.estimate import Estimate
from benchkit.analysis.measured import WITH_FAILURES, Measured
from benchkit.analysis.quantiles import Sample
from benchkit.analysis.slo_terms import decided, meeting, undecided, untold, values_of
from benchkit.analysis.window_intervals import WindowIntervals, window_intervals
from benchkit.objectives import (
    METRICS,
    RATES,
    AllOf,
    AttainmentObjective,
    Objective,
    RateObjective,
    Single,
    StatisticObjective,
    singles,
)
from benchkit.records.kinds import Outcome

Flags = NDArray[np.bool_]
Verdict = Literal["meets", "fails", "undecided"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a run says of one objective."""

    text: str
    verdict: Verdict
    value: float | None
    ci95: tuple[float, float] | None
    """95 % interval of the value; None where the run gives none."""
    unit: str
    note: str
    """Why it is undecided, or what the verdict rests on; empty when there is nothing to add."""
    holds: bool | None = None
    """Whether the value as it stands meets the bound, whatever the sample can tell; None without a value."""

    def as_dict(self) -> dict[str, Any]:
        """As summary.json holds it."""
        told = asdict(self) | {"ci95": None if self.ci95 is None else list(self.ci95)}
        del told["holds"]
        return told


def evaluate(
    objective: Objective,
    measured: Measured,
    rates: Mapping[str, float | None],
    sure: WindowIntervals | None = None,
) -> Evaluation:
    """The verdict on one objective: undecided where the 95 % interval of its value holds the bound.

    * Percentiles, means and rates have the window's own intervals, which allow for the memory of the run. For upper
      bounds on TTFT and latency, failed and shed requests count as worse than any value. Without an interval the lower
      limit alone may decide: a p99 of at least 90 ms fails a bound of 80.
    * A share (attainment, error_rate, shed_rate) has Wilson's interval of as many independent requests as stand behind
      it.
    * min, max and std are facts of this run, compared as they stand.
    * Several objectives at once fail when one fails, and are undecided when one is.

    Where a bound grows with the prompt, the value is the statistic of what is left of the metric without the
    growing part.

    Args:
        objective: a parsed objective.
        measured: the run's samples.
        rates: the window's rates, by name.
        sure: the window's intervals; found here where they are not given.
    """
    sure = sure or window_intervals(measured, {})
    if isinstance(objective, AllOf):
        return together(objective, [evaluate(part, measured, rates, sure) for part in objective.parts])
    if isinstance(objective, AttainmentObjective):
        return _attainment(objective, measured, sure)
    if isinstance(objective, RateObjective):
        return _rate(objective, measured, rates, sure)
    if objective.metric == "in_flight" and objective.statistic in ("min", "max", "std"):
        return of_run(objective, measured.occupancy.get(objective.statistic), "requests")
    if objective.quantile is not None or objective.statistic == "mean":
        return _estimated(objective, measured, sure)
    sample = _sample(objective, measured)
    described = sample.describe(percentiles=())
    return of_run(objective, described[objective.statistic], METRICS[objective.metric])


def together(objective: AllOf, parts: Sequence[Evaluation]) -> Evaluation:
    """The verdict on several objectives from those on each; its note holds them all, its value is none."""
    verdicts = {part.verdict for part in parts}
    verdict: Verdict = "fails" if "fails" in verdicts else "undecided" if "undecided" in verdicts else "meets"
    note = "; ".join(f"{part.text}: {part.verdict}{_with_value(part)}" for part in parts)
    held = [part.holds for part in parts]
    holds = False if False in held else None if None in held else True
    return Evaluation(objective.text, verdict, None, None, "", note, holds)


def _with_value(part: Evaluation) -> str:
    found = [] if part.value is None else [quantity(part.value, part.unit)]
    said = ", ".join([*found, *([part.note] if part.note else [])])
    return f" ({said})" if said else ""


def good_requests(objectives: Sequence[Objective], measured: Measured) -> Flags | None:
    """Which requests, of both phases, meet every per-request objective.

    Requests that meet all that the records tell of them, but not all is told, are not among them.

    Returns:
        None when no objective is one of a single request, or when the records tell enough of no ok request.
    """
    parts = singles(objectives)
    terms = [term for each in parts if isinstance(each, AttainmentObjective) for term in each.terms]
    if not terms:
        return None
    unknown, ok = untold(terms, measured), measured.columns.ok
    if ok.any() and not (ok & ~unknown).any():
        return None
    return meeting(terms, measured) & ~unknown


def _attainment(objective: AttainmentObjective, measured: Measured, sure: WindowIntervals) -> Evaluation:
    counted = decided(objective.terms, measured)
    met = meeting(objective.terms, measured) & counted
    good, count = int(met.sum()), int(counted.sum())
    open_ones = undecided(objective.terms, measured)
    cut = int((open_ones & ~measured.columns.ok).sum())
    unknown = int((open_ones & measured.columns.ok).sum())
    notes = [f"incomplete requests that could go either way: {cut}"] if cut else []
    notes += [f"requests of which the records do not tell what is asked: {unknown}"] if unknown else []
    if not count:
        notes = notes or ["no request of the window ended"]
        return Evaluation(objective.text, "undecided", None, None, "share", "; ".join(notes))
    # Requests that could go either way may all miss, or all meet.
    whole = count + cut + unknown
    worth = min(1.0, sure.worth_of(np.where(counted, met, np.nan), lasting=True) / count)
    low = wilson(good * worth, whole * worth).low
    high = wilson((good + cut + unknown) * worth, whole * worth).high
    return judged(objective, good / count, Interval(low, high), "share", "; ".join(notes))


def _rate(
    objective: RateObjective,
    measured: Measured,
    rates: Mapping[str, float | None],
    sure: WindowIntervals,
) -> Evaluation:
    unit = RATES[objective.name]
    if unit != "share":
        found = sure.rates.get(objective.name)
        value = rates.get(objective.name)
        if found is None or value is None:
            return of_run(objective, value, unit)
        return _of_estimate(objective, replace(found, value=value), unit, [])
    columns = measured.columns
    kind = Outcome.FAILED if objective.name == "error_rate" else Outcome.SHED
    counted = columns.is_outcome(Outcome.OK, Outcome.FAILED, Outcome.SHED) & columns.in_phase
    hit = columns.is_outcome(kind) & counted
    count = int(counted.sum())
    if not count:
        return Evaluation(objective.text, "undecided", None, None, unit, "no request of the window ended")
    worth = min(1.0, sure.worth_of(np.where(counted, hit, np.nan), lasting=False) / count)
    hits = int(hit.sum())
    return judged(objective, hits / count, wilson(hits * worth, count * worth), unit, "")


def _estimated(objective: StatisticObjective, measured: Measured, sure: WindowIntervals) -> Evaluation:
    """A percentile or a mean against its interval."""
    unit, metric = METRICS[objective.metric], objective.metric
    worse = 0
    if objective.quantile is not None and metric in WITH_FAILURES and objective.is_upper:
        worse = measured.without_value[metric]
    notes = [f"requests without a value, counted as worse than any: {worse}"] if worse else []
    notes += growth_note(objective)
    share, named = objective.quantile, objective.statistic
    known = sure.metrics.get(metric) or {}
    estimate = known.get(named)
    sample: Sample | None = None if metric == "in_flight" else measured.samples[metric]
    if metric in measured.values and (worse or objective.per_token or estimate is None):
        values = values_of(objective, measured) if objective.per_token else measured.values[metric]
        if worse:
            values = np.where(measured.never_gave(metric), np.inf, values)
        estimate = sure.of_requests(values, named, share)
        sample = _sample(objective, measured)
    value = _value(objective, measured, sample, worse)
    if metric in sure.unfinished and estimate is known.get(named) and estimate is not None:
        value = estimate.value
    if value is None:
        return Evaluation(objective.text, "undecided", None, None, unit, "no request gave a value")
    if estimate is None:
        estimate = Estimate(None, note=f"no interval is known of it; there are those of {', '.join(known)}")
    return _of_estimate(objective, replace(estimate, value=value), unit, notes)


def _value(
    objective: StatisticObjective, measured: Measured, sample: Sample | None, worse: int
) -> float | None:
    """The statistic as the summary states it; ``inf`` where it lies among the failures."""
    if sample is None:
        found: float | None = measured.occupancy.get(objective.statistic)
        return found
    if not sample.total + worse:
        return None
    if objective.quantile is None:
        return sample.mean()
    return sample.percentile(100.0 * objective.quantile, worse=worse)


def _of_estimate(
    objective: StatisticObjective | RateObjective, found: Estimate, unit: str, notes: Sequence[str]
) -> Evaluation:
    """Meets or fails where both limits agree with the value; else undecided, unless the lower limit alone decides."""
    value = found.value
    held = None if value is None else objective.holds(value)
    stated = value if value is not None and math.isfinite(value) else None
    interval = found.interval
    if interval is None:
        why = [found.told(unit)] if found.note else []
        if found.low is not None and objective.holds(found.low) != objective.holds(math.inf):
            return Evaluation(
                objective.text, "undecided", stated, None, unit, "; ".join([*why, *notes]), held
            )
        if found.low is not None:
            verdict: Verdict = "meets" if objective.holds(found.low) else "fails"
            told = (
                f"at least {quantity(found.low, unit)}"
                if math.isfinite(found.low)
                else "even its lower limit lies among the requests that never gave a value"
            )
            return Evaluation(objective.text, verdict, stated, None, unit, "; ".join([told, *notes]), held)
        return Evaluation(objective.text, "undecided", stated, None, unit, "; ".join([*why, *notes]), held)
    holds = {objective.holds(limit) for limit in interval} | {held}
    if len(holds) == 1:
        decided_as: Verdict = "meets" if held else "fails"
        return Evaluation(objective.text, decided_as, stated, interval, unit, "; ".join(notes), held)
    cannot = f"the run cannot tell: its interval is {_range(list(interval), unit)}"
    return Evaluation(objective.text, "undecided", stated, interval, unit, "; ".join([cannot, *notes]), held)


def _sample(objective: StatisticObjective, measured: Measured) -> Sample:
    """The metric's values; where the bound grows, what is left of them without the growing part."""
    if not objective.per_token:
        return measured.samples[objective.metric]
    return Sample(values_of(objective, measured)[measured.columns.in_phase])


def growth_note(objective: StatisticObjective) -> list[str]:
    """What the value is where the bound grows; nothing where it does not."""
    if not objective.per_token:
        return []
    name, unit = objective.metric.removesuffix("_ms"), METRICS[objective.metric]
    return [f"the value is that of {name} less {objective.per_token:g} {unit} for each prompt token"]


def judged(objective: Single, value: float, interval: Interval, unit: str, note: str) -> Evaluation:
    """The verdict on a share: undecided where its interval holds the bound."""
    holds = [objective.holds(limit) for limit in interval]
    verdict: Verdict = "undecided" if holds[0] != holds[1] else "meets" if holds[0] else "fails"
    if verdict == "undecided" and not note:
        note = f"the sample cannot tell: its interval is {_range(list(interval), unit)}"
    limits = (interval.low, interval.high)
    return Evaluation(objective.text, verdict, value, limits, unit, note, objective.holds(value))


def of_run(objective: StatisticObjective | RateObjective, value: float | None, unit: str) -> Evaluation:
    """The verdict on a fact of the run, compared as it stands."""
    if value is None:
        return Evaluation(objective.text, "undecided", None, None, unit, "the run has no value for it")
    notes = ["a fact of this run"]
    if isinstance(objective, StatisticObjective):
        notes += growth_note(objective)
    held = objective.holds(value)
    verdict: Verdict = "meets" if held else "fails"
    return Evaluation(objective.text, verdict, value, None, unit, "; ".join(notes), held)


def quantity(value: float, unit: str) -> str:
    """A value as a note shows it."""
    return f"{100 * value:.4g} %" if unit == "share" else f"{value:.4g} {unit}"


def _range(limits: Sequence[float], unit: str) -> str:
    factor, shown = (100.0, "%") if unit == "share" else (1.0, unit)
    low, high = (f"{limit * factor:.4g}" if math.isfinite(limit) else "no limit" for limit in limits)
    return f"{low} to {high} {shown}"
