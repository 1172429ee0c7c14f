"""What a check before the load can say: findings with their weight and their remedy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Finding", "Level", "plain"]


class Level(StrEnum):
    """How much a finding weighs."""

    OK = "ok"
    """As it should be."""
    NOTE = "note"
    """Worth knowing when the numbers are read."""
    WARNING = "warning"
    """Changes what some of the numbers mean."""
    FATAL = "fatal"
    """A run would measure nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what was seen."""

    level: Level
    name: str
    """What was looked at: reachable, model, stream, usage, …"""
    text: str
    """What was seen."""
    remedy: str = ""
    """What to do about it; empty when nothing needs to be done."""

    def as_dict(self) -> dict[str, Any]:
        """Give the fields as JSON values."""
        return asdict(self)


def plain(text: str, limit: int = 200) -> str:
    """Give a server's text for one line of a terminal: no control characters, at most ``limit`` long."""
    line = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(line.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
