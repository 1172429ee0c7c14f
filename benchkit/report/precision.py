"""How sure the numbers of a summary are, as they are shown: limits, digits that mean something, doubts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchkit.analysis.binomial import needed_for
from benchkit.analysis.catalogue import METRICS
from benchkit.analysis.digits import between, limits_of, measured
from benchkit.analysis.limits import unresolved

__all__ = ["between", "doubt", "limits_of", "measured"]

_BY_REQUEST: Final = frozenset(metric.name for metric in METRICS if metric.weight == "request")


def doubt(name: str, entry: Mapping[str, Any], statistic: str) -> str:
    """Why a number of a summary should not be read as the server's; empty where nothing is known against it.

    Args:
        name: the metric.
        entry: its part of the summary.
        statistic: mean or a percentile.
    """
    if entry.get(statistic) is None or limits_of(entry, statistic) is not None:
        return ""
    notes = entry.get("notes") or {}
    if statistic in notes:
        return str(notes[statistic])
    if name in _BY_REQUEST and statistic in unresolved(entry.get("count")):
        needed = needed_for(float(statistic[1:].replace("_", ".")) / 100)
        return f"not enough data: {entry['count']} of the {needed} values that it needs"
    return ""
