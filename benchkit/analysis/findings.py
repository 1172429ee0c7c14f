"""The findings of a run: the three to five things that someone who must decide should know first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import pandas as pd

from benchkit.analysis.finding import Finding
from benchkit.analysis.finding_connections import of_connections
from benchkit.analysis.finding_load import of_load
from benchkit.analysis.finding_objectives import of_objectives
from benchkit.analysis.finding_outcomes import of_outcomes
from benchkit.analysis.finding_run import SeenRun
from benchkit.analysis.finding_server import of_server
from benchkit.analysis.finding_trust import of_trust
from benchkit.analysis.finding_waits import of_waits
from benchkit.records.chunks import Chunks

__all__ = ["MOST", "ORDER", "Finding", "findings"]

MOST: Final = 5
"""More than these nobody keeps in mind."""

ORDER: Final = (
    "invalid",
    "nothing_ok",
    "failures",
    "embedded",
    "stopped",
    "objectives_missed",
    "saturated",
    "incomplete",
    "shed",
    "objectives_undecided",
    "server_cache",
    "server_queue",
    "too_short",
    "unclear",
    "objectives_met",
    "kept_up",
    "closed_loop",
    "gave_out",
    "stalls",
    "first_token",
    "flow",
    "connections",
    "client",
    "unresolved",
)
"""Names of findings in the order of what they mean to a decision: what takes the numbers away, what the service
fails to do, what it does, how well, and how sure that is."""

_TOLD_BY_SATURATED: Final = ("server_queue", "server_cache", "too_short", "unresolved")
"""What more arrivals than a server can do explains: its queue, and that no run is long enough for a percentile."""

_SOURCES: Final[tuple[Callable[[SeenRun], Iterable[Finding]], ...]] = (
    of_trust,
    of_outcomes,
    of_objectives,
    of_load,
    of_server,
    of_waits,
    of_connections,
)


def findings(
    manifest: Mapping[str, Any],
    summary: Mapping[str, Any],
    requests: pd.DataFrame | None = None,
    chunks: Chunks | None = None,
    telemetry: pd.DataFrame | None = None,
) -> tuple[Finding, ...]:
    """The findings of a run, the weightiest first; at most ``MOST``, fewer where little is known of it.

    Args:
        manifest: the run's manifest.
        summary: its summary.
        requests: its requests, both phases; without them no cause is looked for.
        chunks: the events of the same rows.
        telemetry: what was sampled beside it.
    """
    run = SeenRun(manifest, summary, requests, chunks, telemetry)
    found = {each.name: each for source in _SOURCES for each in source(run)}
    for name in _TOLD_BY_SATURATED if "saturated" in found else ():
        found.pop(name, None)
    return tuple(sorted(found.values(), key=lambda each: ORDER.index(each.name))[:MOST])
