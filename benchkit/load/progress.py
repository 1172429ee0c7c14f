"""How far a load is, what the last seconds were like, how the client behaved: what its processes tell, added up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchkit.load.live_numbers import LastSeconds

_EVERY_S = 0.4
_TOKENS_OVER_S = 1.0
_JUST_NOW_S = 0.6
_QUANTILES = (0.5, 0.95)


@dataclass(slots=True)
class Progress:
    """How far a load is; over all workers, warm-up included, unless it says otherwise.

    Waits are those of the last 5 s; what the client did is that of the window so far.
    """

    elapsed_s: float = 0.0
    warmup_s: float = 0.0
    total_s: float = 0.0
    """0 where the plan has no end in time."""
    sent: int = 0
    answered: int = 0
    failed: int = 0
    shed: int = 0
    in_flight: int = 0
    tokens: int = 0
    tokens_per_s: float | None = None
    ttft_ms: float | None = None
    """Median of what came since the last report alone."""
    ttft_p50_ms: float | None = None
    ttft_p95_ms: float | None = None
    gap_p50_ms: float | None = None
    """Of gaps between token-bearing events."""
    gap_p95_ms: float | None = None
    late_max_ms: float | None = None
    """The latest send, by the client's own fault."""
    pickup_lag_p99_ms: float | None = None
    pickup_lag_max_ms: float | None = None
    loop_gap_max_ms: float | None = None
    cpu_share: float | None = None
    """Of a core, the busiest worker's."""
    shared_share: float | None = None
    """Of the answers' events, those whose time is only known to lie before that of a later one."""


class ProgressKeeper:
    """Makes `Progress` of what the processes of a load tell.

    Args:
        warmup_s: the load's warm-up.
        total_s: warm-up and window.
        on_progress: called about twice a second.
    """

    def __init__(
        self, warmup_s: float, total_s: float, on_progress: Callable[[Progress], None] | None
    ) -> None:
        self.progress = Progress(warmup_s=warmup_s, total_s=total_s)
        self._on_progress = on_progress
        self._recent = LastSeconds()
        self._tokens_before: tuple[float, int] = (0.0, 0)

    def heard(self, at_s: float, live: Mapping[str, Any]) -> None:
        """Takes in a transcriber's line, `at_s` seconds after the load's start."""
        self._recent.add(at_s, live["recent"])

    def update(
        self, elapsed_s: float, workers: Iterable[Mapping[str, Any]], lives: Iterable[Mapping[str, Any]]
    ) -> None:
        """Brings the progress up to date, if it is old, and tells whoever listens.

        Args:
            elapsed_s: since the load's start.
            workers: the newest line of each worker.
            lives: the newest line of each transcriber.
        """
        progress = self.progress
        if elapsed_s - progress.elapsed_s < _EVERY_S:
            return
        progress.elapsed_s = elapsed_s
        workers, lives = list(workers), list(lives)
        for name in ("sent", "answered", "failed", "shed", "in_flight"):
            setattr(progress, name, sum(each.get(name, 0) for each in workers))
        progress.tokens = sum(each.get("tokens", 0) for each in lives)
        before_s, before = self._tokens_before
        if elapsed_s - before_s >= _TOKENS_OVER_S:
            progress.tokens_per_s = (progress.tokens - before) / (elapsed_s - before_s)
            self._tokens_before = (elapsed_s, progress.tokens)
        self._take_waits()
        self._take_conduct(lives)
        if self._on_progress is not None:
            self._on_progress(progress)

    def _take_waits(self) -> None:
        progress, recent = self.progress, self._recent
        just_now = recent.quantiles_ms("ttft", (0.5,), over_s=_JUST_NOW_S)
        progress.ttft_ms = just_now[0] if just_now else progress.ttft_ms
        progress.ttft_p50_ms, progress.ttft_p95_ms = recent.quantiles_ms("ttft", _QUANTILES) or (None, None)
        progress.gap_p50_ms, progress.gap_p95_ms = recent.quantiles_ms("gaps", _QUANTILES) or (None, None)
        progress.late_max_ms = recent.late_max_ms

    def _take_conduct(self, lives: list[Mapping[str, Any]]) -> None:
        progress = self.progress
        for name in ("pickup_lag_p99", "pickup_lag_max", "loop_gap_max"):
            worst_ns = max((each.get(f"{name}_ns") or 0 for each in lives), default=0)
            setattr(progress, f"{name}_ms", worst_ns / 1e6 if worst_ns else None)
        shares = [each["cpu_share"] for each in lives if each.get("cpu_share") is not None]
        progress.cpu_share = max(shares, default=None)
        events = sum(each.get("events", 0) for each in lives)
        shared = sum(each.get("shared_events", 0) for each in lives)
        progress.shared_share = shared / events if events else None
