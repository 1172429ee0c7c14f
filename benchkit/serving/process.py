"""Starts a server in a session of its own, waits until it is healthy, and stops all of it."""

from __future__ import annotations

import atexit
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import psutil

from benchkit.errors import ServerNotFound, ServerStartError
from benchkit.redaction import redact_arguments
from benchkit.serving import guard
from benchkit.serving.group import end_group
from benchkit.serving.state import ServerState, read_states, remove_state, state_dir, write_state

if TYPE_CHECKING:
    from benchkit.serving.startup import Startup

TAIL_LINES = 30
_HEALTH_TIMEOUT_S = 2.0
_LOCAL_HOST = "127.0.0.1"
_children: list[subprocess.Popen[bytes]] = []
"""Kept until they are waited for, so that those which end by themselves can be reaped."""


class ServerProcess:
    """A server that runs; a context manager that stops it at the end.

    Attributes:
        state: What its state file says.
        started: When it was asked for (s of the monotonic clock).
        process_s: Seconds from then until its process existed.
        healthy_s: Seconds from then until its first healthy answer.
        startup: The stages of its start, where they were measured.
    """

    def __init__(self, state: ServerState, process: subprocess.Popen[bytes] | None = None) -> None:
        self.state = state
        self.started = time.monotonic()
        self.process_s = 0.0
        self.healthy_s = 0.0
        self.startup: Startup | None = None
        self._process = process
        self._stopped = False

    @property
    def url(self) -> str:
        """Base URL, without ``/v1``."""
        return self.state.url

    @property
    def port(self) -> int:
        """Port on 127.0.0.1."""
        return self.state.port

    @property
    def pid(self) -> int:
        """Process id of the guard that leads the server's process group."""
        return self.state.pid

    @property
    def log_path(self) -> Path:
        """The log file."""
        return Path(self.state.log)

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the log."""
        return tail(self.log_path, lines)

    def is_alive(self) -> bool:
        """Whether the server's process runs."""
        if self._process is not None and self._process.poll() is not None:
            return False
        return self.state.is_alive()

    def stop(self, grace_s: float = guard.GRACE_S) -> None:
        """Ends the server's process group: SIGTERM, after ``grace_s`` SIGKILL; nothing if it has ended."""
        if self._stopped:
            return
        self._stopped = True
        atexit.unregister(self.stop)
        if self.is_alive():
            end_group(self.state.process_group, grace_s, self._process)
        if self._process is not None and self._process in _children:
            self._process.wait()
            _children.remove(self._process)
        remove_state(self.state)

    def wait_until_healthy(self, timeout_s: float) -> None:
        """Returns when ``/health`` answers 200.

        Raises:
            ServerStartError: The process died or the time is up; the server is stopped by then.
        """
        pause_s = 0.005
        while not answers_health(self.port):
            waited_s = time.monotonic() - self.started
            died = not self.is_alive()
            if died or waited_s > timeout_s:
                code = self._process.poll() if died and self._process is not None else None
                log = self.log_tail()
                self.stop()
                what = f"ended with exit code {code}" if died else f"was not healthy after {timeout_s:g} s"
                raise ServerStartError(
                    f"the {self.state.backend} server on port {self.port} {what}.\n"
                    f"Command: {' '.join(self.state.command)}\nEnd of its log ({self.log_path}):\n{log}"
                )
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 0.25)
        self.healthy_s = time.monotonic() - self.started

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<ServerProcess {self.state.name} {self.url} pid {self.pid} {self.state.mode}>"


def launch(
    command: Sequence[str],
    *,
    backend: Literal["simulated", "vllm"],
    served_model: str,
    port: int,
    listener: socket.socket | None = None,
    detached: bool = False,
    stop_after_s: float = 0,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
) -> ServerProcess:
    """Starts a command that serves on ``port`` of 127.0.0.1 and waits until it is healthy.

    Its output goes to a log file; it gets no signal of our terminal or notebook. *Owned* (the default), it
    ends with this process, however that ends; *detached*, it stays until it is stopped or ``stop_after_s`` is
    over.

    Args:
        command: The program and its arguments.
        backend: Kind of server, for the state file.
        served_model: Name of the model, for the state file.
        port: Where it will listen.
        listener: A listening socket for the command to inherit; it is closed here.
        detached: Whether it outlives this process.
        stop_after_s: Seconds from its start after which it ends by itself; 0 = never.
        environment: Variables on top of this process's own.
        timeout_s: How long it may take to become healthy.

    Raises:
        ServerStartError: It could not be started, died, or was not healthy in time.
    """
    started = time.monotonic()
    read_states()  # clears away what dead servers left
    name = f"{backend}-{port}"
    log = state_dir() / f"{name}.log"
    inherited = [listener.fileno()] if listener is not None else []
    spec = {"owner": 0 if detached else os.getpid(), "stop_after_s": stop_after_s, "close_fds": inherited}
    guarded = [sys.executable, "-I", "-S", guard.__file__, json.dumps(spec), *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            guarded,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=inherited,
            env={**os.environ, **(environment or {})},
        )
    process_s = time.monotonic() - started
    _children.append(process)
    if listener is not None:
        listener.close()
    state = ServerState(
        name=name,
        backend=backend,
        served_model=served_model,
        url=f"http://{_LOCAL_HOST}:{port}",
        port=port,
        pid=process.pid,
        create_time=_create_time(process.pid),
        process_group=process.pid,
        command=tuple(redact_arguments(list(command))),
        log=str(log),
        mode="detached" if detached else "owned",
        stop_after_s=stop_after_s,
    )
    write_state(state)
    server = ServerProcess(state, process)
    server.started = started
    server.process_s = process_s
    if not detached:
        atexit.register(server.stop)
    try:
        server.wait_until_healthy(timeout_s)
    except BaseException:
        server.stop()
        raise
    return server


def list_servers() -> list[ServerState]:
    """The managed servers that run, by port; what their dead left in the state folder is cleared away."""
    return read_states()


def find_server(which: str | int) -> ServerState:
    """The managed server with that name, port or process id.

    Raises:
        ServerNotFound: There is none.
    """
    servers = list_servers()
    for state in servers:
        if str(which) in (state.name, str(state.port), str(state.pid)):
            return state
    known = ", ".join(state.name for state in servers) or "none runs"
    raise ServerNotFound(f"no managed server has the name, port or process id {which!r}; there are: {known}")


def stop(which: str | int, grace_s: float = guard.GRACE_S) -> ServerState:
    """Stops a managed server, whoever started it, and gives what it was.

    Raises:
        ServerNotFound: There is none of that name, port or process id.
    """
    state = find_server(which)
    ServerProcess(state).stop(grace_s)
    return state


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((_LOCAL_HOST, 0))
        return int(probe.getsockname()[1])


def answers_health(port: int) -> bool:
    """Whether ``/health`` on that port answers 200."""
    connection = http.client.HTTPConnection(_LOCAL_HOST, port, timeout=_HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def tail(path: Path, lines: int) -> str:
    """The last lines of a file; "" where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(file.tell() - 65_536, 0))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _create_time(pid: int) -> float:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return time.time()
