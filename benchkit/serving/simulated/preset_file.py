"""Preset files: the settings of an embedded server that behaves like a measured one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchkit.errors import InvalidParameter

_KIND = "benchkit-preset"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class PresetFile:
    """What a preset file says."""

    name: str
    settings: Mapping[str, Any]
    """Settings of the embedded server by name."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Where the settings come from and how sure they are; for readers."""


def read_preset(path: Path) -> PresetFile:
    """Reads a preset file; whether its settings exist is checked by who uses them.

    Raises:
        InvalidParameter: There is no such file, or it is something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidParameter(f"preset {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"preset {path} is no YAML: {error}") from None
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise InvalidParameter(
            f"preset {path} is no preset file: it must say 'kind: {_KIND}'; make one by `benchkit calibrate`"
        )
    if content.get("version") != _VERSION:
        raise InvalidParameter(
            f"preset {path} has version {content.get('version')!r}; this benchkit reads {_VERSION}"
        )
    settings, about = content.get("settings"), content.get("about") or {}
    if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
        raise InvalidParameter(f"preset {path} has no mapping 'settings'")
    return PresetFile(
        str(content.get("name") or path.stem), settings, about if isinstance(about, dict) else {}
    )


def write_preset(path: Path, preset: PresetFile) -> None:
    """Writes a preset file.

    Raises:
        InvalidParameter: It cannot be written there.
    """
    content = {"kind": _KIND, "version": _VERSION, "name": preset.name, "about": dict(preset.about),
               "settings": dict(preset.settings)}  # fmt: skip
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidParameter(f"the preset cannot be written to {path}: {error.strerror}") from None
