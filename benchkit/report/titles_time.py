"""What the charts along a run's time found, each in a sentence for its title."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from benchkit.analysis.drift import Drift, drifts
from benchkit.analysis.measured import narrowed
from benchkit.analysis.points import Records
from benchkit.analysis.recorded import measured_of
from benchkit.analysis.saturation import Saturation, saturation
from benchkit.analysis.steady_state import steady_window
from benchkit.records.kinds import Outcome
from benchkit.report.amounts import amount
from benchkit.report.frames import Floats
from benchkit.report.frames_timeline import STAGES, Timeline
from benchkit.report.precision import limits_of
from benchkit.report.titles import counted, ms, number, percent

_TOLD_STAGE: Final = {
    STAGES[0]: "held back by the client",
    STAGES[1]: "connecting",
    STAGES[2]: "waiting for a first token",
    STAGES[3]: "receiving the answer",
}
_MANY_FAILED: Final = 0.1
"""Share of requests that did not end well from which that is the finding."""
_SHARE_TOLD: Final = 0.01
_AT_ONCE: Final = 0.05
"""Of the window: what piles up within this much of its beginning did so from there on."""
_FEWEST_BINS: Final = 8


def piled_up(records: Records) -> Saturation | None:
    """Whether requests piled up; None where the source does not tell when its window was."""
    told = records.manifest.get("load") or {}
    if not told.get("windows") and (told.get("window") or {}).get("end_ns") is None:
        return None
    return saturation(records)


def stages(table: Timeline) -> str:
    """In which stage requests spent their time; where many of them failed, that."""
    bad = len(table.ends)
    if bad >= _MANY_FAILED * table.shown:
        failed = (table.ends["outcome"] == Outcome.FAILED.value).all()
        how = "failed" if failed else "did not end well"
        return f"{bad:,} of {counted(table.shown, 'request')} shown {how}"
    took = table.stages.groupby("stage")["took_ms"].sum()
    whole = float(took.sum())
    if whole <= 0:
        return f"{counted(table.shown, 'request')} took no time at all"
    shares = sorted(((float(value) / whole, str(stage)) for stage, value in took.items()), reverse=True)
    told = [
        f"{percent(share)} {_TOLD_STAGE[stage]}"
        for at, (share, stage) in enumerate(shares[:2])
        if not at or share >= _SHARE_TOLD
    ]
    return f"Requests spent their time {', '.join(told)}"


def output(
    rates: Mapping[str, Any], mean_in_flight: float, found: Saturation | None, levels: pd.DataFrame
) -> str:
    """How much came out with how much under way; where requests piled up, since when.

    Args:
        rates: of the summary's window.
        mean_in_flight: requests under way, on average over the window.
        found: whether they piled up; None where it cannot be told.
        levels: requests under way along the window: ``start_s``, ``requests``.
    """
    if found is not None and found.state == "saturated" and len(levels) >= _FEWEST_BINS:
        at, values = (levels[name].to_numpy(dtype=np.float64) for name in ("start_s", "requests"))
        since = onset_s(at, values)
        span = float(at[-1] - at[0])
        when = "from the beginning" if since - at[0] <= _AT_ONCE * span else f"from second {since:.0f} on"
        return f"Requests pile up {when}: {values[-1]:,.0f} are under way at the window's end"
    entry = rates.get("output_tokens_per_s") or {}
    value, noun = entry.get("value"), "tokens/s"
    if value is None:
        entry, noun = rates.get("requests_per_s") or {}, "requests/s"
        value = entry.get("value")
    under_way = f"with {amount(mean_in_flight)} requests under way on average"
    if not value:
        return "Nothing came out of the server" + (f", {under_way}" if mean_in_flight > 0 else "")
    told = f"{number(float(value), limits_of(entry))} {noun} came out, {under_way}"
    steady = found is not None and found.state == "steady" and found.in_flight is not None
    return f"Nothing piled up: {told}" if steady else told


def onset_s(at: Floats, values: Floats) -> float:
    """Since when a level rises: the bend of a line that is flat first, by least squares."""

    def misfit(bend: float) -> float:
        rise = np.clip(at - bend, 0.0, None)
        off = rise - rise.mean()
        spread = float(off @ off)
        slope = max(float(off @ (values - values.mean())) / spread, 0.0) if spread > 0 else 0.0
        left = values - values.mean() - slope * off
        return float(left @ left)

    return float(min(at[:-1], key=misfit))


def ttft_drift(records: Records) -> Drift | None:
    """How far TTFT moved over the steady part; None where that is too short to tell."""
    whole = measured_of(records)
    steady = steady_window(whole).window
    found = None if steady is None else drifts(narrowed(whole, steady))
    return next((each for each in found or () if each.metric == "ttft_ms"), None)


def slowing(due: Floats, values: Floats, drift: Drift | None, found: Saturation | None) -> str:
    """Whether the time to first token changed over the window.

    Args:
        due: when requests were due, in seconds.
        values: their TTFT in ms, in the same order.
        drift: as ``ttft_drift`` has it.
        found: whether requests piled up; None where it cannot be told.
    """
    if len(values) < 2:
        return f"The one request with a first token had it after {ms(float(values[0]))}"
    middle = (float(due.min()) + float(due.max())) / 2
    halves = values[due <= middle], values[due > middle]
    if not all(len(half) for half in halves):
        return f"{counted(len(values), 'request')}: too few to tell whether TTFT changed"
    first, second = (ms(float(np.median(half))) for half in halves)
    medians = f"median {first} in the first half, {second} in the second"
    if found is not None and found.state == "saturated":
        return f"TTFT grew as requests piled up: {medians}"
    if drift is None:
        return f"Too few independent requests to tell a change of TTFT: {medians}"
    if not drift.is_sure:
        return f"TTFT did not clearly change: {medians}"
    word = "rose" if drift.change > 0 else "fell"
    return f"TTFT {word} by {percent(abs(drift.change))} of its mean over the run: {medians}"


def queue(waiting: Floats, readings: int) -> str:
    """Whether requests waited in the server, by what it said itself.

    Args:
        waiting: how many did, reading by reading.
        readings: how many there are.
    """
    if not len(waiting):
        return f"The server did not say whether requests waited, in {counted(readings, 'reading')}"
    most, share = float(waiting.max()), float((waiting > 0).mean())
    if most <= 0:
        return f"No request was seen waiting in the server, in {counted(readings, 'reading')}"
    often = "in every reading" if share == 1 else f"in {percent(share)} of {counted(readings, 'reading')}"
    return f"Up to {counted(round(most), 'request')} waited in the server, some {often}"
