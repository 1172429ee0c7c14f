"""Verdicts on measured loads of any origin: from records where there are some, else from what the source states."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchkit.analysis import rates as rating
from benchkit.analysis.binomial import Z95, needed_for, wilson
from benchkit.analysis.measured import WITH_FAILURES, Measured
from benchkit.analysis.points import LoadPoint
from benchkit.analysis.recorded import measured_of
from benchkit.analysis.slo import Evaluation, Verdict, evaluate, good_requests, growth_note, judged, together
from benchkit.analysis.window_intervals import window_intervals
from benchkit.errors import ObjectiveSyntaxError
from benchkit.objectives import (
    METRICS,
    PER_REQUEST,
    RATES,
    AllOf,
    AttainmentObjective,
    Objective,
    RateObjective,
    Single,
    StatisticObjective,
    parse,
)

_FAILS = "fails"
"""A summary's percentile that lies among the failures."""


def evaluate_point(objective: Objective, point: LoadPoint) -> Evaluation:
    """The verdict on one objective at one load; see ``evaluate_points``."""
    return evaluate_points([objective], point)[0]


def evaluate_points(objectives: Sequence[Objective], point: LoadPoint) -> list[Evaluation]:
    """The verdict on each objective at one load, its records read once.

    From records as ``slo.evaluate`` judges them; what they do not hold, and points without records, as
    ``evaluate_stated`` does. Rates a second are those that the summary states; ``goodput_per_s`` comes from
    the records and the objectives' attainments where both are there.

    Args:
        objectives: parsed; goodput asks of a request what all of their attainments ask.
        point: the load.
    """
    measured = None if point.records is None else measured_of(point.records)
    rates = {name: point.rate_of(name) for name in RATES}
    sure = None if measured is None else window_intervals(measured, {})
    if measured is not None:
        found = _goodput(objectives, measured)
        rates["goodput_per_s"] = rates["goodput_per_s"] if found is None else found

    def judge(objective: Single) -> Evaluation:
        if isinstance(objective, RateObjective) and RATES[objective.name] != "share":
            return _stated_rate(objective, rates[objective.name])
        if measured is None or not _held(objective, measured):
            return evaluate_stated(objective, point.summary)
        return evaluate(objective, measured, rates, sure)

    return [
        together(each, [judge(part) for part in each.parts]) if isinstance(each, AllOf) else judge(each)
        for each in objectives
    ]


def goodput_of(objectives: Sequence[Objective], point: LoadPoint) -> float | None:
    """Requests a second that end well and meet every attainment's terms.

    Returns:
        What the summary states where the point has no records; None where it states nothing, where no
        objective is one of a single request, or where the records do not tell what is asked.
    """
    found = None if point.records is None else _goodput(objectives, measured_of(point.records))
    return point.rate_of("goodput_per_s") if found is None else found


def _goodput(objectives: Sequence[Objective], measured: Measured) -> float | None:
    good = good_requests(objectives, measured)
    return rating.rates(rating.count(measured, good), measured.window)["goodput_per_s"]


def _held(objective: Single, measured: Measured) -> bool:
    """Whether records hold what an objective is about; else the source may state it."""
    if not isinstance(objective, StatisticObjective):
        return bool(measured.columns.in_phase.any())
    if objective.metric == "in_flight":
        return measured.occupancy.get(objective.statistic) is not None
    nothing_ended = not (measured.columns.ok & measured.columns.in_phase).any()
    return nothing_ended or bool(measured.samples[objective.metric].total)


def evaluate_stated(objective: Objective, summary: Mapping[str, Any]) -> Evaluation:
    """The verdict on one objective from stated statistics alone, without single requests.

    * A percentile is undecided where its source counts fewer requests than ``needed_for`` it, or does not say
      how many; else it is compared as stated. For upper bounds on TTFT and latency it fails where failed and
      shed requests alone are more than may miss.
    * A mean is undecided where mean ± 1.96 standard errors of independent values holds the bound, as far as
      the source states a spread; else it is compared as stated.
    * error_rate and shed_rate have Wilson's interval where outcomes are counted.
    * An attainment, and a bound that grows with the prompt, need single requests: they are undecided, unless
      the summary is benchkit's own and has judged the same objective.

    ``holds`` says how the value compares as it stands, whatever the verdict.

    Args:
        objective: a parsed objective.
        summary: in the shape of summary.json, as far as its source goes.
    """
    before = _judged_before(objective, summary)
    if before is not None:
        return before
    if isinstance(objective, AllOf):
        return together(objective, [evaluate_stated(part, summary) for part in objective.parts])
    if isinstance(objective, AttainmentObjective):
        return _lacking(objective, "share", "an attainment needs single requests, and the source has none")
    if isinstance(objective, RateObjective):
        if RATES[objective.name] != "share":
            return _stated_rate(objective, _whole(summary, "rates", objective.name).get("value"))
        return _stated_share(objective, summary)
    if objective.per_token:
        why = "a bound that grows with the prompt needs single requests, and the source has none"
        return _lacking(objective, METRICS[objective.metric], why)
    if objective.quantile is not None and objective.metric != "in_flight":
        return _stated_percentile(objective, objective.quantile, summary)
    return _stated_moment(objective, summary)


def _stated_percentile(
    objective: StatisticObjective, quantile: float, summary: Mapping[str, Any]
) -> Evaluation:
    unit, stated = METRICS[objective.metric], _whole(summary, "metrics", objective.metric)
    value, count = stated.get(objective.statistic), _requests_behind(objective.metric, stated, summary)
    notes = []
    if objective.is_upper and objective.metric in WITH_FAILURES:
        counted = stated.get("with_failures") or {}
        if objective.statistic in counted:
            value, count = counted[objective.statistic], counted.get("count", count)
        else:
            failed = sum(_outcomes(summary).get(name, 0) for name in ("failed", "shed"))
            if failed:
                notes.append(f"the stated value leaves out failed and shed requests: {failed}")
            if failed and count is not None:
                count += failed
                value = _FAILS if failed > (1.0 - quantile) * count else value
    if value is None:
        return _lacking(objective, unit, f"the source states no {_shown(objective)}")
    fails = value == _FAILS
    held = not fails and objective.holds(float(value))
    needed = needed_for(quantile)
    verdict: Verdict = "meets" if held else "fails"
    if count is None:
        verdict = "undecided"
        notes.insert(
            0, f"not resolved: the source does not say how many requests stand behind its {_shown(objective)}"
        )
    elif count < needed:
        verdict = "undecided"
        notes.insert(0, f"not resolved by its sample: {count} of {needed} requests")
    else:
        notes.insert(0, "compared as stated")
    return Evaluation(
        objective.text, verdict, None if fails else float(value), None, unit, "; ".join(notes), held
    )


def _stated_moment(objective: StatisticObjective, summary: Mapping[str, Any]) -> Evaluation:
    unit, stated = METRICS[objective.metric], _whole(summary, "metrics", objective.metric)
    value = stated.get(objective.statistic)
    if value is None:
        return _lacking(objective, unit, f"the source states no {_shown(objective)}")
    held = objective.holds(float(value))
    verdict: Verdict = "meets" if held else "fails"
    note = "compared as stated"
    spread, count = stated.get("std"), _requests_behind(objective.metric, stated, summary)
    if objective.statistic == "mean" and objective.metric != "in_flight" and spread is not None and count:
        half = Z95 * float(spread) / math.sqrt(count)
        if objective.holds(value - half) != objective.holds(value + half):
            verdict = "undecided"
            note = (
                "the sample cannot tell: even independent requests would leave "
                f"{value - half:.4g} to {value + half:.4g} {unit}"
            )
    return Evaluation(
        objective.text, verdict, float(value), None, unit, "; ".join([note, *growth_note(objective)]), held
    )


def _stated_rate(objective: RateObjective, value: float | None) -> Evaluation:
    unit = RATES[objective.name]
    if value is None:
        return _lacking(objective, unit, f"the source states no {objective.name}")
    held = objective.holds(value)
    return Evaluation(
        objective.text, "meets" if held else "fails", value, None, unit, "a fact of this run", held
    )


def _stated_share(objective: RateObjective, summary: Mapping[str, Any]) -> Evaluation:
    outcomes = _outcomes(summary)
    name = "failed" if objective.name == "error_rate" else "shed"
    if "ok" not in outcomes or name not in outcomes:
        return _lacking(objective, "share", f"the source does not count {name} requests")
    count = sum(outcomes.get(each, 0) for each in ("ok", "failed", "shed"))
    if not count:
        return _lacking(objective, "share", "no request of the window ended")
    return judged(objective, outcomes[name] / count, wilson(outcomes[name], count), "share", "")


def _judged_before(objective: Objective, summary: Mapping[str, Any]) -> Evaluation | None:
    """What a summary of benchkit's own says of the same objective."""
    for told in summary.get("slo") or ():
        try:
            asked = parse(str(told["text"]))
        except ObjectiveSyntaxError:
            continue
        if asked == objective:
            value, verdict, interval = told["value"], told["verdict"], told["ci95"]
            holds = None if verdict == "undecided" else verdict == "meets"
            if value is not None and not isinstance(objective, AllOf):
                holds = objective.holds(value)
            limits = None if interval is None else (interval[0], interval[1])
            return Evaluation(objective.text, verdict, value, limits, told["unit"], told["note"], holds)
    return None


def _requests_behind(metric: str, stated: Mapping[str, Any], summary: Mapping[str, Any]) -> int | None:
    """How many requests a stated statistic rests on, as far as the source says."""
    ok = _outcomes(summary).get("ok")
    count = stated.get("count")
    if metric in PER_REQUEST and count is not None:
        return int(count)
    return ok if count is None or ok is None else min(ok, int(count))


def _outcomes(summary: Mapping[str, Any]) -> dict[str, int]:
    """Requests by outcome; those that the source does not count are absent."""
    counts: Mapping[str, Any] = summary.get("requests") or {}
    return {name: int(count) for name, count in counts.items() if isinstance(count, int | float)}


def _whole(summary: Mapping[str, Any], kind: str, name: str) -> Mapping[str, Any]:
    """A metric's or a rate's entry over the whole window; empty where the source has none."""
    whole: Mapping[str, Any] = (summary.get("windows") or {}).get("whole") or {}
    found: Mapping[str, Any] = (whole.get(kind) or {}).get(name) or {}
    return found


def _shown(objective: StatisticObjective) -> str:
    return f"{objective.statistic.replace('_', '.')} of {objective.metric.removesuffix('_ms')}"


def _lacking(objective: Single, unit: str, why: str) -> Evaluation:
    return Evaluation(objective.text, "undecided", None, None, unit, why)
