"""Whether a load that is still under way can be believed so far: the client's checks, by the verdict's own table."""

from __future__ import annotations

from typing import NamedTuple

from benchkit.analysis.threshold import Level
from benchkit.analysis.thresholds import BY_NAME
from benchkit.load.progress import Progress


class SoFar(NamedTuple):
    """The verdict as it forms."""

    verdict: Level | None
    """The worst level; None while nothing speaks against the load."""
    reasons: tuple[str, ...]
    """In words, the worst first."""


def so_far(progress: Progress) -> SoFar:
    """Judges what is known while load is sent; what needs all records is judged at the end."""
    found = []
    for name, value in _known(progress).items():
        threshold = BY_NAME[name]
        level = threshold.level(value) if value is not None else None
        if level is not None and value is not None:
            found.append((level, f"{threshold.means}: {value:.3g} {threshold.unit}; {threshold.remedy}"))
    found.sort(key=lambda each: each[0] != "invalid")
    return SoFar(found[0][0] if found else None, tuple(text for _, text in found))


def _known(progress: Progress) -> dict[str, float | None]:
    return {
        "lateness_max": progress.late_max_ms,
        "pickup_lag_p99": progress.pickup_lag_p99_ms,
        "pickup_lag_max": progress.pickup_lag_max_ms,
        "loop_gap_max": progress.loop_gap_max_ms,
        "worker_cpu": progress.cpu_share,
        "shared_stamps": progress.shared_share,
        "failures": progress.failed / progress.answered if progress.answered else None,
        "shed": progress.shed / progress.answered if progress.answered else None,
    }
