"""The line that tells how far a run is."""

from __future__ import annotations

import io

from benchkit.load.launch import Progress
from benchkit.report.live import Live, line


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
