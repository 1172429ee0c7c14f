"""Turns paths of this machine into ones that may be shown: relative to the project, or below ``~``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchkit.records.project import project_root

__all__ = ["scrub_paths", "scrub_text"]

_ABSOLUTE = re.compile(
    r"(?<![\w.~/<>*-])(?:file://)?/([^\s/\"'`<>|;,:()\[\]{}]+)((?:/[^\s\"'`<>|;,:()\[\]{}]*)?)"
)


def scrub_paths(value: Any, root: Path | None = None) -> Any:
    """Give a JSON-like value in which no text holds an absolute path of this machine.

    Args:
        value: Mappings (keys too), sequences and scalars; anything else that is a path becomes text.
        root: The project's root; found from the working folder by default.
    """
    prefixes = _prefixes(root or project_root())
    return _scrub(value, prefixes)


def scrub_text(text: str, root: Path | None = None) -> str:
    """Give the text with its absolute paths made relative to the project, or to ``~``, or cut to their name.

    A path that lies elsewhere becomes ``.../name``. What only looks like a path (``/v1/models``) stays:
    a path is recognised by its first folder being one of this machine's.
    """
    return _scrub_text(text, _prefixes(root or project_root()))


def _prefixes(root: Path) -> list[tuple[re.Pattern[str], str, str]]:
    home = Path("~").expanduser()
    pairs = [(root, "", "."), (root.resolve(), "", "."), (home, "~/", "~"), (home.resolve(), "~/", "~")]
    return [
        (re.compile(rf"(?<![\w.~-])(?:file://)?{re.escape(str(path))}(/|(?![\w.-]))"), inner, alone)
        for path, inner, alone in pairs
        if path.is_absolute() and len(path.parts) > 1
    ]


def _scrub(value: Any, prefixes: list[tuple[re.Pattern[str], str, str]]) -> Any:
    if isinstance(value, Mapping):
        return {_scrub(key, prefixes): _scrub(item, prefixes) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_scrub(item, prefixes) for item in value]
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return _scrub_text(value, prefixes) if isinstance(value, str) and "/" in value else value


def _scrub_text(text: str, prefixes: list[tuple[re.Pattern[str], str, str]]) -> str:
    for pattern, inner, alone in prefixes:
        text = pattern.sub(partial(_below, inner, alone), text)
    return _ABSOLUTE.sub(_elsewhere, text)


def _below(inner: str, alone: str, match: re.Match[str]) -> str:
    return inner if match[1] else alone


def _elsewhere(match: re.Match[str]) -> str:
    if not Path("/", match[1]).is_dir():
        return match[0]
    return f".../{Path(match[1] + match[2]).name}"
