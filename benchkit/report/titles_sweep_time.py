"""What the charts of a sweep's times against its load found, each in a sentence for its title."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchkit.objectives import StatisticObjective
from benchkit.report.amounts import amount
from benchkit.report.sweep_bands import Statistic
from benchkit.report.sweep_loads import Load
from benchkit.report.titles import apart, bound_ms, every, first_up, ms, short, span

WORDS: Final = {"mean": "mean", "p50": "median", "p90": "p90", "p95": "p95", "p99": "p99"}
"""The statistics that charts of a sweep show, from the middle to the tail, as they are called."""
_METRICS: Final = {"ttft_ms": "TTFT", "latency_ms": "latency", "itl_ms": "time between tokens"}
_SAME: Final = 1.02
"""Times a rate up to which another is said to be about the same."""
_FLAT: Final = 1.1
"""Times a value up to which it is said to stay as it is."""


@dataclass(frozen=True, slots=True)
class Value:
    """A statistic under one load of a curve."""

    load: Load
    name: str
    found: Statistic

    @property
    def at(self) -> float:
        """Requests answered per second."""
        return self.load.requests_per_s or 0.0

    @property
    def limits(self) -> tuple[float, float] | None:
        """95 % limits; None where there are none."""
        low, high = self.found.low, self.found.high
        return None if low is None or high is None else (low, high)

    def __str__(self) -> str:
        return ms(self.found.value, self.limits)


@dataclass(frozen=True, slots=True)
class _Held:
    """How far one curve kept a bound."""

    series: str
    last: Value | None
    """The highest load below the first that missed it; None where the lowest load misses it."""
    first_missed: Value | None
    sure: bool
    """Whether every load up to the last kept it with its whole interval."""

    @property
    def rate(self) -> float:
        return self.last.at if self.last else 0.0


def times(metric: str, values: Sequence[Value], limits: Sequence[StatisticObjective]) -> str:
    """How a time goes with the load: up to where a bound holds, else how much it grows.

    Args:
        metric: by summary.json's name.
        values: of all curves, at least one.
        limits: upper bounds on statistics of the metric that are among the values.
    """
    noun = _METRICS.get(metric, metric)
    bounded = [limit for limit in limits if any(value.name == limit.statistic for value in values)]
    if bounded:
        found = {limit: _held(values, limit) for limit in bounded}
        # Of several bounds the one that is missed first decides.
        first = min(bounded, key=lambda limit: min(_end(each) for each in found[limit]))
        return _bounded(f"{WORDS[first.statistic]} {noun}", first, found[first])
    series = list(dict.fromkeys(value.load.series for value in values))
    tail = _tail(values)
    own = [value for value in values if value.name == tail]
    what = f"{WORDS[tail]} {noun}"
    return _grown(what, own) if len(series) == 1 else _side_by_side(what, own)


def _end(held: _Held) -> float:
    return float("inf") if held.first_missed is None else held.rate


def _held(values: Sequence[Value], limit: StatisticObjective) -> list[_Held]:
    own = [value for value in values if value.name == limit.statistic]
    found = []
    for series in dict.fromkeys(value.load.series for value in own):
        curve = sorted((value for value in own if value.load.series == series), key=lambda value: value.at)
        missed = next((value for value in curve if not limit.holds(value.found.value)), None)
        kept = [value for value in curve if missed is None or value.at < missed.at]
        sure = all(
            value.found.resolved and value.limits is not None and limit.holds(value.limits[1])
            for value in kept
        )
        found.append(_Held(series, kept[-1] if kept else None, missed, sure))
    return found


def _bounded(what: str, limit: StatisticObjective, curves: Sequence[_Held]) -> str:
    side = "below" if limit.op == "<" else "within"
    bound = f"{side} {bound_ms(limit.bound)}"
    best = max(curves, key=lambda held: held.rate)
    if best.last is None:
        return _never(what, bound, curves)
    sure = all(held.sure for held in curves if held.last)
    head = first_up(f"{'' if sure else 'as measured, '}{what} stays {bound}")
    if len(curves) == 1:
        if best.first_missed is None:
            return f"{head} at every steady load, up to {_rate(best.rate)}"
        return f"{head} up to {_rate(best.rate)}"
    least = min(curves, key=lambda held: held.rate)
    if least.rate * _SAME >= best.rate:
        return f"{head} up to about {_rate(best.rate)} on {every(len(curves), 'curve')}"
    most = f"up to {_rate(best.rate)} ({short(best.series)})"
    if least.last is None:
        return f"{head} {most}, and nowhere with {short(least.series)}"
    return f"{head} {most}, with {short(least.series)} to {amount(least.rate)}"


def _never(what: str, bound: str, curves: Sequence[_Held]) -> str:
    lowest = [held.first_missed for held in curves if held.first_missed is not None]
    nearest = min(lowest, key=lambda value: value.found.value)
    if len(curves) > 1:
        return f"None of {len(curves)} curves has its {what} {bound}, not even at its lowest load"
    return first_up(f"{what} is not {bound} even at {_rate(nearest.at)}: {nearest}")


def _tail(values: Sequence[Value]) -> str:
    """The statistic furthest out that every load resolves; where there is none, the furthest out."""
    names = [name for name in WORDS if any(value.name == name for value in values)]
    resolved = [name for name in names if all(value.found.resolved for value in values if value.name == name)]
    return (resolved or names)[-1]


def _grown(what: str, curve: Sequence[Value]) -> str:
    ordered = sorted(curve, key=lambda value: value.at)
    low, high = ordered[0], ordered[-1]
    resolved = all(value.found.resolved for value in ordered)
    head = what if resolved else f"as measured, {what}"
    if len(ordered) == 1:
        return first_up(f"{head} is {low} at {_rate(low.at)}, the only steady load")
    between = f"{low} at {amount(low.at)}, {high} at {_rate(high.at)}"
    # Neighbouring intervals say of two loads that they differ; that none of them does is said more carefully.
    if apart(low.limits, high.limits) is False:
        return first_up(f"{head} does not clearly grow with the load: {between}")
    ratio = high.found.value / low.found.value if low.found.value > 0 else float("inf")
    if 1 / _FLAT <= ratio <= _FLAT:
        return first_up(f"{head} hardly moves: {between}")
    word = "grows" if ratio > 1 else "falls"
    return first_up(f"{head} {word} from {low} at {amount(low.at)} to {high} at {_rate(high.at)}")


def _side_by_side(what: str, values: Sequence[Value]) -> str:
    """Curves at the heaviest load that all of them have; where they share none, each one's own heaviest."""
    series = list(dict.fromkeys(value.load.series for value in values))
    labels: dict[str, list[Value]] = {}
    for value in sorted(values, key=lambda value: value.at):
        labels.setdefault(value.load.label, []).append(value)
    shared = {label: own for label, own in labels.items() if len(own) == len(series)}
    if not shared:
        return first_up(f"{what} of {len(series)} curves, which have no load in common")
    label, own = list(shared.items())[-1]
    low, high = (pick(own, key=lambda value: value.found.value) for pick in (min, max))
    if apart(low.limits, high.limits) is False or high.found.value <= _FLAT * low.found.value:
        return first_up(f"{what} does not clearly differ at {label}: {span(str(low), str(high))}")
    ends = f"{low} ({short(low.load.series)}) to {high} ({short(high.load.series)})"
    return first_up(f"{what} at {label} goes from {ends}")


def _rate(per_s: float) -> str:
    return f"{amount(per_s)} requests/s"
