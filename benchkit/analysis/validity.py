"""Whether a run's numbers can be believed: evidence against the table of thresholds."""

from __future__ import annotations

from typing import Any

from benchkit.analysis.evidence import Case, Evidence
from benchkit.analysis.evidence_client import of_client
from benchkit.analysis.evidence_load import of_load
from benchkit.analysis.evidence_server import of_server
from benchkit.analysis.thresholds import BY_NAME, THRESHOLDS, Threshold

__all__ = ["THRESHOLDS", "Case", "Threshold", "evidence", "judge"]


def judge(case: Case) -> dict[str, Any]:
    """The verdict on a run, as summary.json holds it.

    Returns:
        ``verdict`` (valid, suspect, invalid), ``reasons`` (name, level, value, unit, threshold, what, reason,
        remedy, perhaps ``detail``; the invalidating ones first) and ``checked``: the names of what could be judged.
    """
    found = evidence(case)
    reasons = []
    for each in found.values():
        threshold = BY_NAME[each.name]
        level = threshold.level(each.value or 0.0)
        if level is not None:
            reason = {
                "name": each.name,
                "level": level,
                "value": each.value,
                "unit": threshold.unit,
                "threshold": threshold.limit(level),
                "what": threshold.means,
                "reason": threshold.reason,
                "remedy": threshold.remedy,
            }
            reasons.append(reason | ({"detail": each.detail} if each.detail else {}))
    order = [threshold.name for threshold in THRESHOLDS]
    reasons.sort(key=lambda reason: (reason["level"] != "invalid", order.index(str(reason["name"]))))
    verdict = reasons[0]["level"] if reasons else "valid"
    return {"verdict": verdict, "reasons": reasons, "checked": [name for name in order if name in found]}


def evidence(case: Case) -> dict[str, Evidence]:
    """Every check that can be made, by name; each has a value."""
    found = [*of_load(case), *of_server(case), *of_client(case)]
    return {each.name: each._replace(value=float(each.value)) for each in found if each.value is not None}
