"""Objectives on a sweep's charts: which apply to a metric, and up to which load they hold as measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchkit.analysis.points import LoadPoint
from benchkit.objectives import Single, StatisticObjective, expand, parse, singles
from benchkit.report.amounts import amount
from benchkit.report.sweep_loads import Load


def objectives(points: Iterable[LoadPoint], slo: Sequence[str] | None) -> tuple[Single, ...]:
    """The single objectives of a sweep, each once.

    Args:
        points: the loads.
        slo: texts or presets' names; what the points were judged by when None.

    Raises:
        ObjectiveSyntaxError: a text says no objective.
    """
    if slo is None:
        slo = [str(each["text"]) for point in points for each in point.summary.get("slo") or ()]
    return singles([parse(text) for text in expand(tuple(dict.fromkeys(slo)))])


def upper_bounds(
    points: Iterable[LoadPoint], slo: Sequence[str] | None, metric: str, names: Sequence[str]
) -> list[StatisticObjective]:
    """Upper bounds on these statistics of a metric that a line across a chart can show: none that grows."""
    return [
        each
        for each in objectives(points, slo)
        if isinstance(each, StatisticObjective)
        and (each.metric, each.per_token, each.is_upper) == (metric, 0.0, True)
        and each.statistic in names
    ]


def told(objective: Single, values: Sequence[tuple[Load, float]], unit: str) -> str:
    """Up to which load of one curve an objective held as measured, in words; empty without any value.

    Args:
        objective: what was asked.
        values: what was measured of it under each load, in any order.
        unit: the values' unit.
    """
    ordered = sorted(values, key=_rate)
    held = [pair for pair in ordered if objective.holds(pair[1])]
    failed = [pair for pair in ordered if not objective.holds(pair[1])]
    if not failed:
        return f"{objective.text}: held at every steady load, up to {_at(*held[-1], unit)}" if held else ""
    below = [pair for pair in held if _rate(pair) < _rate(failed[0])]
    if not below:
        return f"{objective.text}: not held at the lowest of these loads, {_at(*failed[0], unit)}"
    again = ", though again above it" if len(below) < len(held) else ""
    first = _at(*failed[0], unit, short=True)
    return f"{objective.text}: held as measured up to {_at(*below[-1], unit)}, not at {first}{again}"


def _rate(pair: tuple[Load, float]) -> float:
    return pair[0].requests_per_s or 0.0


def _at(load: Load, value: float, unit: str, *, short: bool = False) -> str:
    shown = f"{100 * value:.3g} %" if unit == "share" else f"{amount(value)} {unit}"
    return f"{amount(load.requests_per_s)}{'' if short else ' requests/s'} ({shown})"
