"""The vocabulary as a page for people: ``python -m benchkit.parameters.describe > docs/parameters.md``."""

from __future__ import annotations

import json
from typing import Any, get_args

from pydantic_core import PydanticUndefined

from benchkit.parameters.ab import AbParameters
from benchkit.parameters.capacity import CapacityParameters
from benchkit.parameters.compare import CompareParameters
from benchkit.parameters.fields import Kind, kind_of
from benchkit.parameters.model import ParameterGroup, RunParameters, ServingParameters
from benchkit.parameters.selftest import SelftestParameters
from benchkit.parameters.sweep import SweepParameters

_KINDS: dict[Kind, str] = {
    "mapping": "mapping",
    "list": "list",
    "text": "text",
    "flag": "true or false",
    "whole": "whole number",
    "number": "number",
}

_INTRODUCTION = """# Parameters

One set of flat names, the same in a notebook's parameters cell, in `params/*.yaml`, behind `-p` on either command line
(`papermill … -p rate 8`, `benchkit run -p rate 8`), in a run's manifest and in `benchkit.run(rate=8.0)`. An unknown
name, a value of the wrong type and an impossible combination are errors that name the parameter and the remedy, before
anything is sent.
"""


def as_markdown() -> str:
    """All parameters with type, default and meaning, as a Markdown page."""
    parts = [
        _INTRODUCTION,
        _table("A run", "`run_benchmark.ipynb`, `benchkit run`, `benchkit.run`", RunParameters),
        _table("A server", "`serve_model.ipynb`, `benchkit serve`", ServingParameters),
        _table(
            "A sweep",
            "`sweep.ipynb`, `benchkit sweep`, `benchkit.sweep`: all of a run's but `load`, `rate`, `concurrency` and "
            "`burstiness`, which each point sets, and these:",
            SweepParameters,
            beyond=RunParameters,
        ),
        _table("A capacity analysis", "`capacity_analysis.ipynb`, `benchkit capacity`", CapacityParameters),
        _table(
            "Two settings, run by run",
            "`benchkit ab`: all of a run's (`repeats` stays 1) and these:",
            AbParameters,
            beyond=RunParameters,
        ),
        _table(
            "A comparison of measured runs",
            "`compare_runs.ipynb`, `benchkit compare`, `benchkit.compare`",
            CompareParameters,
        ),
        _table(
            "What this machine's client holds",
            "`client_accuracy.ipynb`, `benchkit selftest`",
            SelftestParameters,
        ),
    ]
    return "\n".join(parts)


def _table(
    title: str, where: str, group: type[ParameterGroup], beyond: type[ParameterGroup] = ParameterGroup
) -> str:
    lines = [f"## {title}", "", where, "", "| name | type | default | meaning |", "|---|---|---|---|"]
    for name, field in group.model_fields.items():
        if name in beyond.model_fields:
            continue
        default = field.get_default(call_default_factory=True)
        shown = "" if default is PydanticUndefined else f"`{json.dumps(default)}`"
        lines.append(f"| `{name}` | {_kind(field.annotation)} | {shown} | {field.description} |")
    return "\n".join([*lines, ""])


def _kind(annotation: Any) -> str:
    kind = kind_of(annotation)
    return _KINDS[kind] if kind != "choice" else ", ".join(f"`{value}`" for value in get_args(annotation))


if __name__ == "__main__":
    print(as_markdown(), end="")
