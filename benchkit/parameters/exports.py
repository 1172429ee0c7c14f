"""What repeats a set of parameters elsewhere: a file for ``params/``, a line for a shell, a cell for a notebook."""

from __future__ import annotations

import json
import shlex
import textwrap
from typing import Any

from benchkit.parameters.model import ParameterGroup, ServingParameters

_LINE = 110
_CALLS = {
    "run": ("import benchkit", "run = await benchkit.run_async", "run"),
    "sweep": ("import benchkit", "sweep = await benchkit.sweep_async", "sweep"),
    "serve": ("from benchkit import serving", "server = serving.start", "server"),
    "compare": ("import benchkit", "comparison = benchkit.compare", "comparison"),
    "capacity": (
        "from benchkit.report.capacity_report import capacity",
        "answer = capacity(dict",
        "answer",
    ),
}
"""Of each command that has one: the import, the call, and what is shown of it."""


def given(parameters: ParameterGroup) -> dict[str, Any]:
    """What differs from the defaults, as JSON values."""
    values: dict[str, Any] = parameters.model_dump(mode="json", exclude_defaults=True)
    return values


def as_yaml(parameters: ParameterGroup, purpose: str = "") -> str:
    """A file for ``params/``: a comment that says what it is for, and a line for each value that is not a default."""
    import yaml

    head = textwrap.fill(
        f"Purpose:  {purpose or 'made by the panel; say here what it is for.'}",
        118,
        initial_indent="# ",
        subsequent_indent="#           ",
    )
    notebook = f"# Notebook: notebooks/{parameters.asked_by}.ipynb"
    values = given(parameters)
    told = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100) if values else ""
    return f"{head}\n{notebook}\n\n{told or '# all parameters have their defaults' + chr(10)}"


def as_command(parameters: ParameterGroup) -> str:
    """The line of benchkit's own command."""
    words = ["benchkit", parameters.command]
    for name, value in given(parameters).items():
        words += ["-p", name, _word(value)]
    return _lines(words)


def as_papermill(parameters: ParameterGroup) -> str:
    """The line that executes the notebook in batch."""
    name = parameters.asked_by
    words = ["papermill", f"notebooks/{name}.ipynb", f"outputs/{name}.ipynb"]
    for parameter, value in given(parameters).items():
        # papermill reads what follows -p as a number or a truth value where it looks like one.
        raw = isinstance(value, str) and _looks_typed(value)
        words += ["-r" if raw else "-p", parameter, _word(value)]
    return _lines(words)


def as_cell(parameters: ParameterGroup) -> str:
    """A cell for a notebook, which does the same and shows the outcome."""
    first, call, shown = _CALLS[parameters.command]
    values = parameters.model_dump(exclude_defaults=True)
    if isinstance(parameters, ServingParameters):
        values.pop("twin", None)
    arguments = [f"{name}={_literal(value)}" for name, value in values.items()]
    end = ")" * (call.count("(") + 1)
    written = f"{call}({', '.join(arguments)}{end}"
    if len(written) > _LINE:
        written = f"{call}(\n" + "".join(f"    {argument},\n" for argument in arguments) + end
    return f"{first}\n\n{written}\n{shown}"


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value) if _is_nested(value) else str(value)


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | dict)


def _looks_typed(text: str) -> bool:
    if text in ("True", "False", "None"):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def _literal(value: Any) -> str:
    return repr(list(value)) if isinstance(value, tuple) else repr(value)


def _lines(words: list[str]) -> str:
    """Words as a shell takes them, broken before an option where a line would be long."""
    lines, line = [], ""
    at = 0
    while at < len(words):
        take = 3 if words[at] in ("-p", "-r") else 1
        part = " ".join(shlex.quote(word) for word in words[at : at + take])
        if line and len(line) + len(part) > _LINE:
            lines.append(line)
            line = ""
        line = f"{line} {part}" if line else part
        at += take
    return " \\\n  ".join([*lines, line])
