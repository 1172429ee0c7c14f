"""``python -m benchkit.serving.simulated``: the embedded server as a process."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence

from benchkit import __version__
from benchkit.errors import BenchkitError
from benchkit.serving.simulated.app import App
from benchkit.serving.simulated.http_server import Connection
from benchkit.serving.simulated.listening import BACKLOG, listening_socket
from benchkit.serving.simulated.settings import VLLM_NAMES, Settings, settings_for


def parser() -> argparse.ArgumentParser:
    """The command line: a flag for each setting, also as vLLM writes it."""
    made = argparse.ArgumentParser(prog="benchkit.serving.simulated", description=__doc__)
    made.add_argument("--host", default="127.0.0.1", help="address to listen on")
    made.add_argument("--port", type=int, default=0, help="0 = a free one; it is printed")
    made.add_argument("--listen-fd", type=int, default=-1, help="serve on this inherited listening socket")
    made.add_argument("--preset", default="fixed", help="a preset's name, or the path of a preset file")
    made.add_argument("--api-key-env", default="", help="name of the variable with the key to ask for")
    for field in dataclasses.fields(Settings):
        names = [field.name, *(flag for flag, name in VLLM_NAMES.items() if name == field.name)]
        flags = ["--" + name.replace("_", "-") for name in names]
        if isinstance(field.default, bool):
            made.add_argument(*flags, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS)
        else:
            made.add_argument(*flags, type=type(field.default), default=argparse.SUPPRESS)
    return made


async def close_idle(connections: set[Connection], keep_alive_s: float) -> None:
    """Closes connections that have had nothing to do for ``keep_alive_s``; runs until it is cancelled."""
    while True:
        await asyncio.sleep(keep_alive_s / 4)
        for connection in tuple(connections):
            connection.close_if_idle(time.monotonic() - keep_alive_s)


async def serve(listener: socket.socket, settings: Settings, api_key: str) -> None:
    """Serves until SIGTERM or SIGINT; streams under way are then cut."""
    loop = asyncio.get_running_loop()
    app = App(settings, loop, version=__version__, api_key=api_key)
    connections: set[Connection] = set()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(
        lambda: Connection(app.handle, connections), sock=listener, backlog=BACKLOG
    )
    host, port = listener.getsockname()[:2]
    print(json.dumps({"event": "listening", "url": f"http://{host}:{port}", "port": port}), flush=True)
    gc.collect()
    gc.freeze()
    idle = (
        asyncio.create_task(close_idle(connections, settings.keep_alive_s)) if settings.keep_alive_s else None
    )
    await stop.wait()
    if idle is not None:
        idle.cancel()
    server.close()
    for connection in tuple(connections):
        connection.cut()
    app.pacer.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server; gives the exit code."""
    options = vars(parser().parse_args(arguments))
    host, port, listen_fd = options.pop("host"), options.pop("port"), options.pop("listen_fd")
    preset, api_key_env = options.pop("preset"), options.pop("api_key_env")
    if api_key_env and not os.environ.get(api_key_env):
        print(f"the environment has no variable {api_key_env} with an API key", file=sys.stderr)
        return 2
    try:
        settings = settings_for(preset, options)
        listener = socket.socket(fileno=listen_fd) if listen_fd >= 0 else listening_socket(host, port)
    except BenchkitError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"cannot listen on {host}:{port}: {error.strerror}", file=sys.stderr)
        return 1
    listener.setblocking(False)
    coroutine = serve(listener, settings, os.environ.get(api_key_env, "") if api_key_env else "")
    try:
        import uvloop
    except ImportError:
        asyncio.run(coroutine)
    else:
        uvloop.run(coroutine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
