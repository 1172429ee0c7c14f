"""Evidence of the load: how its requests ended, whether it was sent as planned, whether it came to rest."""

from __future__ import annotations

import numpy as np

from benchkit.analysis.drift import drifts
from benchkit.analysis.evidence import Case, Evidence, Found
from benchkit.analysis.lockstep import FALSE_ALARMS, bunching
from benchkit.analysis.repeat_agreement import disagreements

_CLIENT_FAULTS = ("worker_died", "client_error", "transcription_failed")
_OPEN_LOOPS = ("constant", "poisson", "gamma")


def of_load(case: Case) -> Found:
    """Outcomes, extent, arrivals, steadiness."""
    yield from _of_outcomes(case)
    yield from _of_extent(case)
    yield from _of_arrivals(case)
    yield from _of_steadiness(case)


def _of_outcomes(case: Case) -> Found:
    counts = case.summary["requests"]
    yield Evidence("no_ok_request", counts["ok"])
    decided = counts["ok"] + counts["failed"] + counts["shed"]
    if decided:
        yield Evidence("failures", counts["failed"] / decided)
        yield Evidence("shed", counts["shed"] / decided)
    if decided + counts["incomplete"]:
        yield Evidence("incomplete", counts["incomplete"] / (decided + counts["incomplete"]))


def _of_extent(case: Case) -> Found:
    stopped_by = case.load_facts.get("stopped_by")
    broken = stopped_by in _CLIENT_FAULTS
    yield Evidence("client_broke", int(broken))
    yield Evidence("stopped_early", int(stopped_by is not None and not broken))
    yield Evidence("records_lost", case.load_facts.get("lost_bytes"))
    p95 = case.whole["metrics"]["latency_ms"]["p95"]
    if p95:
        yield Evidence("short_window", min(part.length_s for part in case.window.parts) * 1e3 / p95)


def _of_arrivals(case: Case) -> Found:
    load, columns = case.parameters.get("load"), case.columns
    if load == "concurrent":
        streams = int(case.parameters.get("concurrency") or 0)
        parts = [bunching(columns.sent[part.holds(columns.sent)], streams) for part in case.window.parts]
        found = [part for part in parts if part is not None]
        # One of several looks is bunched by chance more often than one alone (Bonferroni).
        certain = [each.concentration for each in found if each.chance * len(found) < FALSE_ALARMS]
        yield Evidence("lockstep", max(certain, default=0.0) if found else None)
    sent = columns.in_phase & ~np.isnan(columns.sent)
    if load in _OPEN_LOOPS and sent.any():
        yield Evidence("throttled", float((columns.waited[sent] > 0).mean()))


def _of_steadiness(case: Case) -> Found:
    if case.steady is not None:
        moved = drifts(case.steady)
        if moved is not None:
            sure = sorted((each for each in moved if each.is_sure), key=lambda each: -abs(each.change))
            yield Evidence(
                "drift",
                max((abs(each.change) for each in sure), default=0.0),
                ", ".join(each.words for each in sure),
            )
    apart = disagreements(case.measured)
    if apart is not None:
        certain = sorted((each for each in apart if each.is_sure), key=lambda each: -each.spread)
        yield Evidence(
            "repeats_disagree",
            max((each.spread for each in certain), default=0.0),
            ", ".join(each.words for each in certain),
        )
