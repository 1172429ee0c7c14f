"""Where values come from outside a notebook: YAML files, and ``-p NAME VALUE`` on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchkit.errors import InvalidParameter
from benchkit.parameters.model import ParameterGroup, RunParameters


def load_file(path: str | Path) -> dict[str, Any]:
    """The values in a YAML file, not yet checked.

    Raises:
        InvalidParameter: no such file, no YAML, or no mapping of names to values.
    """
    import yaml

    file = Path(path)
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = sorted(p.name for p in file.parent.glob("*.y*ml")) if file.parent.is_dir() else []
        there = f"; {file.parent}/ has: {', '.join(near)}" if near else ""
        raise InvalidParameter(f"no parameters file at {file}{there}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"parameters file {file} could not be read: {error}") from None
    except yaml.YAMLError as error:
        raise InvalidParameter(f"parameters file {file} is not YAML: {_one_line(error)}") from None
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(name, str) for name in data):
        raise InvalidParameter(
            f"parameters file {file} must hold lines of 'name: value', not a {type(data).__name__}"
        )
    return data


def parse_assignments(
    pairs: Sequence[tuple[str, str]], model: type[ParameterGroup] = RunParameters
) -> dict[str, Any]:
    """Values of ``-p NAME VALUE`` pairs, typed as papermill types its own: the last of a name wins.

    ``True``, ``False``, ``None``, whole numbers and floats are read as such, all else is text. A parameter
    whose type is text takes the value as it is written, so ``-p name 42`` works. Names are not checked here.
    """
    return {name: value if _is_text(name, model) else _typed(value) for name, value in pairs}


def _typed(value: str) -> Any:
    constants: dict[str, Any] = {"True": True, "False": False, "None": None}
    if value in constants:
        return constants[value]
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _is_text(name: str, model: type[ParameterGroup]) -> bool:
    return name in model.model_fields and model.model_fields[name].annotation is str


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
