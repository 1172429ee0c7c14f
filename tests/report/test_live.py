"""The line that tells how far a run is."""

from __future__ import annotations

import io

import pytest

from benchkit.experiments.sweep_progress import SweepProgress
from benchkit.load.launch import Progress
from benchkit.report import live as module
from benchkit.report.live import Live, SweepLive, line, point_line


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_says_what_happened_so_far() -> None:
    """Time, counts and rates, and trouble only where there is any."""
    progress = Progress(
        elapsed_s=12.3, total_s=33, sent=240, answered=230, in_flight=10, tokens_per_s=5120, ttft_ms=48.2
    )
    told = "12 of 33 s, 240 sent, 230 answered, 10 in flight, 5,120 tokens/s, TTFT 48 ms"
    assert line(progress) == told
    progress.failed = 3
    assert line(progress) == f"{told}, 3 failed"


def test_a_terminal_sees_one_line_that_is_rewritten() -> None:
    """A shorter line leaves nothing of a longer one, and closing begins a new one."""
    stream = _Terminal()
    live = Live(stream)
    live(Progress(elapsed_s=1, total_s=10, sent=1000))
    live(Progress(elapsed_s=2, total_s=10))
    live.close()
    first, second = stream.getvalue().strip("\r\n").split("\r")
    assert len(second) >= len(first)
    assert stream.getvalue().endswith("\n")


def test_a_file_gets_the_stages_only() -> None:
    """What is redirected is not filled with lines of progress."""
    stream = io.StringIO()
    live = Live(stream)
    live.stage("sending load")
    live(Progress(elapsed_s=1, total_s=10))
    live.close()
    assert stream.getvalue() == "sending load\n"


def test_a_sweeps_line_says_where_it_is_and_what_is_left() -> None:
    """The number of points and the time left are told only where they are known."""
    known = SweepProgress(point=3, points=10, label="4.1 requests/s", elapsed_s=70, left_s=190)
    assert point_line(known) == "point 3 of 10: 4.1 requests/s; 70 s so far, about 3 min left"
    searching = SweepProgress(point=3, points=0, label="32 streams", elapsed_s=7_300)
    assert point_line(searching) == "point 3: 32 streams; 2 h 02 min so far"


def test_a_file_gets_a_line_for_each_point_and_stage() -> None:
    """What is redirected tells of each point and of what happened in it, without lines of progress."""
    stream = io.StringIO()
    live = SweepLive(stream)
    live.point(SweepProgress(1, 2, "1 stream", 0, 60))
    live.stage("sending load")
    live(Progress(elapsed_s=1, total_s=10))
    live.point(SweepProgress(2, 2, "throughput", 30, 30))
    live.close()
    assert stream.getvalue().splitlines() == [
        "point 1 of 2: 1 stream; 0 s so far, about 60 s left",
        "  sending load",
        "point 2 of 2: throughput; 30 s so far, about 30 s left",
    ]


def test_a_notebook_sees_the_point_above_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """One output holds both lines and a bar; the time left runs down while the point is under way."""
    clock = iter([100.0, 100.0, 110.0])
    monkeypatch.setattr(module, "_in_notebook", lambda: True)
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    live, shown = SweepLive(io.StringIO()), []
    monkeypatch.setattr(live, "_update", lambda state: shown.append(state._repr_mimebundle_()))
    live.point(SweepProgress(1, 2, "<b>", 20, 80))
    live(Progress(elapsed_s=10, total_s=33, sent=3))
    assert shown[-1]["text/plain"].splitlines() == [
        "point 1 of 2: <b>; 30 s so far, about 70 s left",
        "10 of 33 s, 3 sent, 0 answered, 0 in flight",
    ]
    assert "&lt;b&gt;" in shown[-1]["text/html"]
    assert 'value="0.300"' in shown[-1]["text/html"]
