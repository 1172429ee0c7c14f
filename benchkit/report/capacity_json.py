"""A capacity analysis as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchkit.analysis.capacity import CapacityAnswer, Option
from benchkit.analysis.fleet import FleetRun, OverTime

if TYPE_CHECKING:
    from benchkit.report.capacity_report import Capacity


def as_dict(found: Capacity) -> dict[str, Any]:
    """Parameters, answers with what they rest on, sensitivity and fleets over time; no arrays of minutes."""
    made: dict[str, Any] = _finite(_told(found))
    return made


def _told(found: Capacity) -> dict[str, Any]:
    return {
        "parameters": found.parameters.model_dump(mode="json"),
        "objectives": [str(objective) for objective in found.objectives],
        "answers": [_answer(answer) for answer in found.answers],
        "sensitivity": [asdict(variation) for variation in found.variations],
        "over_time": [{"basis": option.basis, **_over_time(day, option)} for option, day in found.days],
    }


def _answer(answer: CapacityAnswer) -> dict[str, Any]:
    return {
        "cell": dict(answer.cell),
        "as_measured": _option(answer.measured),
        "estimated": _option(answer.estimated),
        "refusals": list(answer.refusals),
        "assumptions": list(answer.assumptions),
        "limits": [asdict(wall) for wall in answer.carried.walls],
        "limited_by": answer.carried.limit.kind if answer.carried.limit else None,
        "boundaries": [asdict(each) for each in answer.carried.boundaries],
        "loads": [
            {
                "load": level.label,
                "requests_per_s": level.requests_per_s,
                "requests": level.requests,
                "saturated": level.saturated,
                "meets": level.meets,
                "objectives": [asdict(judged) for judged in level.judged],
            }
            for level in answer.carried.levels
        ],
    }


def _option(option: Option | None) -> dict[str, Any] | None:
    if option is None:
        return None
    told = asdict(option)
    if option.fleet is not None:
        told["fleet"]["utilisation"] = option.fleet.utilisation
    return told


def _finite(value: Any) -> Any:
    """The value with null for what JSON has no number for, such as an interval without an end."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _over_time(day: OverTime, option: Option) -> dict[str, Any]:
    return {
        "profile": day.profile.name,
        "hours": day.profile.hours,
        "requests": day.profile.requests,
        "peak": day.profile.peak,
        "per_server": option.sized_on,
        "start_up_s": day.start_up_s,
        "fixed": _fleet(day.fixed),
        "scaling": _fleet(day.scaling),
        "fixed_by_size": [_fleet(each) for each in day.smaller],
    }


def _fleet(fleet: FleetRun) -> dict[str, Any]:
    return {
        "servers_at_most": fleet.most,
        "share_of_requests_inside": fleet.share_of_requests,
        "share_of_minutes_inside": fleet.share_of_minutes,
        "server_hours": fleet.server_hours,
    }
