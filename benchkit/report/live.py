"""Shows how far a run is: one line that changes in place, in a notebook, in batch and in a terminal."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import Any, TextIO

from benchkit.experiments.run import Hooks
from benchkit.experiments.sweep_progress import SweepProgress
from benchkit.load.progress import Progress


def line(progress: Progress) -> str:
    """One line of what has happened so far."""
    told = [
        f"{progress.elapsed_s:.0f} of {progress.total_s:.0f} s"
        if progress.total_s
        else f"{progress.elapsed_s:.0f} s"
    ]
    told += [
        f"{progress.sent:,} sent",
        f"{progress.answered:,} answered",
        f"{progress.in_flight:,} in flight",
    ]
    if progress.tokens_per_s is not None:
        told.append(f"{progress.tokens_per_s:,.0f} tokens/s")
    if progress.ttft_ms is not None:
        told.append(f"TTFT {progress.ttft_ms:,.0f} ms")
    told += [
        f"{count:,} {word}" for word, count in (("failed", progress.failed), ("shed", progress.shed)) if count
    ]
    return ", ".join(told)


def hooks() -> Hooks:
    """What to give to `benchkit.run_async` as `hooks` to see how far the run is."""
    live = Live()
    return Hooks(on_stage=live.stage, on_progress=live)


class Live:
    """Shows each `Progress` it is called with in the place of the one before; give it as `on_progress`.

    In a notebook it is one output that is updated, of which only the last state is saved. Elsewhere it is a
    line on `stream`, rewritten in a terminal; where nobody watches, only the stages are told.

    Args:
        stream: where the line goes outside a notebook; stderr when None.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._handle: Any = None
        self._in_notebook = _in_notebook()
        self._width = 0

    def __call__(self, progress: Progress) -> None:
        """Shows this state."""
        if self._in_notebook:
            self._update(_Shown(line(progress), _share(progress)))
        elif self._stream.isatty():
            self._rewrite(line(progress))

    def stage(self, text: str) -> None:
        """Shows that a stage begins, and keeps it apart from the line of a load that ran before."""
        if self._in_notebook:
            self._update(_Shown(text, None))
        else:
            self.close()
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def close(self) -> None:
        """Ends the line in a terminal, so that what is printed next begins on its own."""
        if self._width:
            self._stream.write("\n")
            self._width = 0

    def _rewrite(self, text: str) -> None:
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = len(text)

    def _update(self, shown: _Shown) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display(shown, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(shown)


class SweepLive(Live):
    """Shows which point of a sweep is under way, what is left, and below it how far the point's own run is.

    Give `point` as `on_point`, the object itself as `on_progress` and `stage` as `on_stage`. In a notebook and
    in a terminal the stages of a point change in place; a file gets a line for each point and each stage.

    Args:
        stream: where the lines go outside a notebook; stderr when None.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._point: SweepProgress | None = None
        self._told_at_s = 0.0

    def point(self, progress: SweepProgress) -> None:
        """Shows that a point begins."""
        self._point, self._told_at_s = progress, time.monotonic()
        if self._in_notebook:
            self._show("")
        else:
            super().stage(point_line(progress))

    def __call__(self, progress: Progress) -> None:
        """Shows this state of the point's run."""
        if self._in_notebook:
            self._show(line(progress))
        else:
            super().__call__(progress)

    def stage(self, text: str) -> None:
        """Shows that a stage of the point begins."""
        if self._in_notebook:
            self._show(text)
        elif self._stream.isatty():
            self._rewrite(f"  {text}")
        else:
            super().stage(f"  {text}")

    def _show(self, text: str) -> None:
        if self._point is None:
            self._update(_Shown(text, None))
            return
        now = _after(self._point, time.monotonic() - self._told_at_s)
        self._update(_Shown(point_line(now), _share_of_sweep(now), text))


def point_line(progress: SweepProgress) -> str:
    """One line of where a sweep is, and how long it will take."""
    of = f" of {progress.points}" if progress.points else ""
    told = f"point {progress.point}{of}: {progress.label}; {_span(progress.elapsed_s)} so far"
    return told if progress.left_s is None else f"{told}, about {_span(progress.left_s)} left"


class _Shown:
    """A state as a notebook stores it."""

    def __init__(self, text: str, share: float | None, below: str = "") -> None:
        self._text, self._share, self._below = text, share, below

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        bar = f'<progress value="{self._share:.3f}" max="1"></progress> ' if self._share is not None else ""
        lines = [self._text, self._below] if self._below else [self._text]
        return {
            "text/html": f"<div>{bar}{'<br>'.join(map(escape, lines))}</div>",
            "text/plain": "\n".join(lines),
        }


def _after(progress: SweepProgress, seconds: float) -> SweepProgress:
    """The same point so much later."""
    left_s = None if progress.left_s is None else max(progress.left_s - seconds, 0.0)
    return SweepProgress(
        progress.point, progress.points, progress.label, progress.elapsed_s + seconds, left_s
    )


def _share_of_sweep(progress: SweepProgress) -> float | None:
    if progress.left_s is None:
        return (progress.point - 1) / progress.points if progress.points else None
    return progress.elapsed_s / max(progress.elapsed_s + progress.left_s, 1e-9)


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def _share(progress: Progress) -> float | None:
    return min(progress.elapsed_s / progress.total_s, 1.0) if progress.total_s else None


def _in_notebook() -> bool:
    """Whether outputs go to a Jupyter kernel's front end."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
