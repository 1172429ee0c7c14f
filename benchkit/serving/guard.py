"""Stands between a server and whoever started it, so that no way of dying leaves the server behind.

Run by path with nothing but the standard library: ``python -I -S guard.py '{"owner": 123}' COMMAND …``. It
leads the process group in which the server runs, ends it when its owner is gone or its time is up, and exits
with the server's exit code.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from types import FrameType

GRACE_S = 10.0
"""From SIGTERM to SIGKILL."""
_POLL_S = 0.5
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


def _die_with_guard() -> None:
    """Runs in the server before its program: SIGTERM to it should even the guard be killed (Linux)."""
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))


class _Server:
    """The server's process, and all that it leaves to its guard when it dies before them."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, close_fds=False, preexec_fn=_die_with_guard)  # noqa: PLW1509
        self.exit_code: int | None = None

    def has_ended(self) -> bool:
        """Reaps every child that has ended, orphans of the server too; whether the server is among them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == self._process.pid:
                code = os.waitstatus_to_exitcode(status)
                self.exit_code = self._process.returncode = code if code >= 0 else 128 - code
        return self.exit_code is not None


def _others_in_group() -> bool:
    """Whether the group has living processes besides this one; ``False`` where /proc is not there to ask."""
    own, group = os.getpid(), os.getpgrp()
    try:
        entries = [name for name in os.listdir("/proc") if name.isdigit() and int(name) != own]  # noqa: PTH208
    except OSError:
        return False
    for entry in entries:
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:  # noqa: PTH123 - starts faster without pathlib
                state, _, member_of = file.read().rpartition(b")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(member_of) == group and state not in (b"Z", b"X"):
            return True
    return False


def main(arguments: list[str]) -> int:
    """Runs a command and watches over it."""
    spec = json.loads(arguments[0])
    owner = spec.get("owner", 0)
    stop_after_s = spec.get("stop_after_s", 0)
    asked_to_stop = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal asked_to_stop
        del frame
        if number != signal.SIGCHLD:
            asked_to_stop = True

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, on_signal)
    started = time.monotonic()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        server = _Server(arguments[1:])
    except OSError as error:
        print(f"guard: cannot start {arguments[1]}: {error.strerror}", flush=True)
        return 127
    for inherited in spec.get("close_fds", []):
        os.close(inherited)
    while not server.has_ended() and not asked_to_stop:
        if owner and os.getppid() != owner:
            print(f"guard: process {owner} that started the server is gone; the server ends", flush=True)
            break
        remaining_s = started + stop_after_s - time.monotonic() if stop_after_s else _POLL_S
        if remaining_s <= 0:
            print(f"guard: the server has had its {stop_after_s} s; it ends", flush=True)
            break
        if select.select([reading], [], [], min(_POLL_S, remaining_s))[0]:
            os.read(reading, 4096)
    return _end(server)


def _end(server: _Server) -> int:
    """Ends what is left of the group: SIGTERM, then SIGKILL for the whole of it, this process included."""
    if not server.has_ended() or _others_in_group():
        os.killpg(os.getpgrp(), signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        while not server.has_ended() or _others_in_group():
            if time.monotonic() > deadline:
                print("guard: the server did not end in time; it is killed", flush=True)
                os.killpg(os.getpgrp(), signal.SIGKILL)
            time.sleep(0.02)
    return server.exit_code or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
