"""What a form has to know of each parameter: kind, choices, limits, unit, help, and the section that it stands in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from benchkit.parameters.model import ParameterGroup

Kind = Literal["choice", "flag", "whole", "number", "text", "list", "mapping"]

_KINDS: dict[type, Kind] = {
    bool: "flag",
    int: "whole",
    float: "number",
    str: "text",
    tuple: "list",
    dict: "mapping",
}
_UNITS = {"_s": "s", "_ms": "ms", "_tokens": "tokens", "_rps": "requests/s", "_spread": "share"}


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """One parameter, as a form shows it."""

    name: str
    kind: Kind
    choices: tuple[str, ...]
    """Of the kind ``choice``, in order."""
    of: Kind
    """What a list holds; otherwise the kind itself."""
    default: Any
    unit: str
    """Empty where the value is a plain number or none."""
    limits: str
    """In words, as "above 0, at most 100"; empty where there are none."""
    help: str


@dataclass(frozen=True, slots=True)
class FieldSection:
    """Parameters that are about the same thing."""

    title: str
    fields: tuple[FieldFacts, ...]


def sections_of(model: type[ParameterGroup]) -> list[FieldSection]:
    """All parameters of a group by section, both in the group's own order; those that it only inherits are left out.

    A parameter belongs to the section that begins last before it, so a new one has a place by where it is declared.
    """
    by_title: dict[str, list[FieldFacts]] = {title: [] for title in model.sections.values()}
    title = next(iter(by_title), model.asked_by)
    for name, field in model.model_fields.items():
        title = model.sections.get(name, title)
        if name not in model.not_asked:
            by_title.setdefault(title, []).append(facts_of(name, field))
    return [FieldSection(title, tuple(fields)) for title, fields in by_title.items() if fields]


def facts_of(name: str, field: FieldInfo) -> FieldFacts:
    """What a form has to know of one parameter."""
    kind = kind_of(field.annotation)
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    unit = extra.get("unit") or next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")
    return FieldFacts(
        name=name,
        kind=kind,
        choices=tuple(map(str, get_args(field.annotation))) if kind == "choice" else (),
        of=kind_of(get_args(field.annotation)[0]) if kind == "list" else kind,
        default=field.get_default(call_default_factory=True),
        unit=str(unit),
        limits=_limits(field.metadata),
        help=field.description or "",
    )


def kind_of(annotation: Any) -> Kind:
    """The kind of a parameter of that type."""
    if get_origin(annotation) is Literal:
        return "choice"
    return _KINDS[get_origin(annotation) or annotation]


def _limits(metadata: Sequence[Any]) -> str:
    told = []
    for each in metadata:
        match each:
            case Gt():
                told.append(f"above {each.gt:,.10g}")
            case Ge():
                told.append(f"at least {each.ge:,.10g}")
            case Lt():
                told.append(f"below {each.lt:,.10g}")
            case Le():
                told.append(f"at most {each.le:,.10g}")
    return ", ".join(told)
