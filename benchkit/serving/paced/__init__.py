"""A paced server as light as Python allows, with a log of its own sends: what a client is held against.

The embedded server speaks vLLM's whole dialect and runs an engine; that is what its tokens cost. This one sends ready
bytes at times that are known before, so that on two cores it is the client that gives up first.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from benchkit.serving.paced.log import PacedLog
    from benchkit.serving.paced.pace import Stage
    from benchkit.serving.process import ServerProcess

MODEL = "paced"
"""The name under which it serves."""


class PacedServer:
    """A paced server that runs; a context manager that stops it at the end."""

    def __init__(self, process: ServerProcess) -> None:
        self._process = process

    @property
    def url(self) -> str:
        """Base URL, without ``/v1``."""
        return self._process.url

    @property
    def port(self) -> int:
        """Port on 127.0.0.1."""
        return self._process.port

    def log(self) -> PacedLog:
        """What it received and sent until now; it stands still while it answers this.

        Raises:
            TargetError: it is gone.
        """
        from benchkit.serving.paced.log import fetch

        return fetch(self.port)

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_stages(
    stages: Sequence[Stage], *, ramp_s: float, answer_tokens: int = 200, bursts: bool = False
) -> PacedServer:
    """A server that shares a total of tokens/s among its streams, in stages.

    Args:
        stages: one after the other, after the ramp; the last one stays.
        ramp_s: seconds from the first request on, at the pace of the first stage.
        answer_tokens: tokens of an answer that asks for no number.
        bursts: whether all streams get their tokens at once, as from an engine's steps; else evenly in turn.

    Raises:
        ServerStartError: it did not start.
    """
    pace = ",".join(f"{stage.tokens_per_s:g}:{stage.seconds:g}" for stage in stages)
    flags = ["--stages", pace, "--ramp-s", f"{ramp_s:g}", *(["--bursts"] if bursts else [])]
    return _start([*flags, "--answer-tokens", str(answer_tokens)])


def start_fixed(*, ttft_ms: float = 50.0, gap_ms: float = 20.0, answer_tokens: int = 200) -> PacedServer:
    """A server with the same times for every answer.

    Args:
        ttft_ms: from a request's arrival to its first token.
        gap_ms: between its tokens.
        answer_tokens: tokens of an answer that asks for no number.

    Raises:
        ServerStartError: it did not start.
    """
    flags = ["--ttft-ms", f"{ttft_ms:g}", "--gap-ms", f"{gap_ms:g}"]
    return _start([*flags, "--answer-tokens", str(answer_tokens)])


def _start(flags: list[str]) -> PacedServer:
    from benchkit.serving.process import launch
    from benchkit.serving.simulated.listening import listening_socket

    listener = listening_socket("127.0.0.1", 0)
    command = [sys.executable, "-m", "benchkit.serving.paced", "--listen-fd", str(listener.fileno()), *flags]
    return PacedServer(
        launch(
            command,
            backend="simulated",
            served_model=MODEL,
            port=listener.getsockname()[1],
            listener=listener,
        )
    )
