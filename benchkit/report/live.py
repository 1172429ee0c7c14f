"""Shows how far a run is: one line that changes in place, in a notebook, in batch and in a terminal."""

from __future__ import annotations

import sys
from html import escape
from typing import Any, TextIO

from benchkit.experiments.run import Hooks
from benchkit.load.launch import Progress


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
            text = line(progress)
            self._stream.write("\r" + text.ljust(self._width))
            self._stream.flush()
            self._width = len(text)

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

    def _update(self, shown: _Shown) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display(shown, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(shown)


class _Shown:
    """A state as a notebook stores it."""

    def __init__(self, text: str, share: float | None) -> None:
        self._text, self._share = text, share

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        bar = f'<progress value="{self._share:.3f}" max="1"></progress> ' if self._share is not None else ""
        return {"text/html": f"<div>{bar}{escape(self._text)}</div>", "text/plain": self._text}


def _share(progress: Progress) -> float | None:
    return min(progress.elapsed_s / progress.total_s, 1.0) if progress.total_s else None


def _in_notebook() -> bool:
    """Whether outputs go to a Jupyter kernel's front end."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
