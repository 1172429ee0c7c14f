"""What a load is like while it is sent: progress, five charts of the last minutes, and the verdict as it forms."""

from __future__ import annotations

import time
from html import escape
from typing import Any

import ipywidgets as widgets

from benchkit.analysis.so_far import so_far
from benchkit.experiments.sweep_progress import SweepProgress
from benchkit.experiments.sweeping import SweepHooks
from benchkit.load.progress import Progress
from benchkit.report.live import line, point_line
from benchkit.widgets.strip import Strip


class LiveView(widgets.VBox):
    """Shows each ``Progress`` that it is told, about twice a second; it asks for nothing and keeps no records."""

    def __init__(self) -> None:
        self._strips = (
            Strip("requests in flight", ""),
            Strip("output", "tokens/s"),
            Strip("TTFT, last 5 s", "ms", ("p50", "p95")),
            Strip("ITL, last 5 s", "ms", ("p50", "p95")),
            Strip("latest send, last 5 s", "ms"),
        )
        self._stage = widgets.HTML()
        self._bar = widgets.HTML()
        self._charts = widgets.HTML()
        self._verdict = widgets.HTML()
        self._point: SweepProgress | None = None
        self._point_at_s = 0.0
        self._offset_s = 0.0
        self._last_s = 0.0
        super().__init__([self._stage, self._bar, self._charts, self._verdict])
        self.layout.display = "none"

    def begin(self) -> None:
        """Forgets the load before."""
        for strip in self._strips:
            strip.clear()
        self._point, self._offset_s, self._last_s = None, 0.0, 0.0
        for part in (self._stage, self._bar, self._charts, self._verdict):
            part.value = ""
        self.layout.display = ""

    def hooks(self) -> SweepHooks:
        """What tells this view."""
        return SweepHooks(on_stage=self.stage, on_progress=self.show, on_point=self.point)

    def stage(self, text: str) -> None:
        """A stage begins."""
        self._stage.value = f'<div class="bk-head" role="status">{escape(text)} …</div>'

    def end(self, text: str, kind: str) -> None:
        """It is over: how it ended, in words."""
        self._stage.value = f'<div class="bk-{escape(kind)}" role="status">{escape(text)}</div>'

    def point(self, progress: SweepProgress) -> None:
        """A point of a sweep begins."""
        self._point, self._point_at_s = progress, time.monotonic()

    def show(self, progress: Progress) -> None:
        """A load's state."""
        p = progress
        if p.elapsed_s < self._last_s:
            # Another load of the same measurement: its time goes on where the last one ended.
            self._offset_s += self._last_s
        self._last_s = p.elapsed_s
        at_s = self._offset_s + p.elapsed_s
        in_flight, tokens, ttft, gaps, late = self._strips
        in_flight.add(at_s, float(p.in_flight))
        tokens.add(at_s, p.tokens_per_s)
        ttft.add(at_s, p.ttft_p50_ms, p.ttft_p95_ms)
        gaps.add(at_s, p.gap_p50_ms, p.gap_p95_ms)
        late.add(at_s, p.late_max_ms)
        self._bar.value = self._bar_html(p)
        self._charts.value = f'<div class="bk-strips">{"".join(s.html() for s in self._strips)}</div>'
        self._verdict.value = _verdict_html(p)

    def _bar_html(self, p: Progress) -> str:
        told = [line(p)]
        share: float | None = None
        if self._point is not None:
            since_s = time.monotonic() - self._point_at_s
            left_s = None if self._point.left_s is None else max(self._point.left_s - since_s, 0.0)
            now = SweepProgress(
                self._point.point,
                self._point.points,
                self._point.label,
                self._point.elapsed_s + since_s,
                left_s,
            )
            told.insert(0, point_line(now))
            share = None if left_s is None else now.elapsed_s / max(now.elapsed_s + left_s, 1e-9)
        elif p.total_s:
            share = min(p.elapsed_s / p.total_s, 1.0)
            left_s = max(p.total_s - p.elapsed_s, 0.0)
            told.append(f"{left_s:.0f} s left" if left_s else "waiting for the last answers")
            if p.elapsed_s < p.warmup_s:
                told.append("warming up: not measured yet")
        bar = f'<progress value="{share:.3f}" max="1"></progress>' if share is not None else ""
        return f'{bar}<div class="bk-quiet">{"<br>".join(map(escape, told))}</div>'


def _verdict_html(progress: Progress) -> str:
    found = so_far(progress)
    if found.verdict is None:
        return '<div class="bk-state-good">so far nothing speaks against these numbers</div>'
    reasons = "".join(f"<li>{escape(text)}</li>" for text in found.reasons)
    return (
        f'<div class="bk-state-bad">so far: {escape(found.verdict)}</div><ul class="bk-quiet">{reasons}</ul>'
    )


def ended_as(state: Any, error: str, why: str, folder: str) -> tuple[str, str]:
    """How a measurement ended, in words, and their kind."""
    match str(state):
        case "done":
            return f"done: {folder}", "state-good"
        case "interrupted":
            kept = f"; what was measured is kept in {folder}" if folder else "; nothing had been measured yet"
            return f"ended early ({why}){kept}", "head"
        case _:
            return error, "error"
