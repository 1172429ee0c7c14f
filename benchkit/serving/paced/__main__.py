"""``python -m benchkit.serving.paced``: the paced server as a process."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import socket
import sys
from collections.abc import Sequence

from benchkit.serving.paced.app import App
from benchkit.serving.paced.pace import Fixed, InTurn, Pace, Stage
from benchkit.serving.simulated.http_server import Connection
from benchkit.serving.simulated.listening import BACKLOG, listening_socket


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="benchkit.serving.paced", description=__doc__)
    made.add_argument("--listen-fd", type=int, default=-1, help="serve on this inherited listening socket")
    made.add_argument("--port", type=int, default=0, help="0 = a free one; it is printed")
    made.add_argument("--ttft-ms", type=float, default=50.0, help="from arrival to the first token")
    made.add_argument("--gap-ms", type=float, default=20.0, help="between the tokens of an answer")
    made.add_argument("--answer-tokens", type=int, default=200, help="where a request asks for no number")
    made.add_argument(
        "--stages", default="", help="in place of both: TOKENS_PER_S:SECONDS,… over all streams"
    )
    made.add_argument("--ramp-s", type=float, default=0.0, help="before the first stage")
    made.add_argument("--bursts", action="store_true", help="all streams at once, as an engine's steps")
    return made


async def serve(listener: socket.socket, pace: Pace, answer_tokens: int) -> None:
    """Serves until SIGTERM or SIGINT; streams under way are then cut."""
    loop = asyncio.get_running_loop()
    app = App(pace, loop, answer_tokens)
    connections: set[Connection] = set()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(
        lambda: Connection(app.handle, connections), sock=listener, backlog=BACKLOG
    )
    print(json.dumps({"event": "listening", "port": listener.getsockname()[1]}), flush=True)
    gc.collect()
    gc.freeze()
    gc.disable()
    await stop.wait()
    server.close()
    for connection in tuple(connections):
        connection.cut()
    app.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server; gives the exit code."""
    options = parser().parse_args(arguments)
    pace: Pace = Fixed(options.ttft_ms, options.gap_ms)
    if options.stages:
        stages = [Stage(*map(float, stage.split(":"))) for stage in options.stages.split(",")]
        pace = InTurn(stages, options.ramp_s, bursts=options.bursts)
    given = options.listen_fd
    listener = socket.socket(fileno=given) if given >= 0 else listening_socket("127.0.0.1", options.port)
    listener.setblocking(False)
    coroutine = serve(listener, pace, options.answer_tokens)
    try:
        import uvloop
    except ImportError:
        asyncio.run(coroutine)
    else:
        uvloop.run(coroutine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
