"""State files of managed servers: what runs where, so that another process can find and stop it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

STATE_DIR_VARIABLE = "BENCHKIT_STATE_DIR"
LOGS_KEPT_S = 7 * 86_400.0
_CREATE_TIME_TOLERANCE_S = 1.0


@dataclass(frozen=True, slots=True)
class ServerState:
    """A managed server, as its state file has it."""

    name: str
    backend: Literal["simulated", "vllm"]
    served_model: str
    url: str
    port: int
    pid: int
    """Of the guard, which leads the server's session and process group."""
    create_time: float
    """When that process began (s since the epoch): a recycled pid is recognised by it."""
    process_group: int
    command: tuple[str, ...]
    """Secrets in it are replaced."""
    log: str
    """Path of the log file."""
    mode: Literal["owned", "detached"]
    stop_after_s: float
    """0 = it does not stop by itself."""

    def is_alive(self) -> bool:
        """Whether that very process still runs."""
        try:
            process = psutil.Process(self.pid)
            return (
                abs(process.create_time() - self.create_time) < _CREATE_TIME_TOLERANCE_S
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.Error:
            return False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ServerState:
        """Reads what ``as_dict`` gave."""
        return cls(**{**values, "command": tuple(values["command"])})


def state_dir() -> Path:
    """The folder of state files and logs: ``BENCHKIT_STATE_DIR``, else the user's; made if need be."""
    chosen = os.environ.get(STATE_DIR_VARIABLE)
    if chosen:
        folder = Path(chosen)
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Application Support" / "benchkit" / "servers"
    else:
        base = os.environ.get("XDG_STATE_HOME")
        folder = (Path(base) if base else Path.home() / ".local" / "state") / "benchkit" / "servers"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def write_state(state: ServerState) -> None:
    """Writes a server's state file atomically."""
    path = state_dir() / f"{state.name}.json"
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(state.as_dict(), indent=1), encoding="utf-8")
    draft.replace(path)


def remove_state(state: ServerState) -> None:
    """Removes a server's state file, unless a newer server has taken its name."""
    path = state_dir() / f"{state.name}.json"
    stored = _read(path)
    if stored is None or (stored.pid, stored.create_time) == (state.pid, state.create_time):
        path.unlink(missing_ok=True)


def read_states() -> list[ServerState]:
    """All servers that live, by port; state files of others are removed, and logs that are old."""
    alive: list[ServerState] = []
    folder = state_dir()
    for path in folder.glob("*.json"):
        state = _read(path)
        if state is not None and state.is_alive():
            alive.append(state)
        else:
            path.unlink(missing_ok=True)
    used = {state.log for state in alive}
    oldest = time.time() - LOGS_KEPT_S
    for log in folder.glob("*.log"):
        with contextlib.suppress(OSError):
            if str(log) not in used and log.stat().st_mtime < oldest:
                log.unlink()
    return sorted(alive, key=lambda state: state.port)


def _read(path: Path) -> ServerState | None:
    try:
        return ServerState.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None
