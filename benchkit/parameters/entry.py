"""Between a parameter's value and the text that a person types for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from benchkit.parameters.fields import FieldFacts

_NUMBERS: dict[str, Callable[[str], Any]] = {"whole": int, "number": float}


def as_entry(value: Any, field: FieldFacts) -> str:
    """A value as it stands in a form: a list has a line for each item, a mapping a line for each name."""
    if field.kind == "list":
        return "\n".join(str(item) for item in value)
    if field.kind == "mapping":
        return "\n".join(f"{name}: {json.dumps(item, ensure_ascii=False)}" for name, item in value.items())
    return f"{value:g}" if field.kind == "number" and float(f"{value:g}") == value else str(value)


def from_entry(text: str, field: FieldFacts) -> Any:
    """The value that a text stands for, unchecked: what is no number stays text, for the model to refuse.

    An empty text is the default.
    """
    stripped = text.strip()
    if not stripped:
        return field.default
    if field.kind == "list":
        return _items(stripped, field)
    if field.kind == "mapping":
        return _mapping(stripped)
    return _number(stripped, field.kind) if field.kind in _NUMBERS else stripped


def _items(text: str, field: FieldFacts) -> Any:
    if text.startswith("["):
        return text
    items = [line.strip() for line in text.splitlines() if line.strip()]
    if field.of in _NUMBERS:
        return [_number(item.strip(), field.of) for line in items for item in line.split(",") if item.strip()]
    return items


def _mapping(text: str) -> Any:
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return dict(value) if isinstance(value, Mapping) else text


def _number(text: str, kind: str) -> Any:
    try:
        return _NUMBERS[kind](text.replace(",", "").replace("_", ""))
    except ValueError:
        return text
