"""Whether a run meets its service-level objectives, as far as its sample can tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.binomial import Z95, Interval, needed_for, quantile_ranks, wilson
from benchkit.analysis.measured import WITH_FAILURES, Measured
from benchkit.analysis.quantiles import Sample
from benchkit.analysis.slo_terms import decided, meeting, undecided, untold, values_of
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
    holds: bool | None = None
    """Whether the value as it stands meets the bound, whatever the sample can tell; None without a value."""

    def as_dict(self) -> dict[str, Any]:
        """As summary.json holds it."""
        told = asdict(self) | {"ci95": None if self.ci95 is None else list(self.ci95)}
        del told["holds"]
        return told


def evaluate(objective: Objective, measured: Measured, rates: Mapping[str, float | None]) -> Evaluation:
    """The verdict on one objective.

    * A percentile is undecided in a sample below ``needed_for`` it, and where the order-statistic interval of
      independent values holds the bound: true intervals are wider still, so they would not decide either. For
      upper bounds on TTFT and latency, failed and shed requests count as worse than any value.
    * A mean is undecided where mean ± 1.96 standard errors of independent values holds the bound.
    * A share (attainment, error_rate, shed_rate) is undecided where Wilson's interval holds the bound.
    * min, max, std, in_flight and the windows' rates are facts of this run, compared as they stand.
    * Several objectives at once fail when one fails, and are undecided when one is.

    Where a bound grows with the prompt, the value is the statistic of what is left of the metric without the
    growing part.

    Args:
        objective: a parsed objective.
        measured: the run's samples.
        rates: the window's rates, by name.
    """
    if isinstance(objective, AllOf):
        return together(objective, [evaluate(part, measured, rates) for part in objective.parts])
    if isinstance(objective, AttainmentObjective):
        return _attainment(objective, measured)
    if isinstance(objective, RateObjective):
        return _rate(objective, measured, rates)
    if objective.metric == "in_flight":
        return of_run(objective, measured.occupancy.get(objective.statistic), "requests")
    if objective.quantile is not None:
        return _percentile(objective, objective.quantile, measured)
    return _moment(objective, measured)


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


def _attainment(objective: AttainmentObjective, measured: Measured) -> Evaluation:
    counted = decided(objective.terms, measured)
    good = int((meeting(objective.terms, measured) & counted).sum())
    count = int(counted.sum())
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
    interval = Interval(wilson(good, whole).low, wilson(good + cut + unknown, whole).high)
    return judged(objective, good / count, interval, "share", "; ".join(notes))


def _rate(objective: RateObjective, measured: Measured, rates: Mapping[str, float | None]) -> Evaluation:
    unit = RATES[objective.name]
    if unit != "share":
        return of_run(objective, rates.get(objective.name), unit)
    columns = measured.columns
    kind = Outcome.FAILED if objective.name == "error_rate" else Outcome.SHED
    hits = int((columns.is_outcome(kind) & columns.in_phase).sum())
    count = int((columns.is_outcome(Outcome.OK, Outcome.FAILED, Outcome.SHED) & columns.in_phase).sum())
    if not count:
        return Evaluation(objective.text, "undecided", None, None, unit, "no request of the window ended")
    return judged(objective, hits / count, wilson(hits, count), unit, "")


def _percentile(objective: StatisticObjective, quantile: float, measured: Measured) -> Evaluation:
    unit = METRICS[objective.metric]
    sample = _sample(objective, measured)
    worse = 0
    if objective.metric in WITH_FAILURES and objective.is_upper:
        worse = measured.without_value[objective.metric]
    if not sample.total + worse:
        return Evaluation(objective.text, "undecided", None, None, unit, "no request gave a value")
    value = sample.percentile(100.0 * quantile, worse=worse)
    held = objective.holds(value)
    stated = value if math.isfinite(value) else None
    notes = [f"requests without a value, counted as worse than any: {worse}"] if worse else []
    notes += growth_note(objective)

    def undecided_since(why: str) -> Evaluation:
        return Evaluation(objective.text, "undecided", stated, None, unit, "; ".join([why, *notes]), held)

    independent = _independent(objective, sample, measured) + worse
    needed = needed_for(quantile)
    if independent < needed:
        shown = objective.statistic.replace("_", ".")
        return undecided_since(
            f"not enough data: {independent} of the {needed} requests that a {shown} needs"
        )
    ranks = quantile_ranks(independent, quantile)
    # Events are many and dependent: their limits lie where those of as many requests would.
    scale = (sample.total + worse) / independent
    limits = [
        math.inf if at >= sample.total else sample.order_statistic(at)
        for at in (int((ranks.low or 0) * scale), int(((ranks.high or 0) + 1) * scale) - 1)
    ]
    holds = [objective.holds(limit) for limit in limits]
    if all([*holds, held]) or not any([*holds, held]):
        verdict: Verdict = "meets" if held else "fails"
        return Evaluation(objective.text, verdict, stated, None, unit, "; ".join(notes), held)
    return undecided_since(
        f"the sample cannot tell: even independent requests would leave {_range(limits, unit)}"
    )


def _moment(objective: StatisticObjective, measured: Measured) -> Evaluation:
    unit = METRICS[objective.metric]
    sample = _sample(objective, measured)
    described = sample.describe(percentiles=())
    value = described[objective.statistic]
    if objective.statistic != "mean" or value is None:
        return of_run(objective, value, unit)
    held = objective.holds(value)
    verdict: Verdict = "meets" if held else "fails"
    found = Evaluation(objective.text, verdict, value, None, unit, "; ".join(growth_note(objective)), held)
    independent = _independent(objective, sample, measured)
    spread = described["std"]
    if spread is None or independent < 2:
        return replace(found, verdict="undecided", note="not enough data: one request")
    half = Z95 * spread / math.sqrt(independent)
    if objective.holds(value - half) != objective.holds(value + half):
        limits = [value - half, value + half]
        note = f"the sample cannot tell: even independent requests would leave {_range(limits, unit)}"
        return replace(found, verdict="undecided", note="; ".join(filter(None, (note, found.note))))
    return found


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


def _independent(objective: StatisticObjective, sample: Sample, measured: Measured) -> int:
    """How many requests stand behind a sample: an upper limit of its independent observations."""
    if objective.metric not in _OF_EVENTS:
        return sample.total
    columns, window = measured.columns, measured.window
    there = (columns.last_token >= window.start_ns) & (columns.first_token < window.end_ns)
    there &= (columns.ok | columns.censored) & (np.diff(measured.chunks.offsets) > 1)
    return min(int(there.sum()), sample.total)


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
