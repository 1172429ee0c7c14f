"""A comparison as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from benchkit.analysis.compared_run import ComparedRun
from benchkit.analysis.comparison import NumberCompared
from benchkit.analysis.difference import Difference
from benchkit.analysis.estimate import Estimate
from benchkit.analysis.gates import JudgedGate
from benchkit.report import compare_rows

if TYPE_CHECKING:
    from benchkit.report.compare import Comparison


def as_dict(found: Comparison) -> dict[str, Any]:
    """Outcome, gates, what was measured differently, each number with the values of its runs, notes."""
    change = found.parameters.change
    told: dict[str, Any] = _finite(
        {
            "parameters": found.parameters.model_dump(mode="json"),
            "outcome": found.outcome,
            "headline": compare_rows.headline(found),
            "gates": [_gate(each) for each in found.gates],
            "differences": [
                {"point": each.point, "name": each.name, "base": [*each.base], "new": [*each.new]}
                for each in found.differences
            ],
            "settings": [*found.settings],
            "loads": [
                {
                    "load": load.label,
                    "paired": load.pairing.paired,
                    "pairing": load.pairing.why,
                    "base": [_run(run) for run in load.base],
                    "new": [_run(run) for run in load.new],
                    "numbers": [_number(each, change) for each in load.numbers],
                }
                for load in found.loads
            ],
            "notes": [*found.notes],
        }
    )
    return told


def _gate(each: JudgedGate) -> dict[str, Any]:
    return {
        "text": each.gate.text,
        "load": each.load,
        "outcome": each.outcome,
        "why": each.why,
        "p_beyond_holm": each.p_beyond,
        "p_within": each.p_within,
    }


def _run(run: ComparedRun) -> dict[str, Any]:
    return {
        "name": run.name,
        "tool": run.point.tool,
        "repeat": run.repeat,
        "requests": run.point.count,
        "verdict": run.point.verdict,
    }


def _number(each: NumberCompared, change: float) -> dict[str, Any]:
    return {
        "number": each.number.text,
        "unit": each.number.unit,
        "base": _estimate(each.base) | {"by_run": [*each.by_run[0]]},
        "new": _estimate(each.new) | {"by_run": [*each.by_run[1]]},
        **_difference(each.difference),
        "p_holm": each.adjusted_p,
        "words": each.words(change),
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "value": estimate.value,
        "ci95": None if estimate.interval is None else [*estimate.interval],
        "note": estimate.note,
    }


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "ratio": found.ratio,
        "low": found.low,
        "high": found.high,
        "level": 1 - found.alpha,
        "p": found.p,
        "permutation_p": found.permutation_p,
        "effect_sd": found.effect,
        "sd_log": found.sd_log,
        "method": found.method,
        "units": [*found.units],
        "note": found.note,
    }


def _finite(value: Any) -> Any:
    """JSON has neither NaN nor infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value
