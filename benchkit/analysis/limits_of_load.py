"""What limits a server: saturation, the objectives, or memory, each as a load; the lowest is the capacity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from benchkit.analysis.boundary import Boundary
from benchkit.analysis.load_levels import Level
from benchkit.analysis.server_readings import readings_of

Kind = Literal["saturation", "objective", "memory"]

_DELIVERED: Final = 0.95
"""A server that answers less than this share of what it is sent has more than it can do."""
_FLAT: Final = 0.03
"""More streams that bring no more than this share of answers more: throughput has stopped rising."""
_BATCHES: Final = 10


@dataclass(frozen=True, slots=True)
class Wall:
    """One limit of a server, as a load."""

    kind: Kind
    rate: float | None
    """Requests/s at which it stands; None where nothing tells."""
    low: float | None
    high: float | None
    """95 % limits, or the loads between which it was seen; None where there are none."""
    reached: bool
    """Whether a measured load stood at or beyond it; else ``rate`` is extrapolated, or the highest load seen."""
    evidence: str
    """What it rests on, in a sentence."""

    def distance_from(self, rate: float) -> float | None:
        """How far it lies above a rate, as a share of that."""
        return None if self.rate is None else self.rate / rate - 1.0


def limiting(walls: Sequence[Wall]) -> Wall | None:
    """The lowest of the walls that were reached; None when none was.

    One below all loads has no rate, and is lowest. Of memory and saturation at one load memory is named: a full cache
    is why throughput stops rising.
    """
    reached = [wall for wall in walls if wall.reached]
    return min(reached, key=lambda wall: (wall.rate or 0.0, wall.kind != "memory"), default=None)


def saturation_wall(levels: Sequence[Level]) -> Wall:
    """The load at which throughput stops rising.

    It counts as reached when a level is saturated, has load 'throughput', answers clearly less than it was sent, or
    is a closed loop with a quarter more streams than another and hardly more answers. The load is the highest rate
    of answers that was seen; its interval is Student's t of repeats, else of ten batches of that level's window.

    Args:
        levels: all that were measured, lowest first, at least one.
    """
    top = levels[-1]
    steady = max((each.requests_per_s for each in levels if not _is_overloaded(each)), default=0.0)
    # What stands below a load that was carried was no overload, whatever its trend looked like.
    signs = [level for level in levels if _is_overloaded(level) and level.requests_per_s >= steady]
    flat = _flattens(levels)
    low, high = _interval(top)
    most = f"no load brought more than {top.requests_per_s:.4g} requests/s ({top.label})"
    if signs:
        asked = [level.label for level in signs if level.label != "throughput"]
        why = f"{most}" + (f"; {asked[0]} was more than the server could do" if asked else "")
    elif flat is not None:
        why = f"{most}; {flat.label} brought hardly more than the level below it"
    else:
        still = f"throughput still rose at the highest load, {top.requests_per_s:.4g} requests/s"
        one = f"one load, {top.requests_per_s:.4g} requests/s, does not tell where throughput stops rising"
        return Wall(
            "saturation",
            top.requests_per_s,
            None,
            None,
            reached=False,
            evidence=still if len(levels) > 1 else one,
        )
    return Wall("saturation", top.requests_per_s, low, high, reached=True, evidence=why)


def objective_wall(levels: Sequence[Level], boundary: Boundary | None) -> Wall:
    """The load at which an objective is missed: the estimated boundary, else between the levels around it."""
    if boundary is not None:
        return Wall(
            "objective",
            boundary.rate,
            boundary.low,
            boundary.high,
            reached=not boundary.extrapolated,
            evidence=f"{boundary.objective}: {boundary.note or boundary.method}",
        )
    unknown = {judged.objective for level in levels for judged in level.judged if judged.unknown}
    if all(any(judged.unknown for judged in level.judged) for level in levels):
        lacks = f"the sources do not have what is bounded by {', '.join(sorted(unknown))}"
        return Wall("objective", None, None, None, reached=False, evidence=lacks)
    met = [level for level in levels if level.meets]
    if not met:
        return Wall(
            "objective",
            None,
            None,
            levels[0].requests_per_s,
            reached=True,
            evidence=f"missed at the lowest load already, {levels[0].requests_per_s:.4g} requests/s",
        )
    best = met[-1]
    above = [level for level in levels if level.is_steady and level.requests_per_s > best.requests_per_s]
    if not above:
        return Wall(
            "objective",
            best.requests_per_s,
            None,
            None,
            reached=False,
            evidence="no measured load in a steady state missed it",
        )
    return Wall(
        "objective",
        best.requests_per_s,
        best.requests_per_s,
        above[0].requests_per_s,
        reached=True,
        evidence=f"met at {best.requests_per_s:.4g} requests/s, missed at {above[0].requests_per_s:.4g}",
    )


def memory_wall(levels: Sequence[Level]) -> Wall:
    """The load at which the KV cache is full: requests wait for blocks or lose theirs, by the server's /metrics.

    Between the last level without a sign of it and the first with one. Before that, the peak use of the cache is
    taken to grow in proportion to the load; it grows faster near saturation, so that this load is an upper limit.
    """
    seen = [
        (level, [found for point in level.points if (found := readings_of(point)) is not None])
        for level in levels
    ]
    told = [(level, found) for level, found in seen if any(each.cache_peak is not None for each in found)]
    if not told:
        return Wall(
            "memory",
            None,
            None,
            None,
            reached=False,
            evidence="the sources do not say how full the cache was",
        )
    out = [level for level, found in told if any(each.out_of_memory for each in found)]
    if out:
        first = out[0].requests_per_s
        below = [level.requests_per_s for level, _ in told if level.requests_per_s < first]
        return Wall(
            "memory",
            first,
            below[-1] if below else None,
            first,
            reached=True,
            evidence=f"the cache was full, or requests lost their place in it, at {first:.4g} requests/s "
            f"({out[0].label})",
        )
    peaks = [(max(one.cache_peak or 0.0 for one in found), level) for level, found in told]
    peak, level = max(peaks, key=lambda each: each[0])
    return Wall(
        "memory",
        level.requests_per_s / peak if peak > 0 else None,
        None,
        None,
        reached=False,
        evidence=f"at most {100 * peak:.3g} % of the cache was in use, at {level.requests_per_s:.4g} requests/s: "
        "not reached; in proportion it would be full at the load given here, at the latest",
    )


def _is_overloaded(level: Level) -> bool:
    point = level.points[0]
    if level.saturated or point.load == "throughput":
        return True
    # Of a short window the requests that end after it are missing from its rate: only records can tell.
    if point.rate is None or point.records is None:
        return False
    missing = 1.0 - level.requests_per_s / (level.rate_of("sent_per_s") or point.rate)
    # What was under way at the window's ends differs by chance, about as the root of the requests does.
    return missing > max(1.0 - _DELIVERED, 3.0 / math.sqrt(max(level.requests or 0, 1)))


def _flattens(levels: Sequence[Level]) -> Level | None:
    """The first closed loop with a quarter more streams than the one below, and hardly more answers."""
    loops = sorted(
        (level for level in levels if level.points[0].concurrency),
        key=lambda level: level.points[0].concurrency or 0,
    )
    for lower, upper in itertools.pairwise(loops):
        more = (upper.points[0].concurrency or 0) >= 1.25 * (lower.points[0].concurrency or 0)
        if more and upper.requests_per_s < (1 + _FLAT) * lower.requests_per_s:
            return upper
    return None


def _interval(level: Level) -> tuple[float | None, float | None]:
    rates = [rate for point in level.points if (rate := point.requests_per_s) is not None]
    if len(rates) < 3:
        rates = _batch_rates(level)
    if len(rates) < 3:
        return None, None
    half = float(student.ppf(0.975, len(rates) - 1) * np.std(rates, ddof=1) / math.sqrt(len(rates)))
    # The batches' mean differs from the rate of the whole by rounding at the edges: the width is theirs.
    return level.requests_per_s - half, level.requests_per_s + half


def _batch_rates(level: Level) -> list[float]:
    """Rates of answers in ten equal parts of a point's window."""
    records = level.points[0].records
    window = (records.manifest.get("load") or {}).get("window") if records is not None else None
    if records is None or not window:
        return []
    table = records.requests
    ends: NDArray[np.float64] = table.loc[table["outcome"] == "ok", "end_ns"].to_numpy(dtype=np.float64)
    counts, edges = np.histogram(ends, bins=_BATCHES, range=(window["start_ns"], window["end_ns"]))
    if counts.sum() < 5 * _BATCHES:
        return []
    return [float(rate) for rate in counts / ((edges[1] - edges[0]) / 1e9)]
