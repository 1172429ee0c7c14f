"""Findings about what connections cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from benchkit.analysis.finding import Finding
from benchkit.analysis.finding_run import SeenRun
from benchkit.analysis.finding_words import estimate, milliseconds, share

_FEWEST: Final = 20
_WEIGHS: Final = 0.1
"""Share of the time to first token from which connecting is worth a word."""
_APART: Final = 1.25


def of_connections(run: SeenRun) -> Iterator[Finding]:
    """What setting up connections cost; nothing where it cost next to nothing, or nobody knows."""
    connect, ttft = run.metric("connect_ms"), run.metric("ttft_ms")
    if not connect or not ttft.get("p50") or connect.get("p50") is None or not connect.get("count"):
        return
    of_all = float(connect["count"]) / max(1, run.count("ok"))
    slower = _slower_when_new(run)
    weighs = of_all >= 0.5 and float(connect["p50"]) >= _WEIGHS * float(ttft["p50"])
    if not weighs and not slower:
        return
    kept = run.parameters.get("connections") == "reuse"
    yield Finding(
        name="connections",
        what=f"{share(min(of_all, 1.0))} of the requests opened a connection, which took "
        f"{estimate(connect, 'p50', 'ms')} in half of the cases.",
        meaning="That comes on top of the time to first token, which counts from when a request is sent.",
        why=slower,
        next_step="Look why connections are not kept: the server or a proxy closes them."
        if kept
        else "Keep connections, if your clients do.",
        flags=() if kept else ("-p connections reuse",),
    )


def _slower_when_new(run: SeenRun) -> str:
    """Whether first tokens came later on new connections than on kept ones, in a sentence."""
    if run.measured is None:
        return ""
    columns, ttft = run.measured.columns, run.measured.values["ttft_ms"]
    counted = columns.ok & columns.in_phase & ~np.isnan(ttft)
    new = counted & ~np.isnan(columns.connected) & (columns.connected <= columns.sent)
    kept = counted & np.isnan(columns.connected)
    if new.sum() < _FEWEST or kept.sum() < _FEWEST:
        return ""
    first, other = float(np.median(ttft[new])), float(np.median(ttft[kept]))
    if first < _APART * other:
        return ""
    return (
        f"On new connections the first token came after {milliseconds(first)} (median), on kept ones after "
        f"{milliseconds(other)}: the server or what lies before it takes time to accept one."
    )
