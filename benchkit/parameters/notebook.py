"""Parameters of a notebook: which names its cells assign, and their values now.

A kernel knows its cells only as the texts that were run, without tags or identity, and a cell that was edited
and run again stands there twice. What holds for those texts:

* A cell is *injected* when its first line is ``# Parameters``: papermill writes that line above what ``-p``
  and ``-f`` gave. The latest one counts, and every name in it must be known.
* A cell is a *parameters cell* when at least half of the names that it assigns are known, and it does nothing
  else, or assigns three known names at least. One that assigns half of an earlier one's known names is its
  edited version and replaces it; others add to it, as when someone tries ``rate = 20`` further down. In the
  one with the most known names every name must be known.
* Every other cell is the user's own, and its variables are nobody's business.

Values come from the namespace, so the cell that ran last wins.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from benchkit.errors import InvalidParameter
from benchkit.parameters.model import ParameterGroup, RunParameters
from benchkit.parameters.resolve import resolve, unknown

M = TypeVar("M", bound=ParameterGroup)

_INJECTED = "# Parameters"


def from_notebook(namespace: Mapping[str, Any], model: type[M] = RunParameters) -> M:  # type: ignore[assignment]
    """The parameters that a notebook's cells have set, checked; works in JupyterLab and under papermill.

    Args:
        namespace: the notebook's ``globals()``. Where no kernel keeps the cells (a notebook that was turned
        into a
            script), all names of it that are parameters count.
        model: which group of parameters the notebook takes.

    Raises:
        UnknownParameter: the parameters cell or papermill's ``-p`` sets a name that the group does not have.
        InvalidParameter: a value is wrong, or no parameters cell has run.
        ParameterConflict: values that make no sense together.
        ObjectiveSyntaxError: an objective that does not parse.
    """
    cells = namespace.get("In")
    if not isinstance(cells, list):
        return resolve({name: namespace[name] for name in model.model_fields if name in namespace}, model)
    names = _assigned_parameters(cells, model)
    return resolve({name: namespace[name] for name in names if name in namespace}, model)


@dataclass(frozen=True, slots=True)
class _Cell:
    names: tuple[str, ...]
    """What it assigns at top level, in order."""
    known: frozenset[str]
    injected: bool


def _assigned_parameters(texts: Iterable[str], model: type[ParameterGroup]) -> list[str]:
    """Names that the parameters cells assign, once each, after refusing unknown ones."""
    own: list[_Cell] = []
    injected: _Cell | None = None
    for text in texts:
        cell = _read(text, model)
        if cell is None:
            continue
        if cell.injected:
            injected = cell
        else:
            own = [earlier for earlier in own if not _replaces(cell, earlier)] + [cell]
    main = max(own, key=lambda cell: len(cell.known), default=None)
    checked = [cell for cell in (main, injected) if cell is not None]
    if not checked:
        raise InvalidParameter(
            f"no parameters cell of {model.asked_by} has run yet: "
            "run the cell with the parameters (tagged 'parameters') first, then this one"
        )
    for cell in checked:
        for name in cell.names:
            if name not in model.model_fields:
                raise unknown(name, model)
    every = [*own, injected] if injected else own
    return list(dict.fromkeys(name for cell in every for name in cell.names if name in cell.known))


def _read(text: str, model: type[ParameterGroup]) -> _Cell | None:
    """What a cell's text assigns, if it is a parameters cell of either kind."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return None
    names = tuple(dict.fromkeys(name for statement in body for name in _targets(statement)))
    known = frozenset(names) & frozenset(model.model_fields)
    injected = text.lstrip().split("\n", 1)[0].rstrip() == _INJECTED
    if injected:
        return _Cell(names, known, injected=True)
    if not known or 2 * len(known) < len(names):
        return None
    return _Cell(names, known, injected=False) if len(known) >= 3 or _is_plain(body) else None


def _targets(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
        return [statement.target.id]
    return []


def _is_plain(body: list[ast.stmt]) -> bool:
    """Whether a cell does nothing but assign values that need no work."""
    work = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
    return all(_targets(statement) for statement in body) and not any(
        isinstance(node, work) for statement in body for node in ast.walk(statement)
    )


def _replaces(later: _Cell, earlier: _Cell) -> bool:
    return 2 * len(later.known & earlier.known) >= len(earlier.known)
