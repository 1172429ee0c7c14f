"""The gate: values from anywhere become a complete, typed set of parameters, or one error that helps."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from benchkit.errors import InvalidParameter, UnknownParameter
from benchkit.parameters.ab import AbParameters
from benchkit.parameters.capacity import CapacityParameters
from benchkit.parameters.compare import CompareParameters
from benchkit.parameters.model import ParameterGroup, RunParameters, ServingParameters
from benchkit.parameters.selftest import SelftestParameters
from benchkit.parameters.sweep import SweepParameters

M = TypeVar("M", bound=ParameterGroup)

MODELS: tuple[type[ParameterGroup], ...] = (
    RunParameters,
    ServingParameters,
    SweepParameters,
    CapacityParameters,
    AbParameters,
    CompareParameters,
    SelftestParameters,
)

_ELSEWHERE = {
    "request_rate": "rate",
    "qps": "rate",
    "rps": "rate",
    "rate_type": "load",
    "profile": "load",
    "max_concurrency": "concurrency",
    "num_prompts": "requests",
    "num_requests": "requests",
    "request_count": "requests",
    "max_requests": "requests",
    "max_seconds": "duration_s",
    "duration": "duration_s",
    "warmup": "warmup_s",
    "timeout": "timeout_s",
    "base_url": "url",
    "target": "url",
    "server": "url",
    "api_key": "api_key_env",
    "input_len": "input_tokens",
    "random_input_len": "input_tokens",
    "prompt_tokens": "input_tokens",
    "output_len": "output_tokens",
    "random_output_len": "output_tokens",
    "max_tokens": "output_tokens",
    "random_prefix_len": "prefix_tokens",
    "goodput": "slo",
    "slos": "slo",
    "random_seed": "seed",
    "output": "out",
    "output_dir": "out",
}
"""What other tools call it: a hint for the message only, never an alias."""

_SECRET = frozenset({"headers", "extra_body", "api_key_env", "url", "url_b", "server_args", "server_args_b"})
"""Values that a message does not repeat, since they may hold a secret."""

_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a mapping of names to values",
    tuple: "a list of texts",
}
_LIMITS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def resolve(values: Mapping[str, Any], model: type[M] = RunParameters) -> M:  # type: ignore[assignment]
    """The full set of parameters that some values ask for, defaults for the rest.

    Args:
        values: by the names of the vocabulary. An int may stand for a float, a text for a list of one
        objective,
            and ``[…]`` or ``{…}`` in a text for what it says in YAML; nothing else is converted.
        model: which group of parameters.

    Raises:
        UnknownParameter: a name that the group does not have; says the nearest that it has.
        InvalidParameter: a value of the wrong type or out of its limits.
        ParameterConflict: values that make no sense together.
        ObjectiveSyntaxError: an objective that does not parse.
    """
    for name in values:
        if name not in model.model_fields:
            raise unknown(name, model)
    try:
        return model(**values)
    except ValidationError as error:
        raise as_invalid(error.errors(include_url=False)[0], model) from None


def unknown(name: str, model: type[ParameterGroup]) -> UnknownParameter:
    """The error for a name that a group does not have, with the nearest that it has."""
    message = f"{name!r} is not a parameter of {model.asked_by}"
    others = [other for other in MODELS if other is not model and name in other.model_fields]
    if others:
        return UnknownParameter(f"{message}; it belongs to {others[0].asked_by}")
    nearest = _nearest(name, model)
    hint = f"; did you mean {nearest!r}?" if nearest else f"; it has: {', '.join(model.model_fields)}"
    return UnknownParameter(message + hint)


def _nearest(name: str, model: type[ParameterGroup]) -> str | None:
    known = {field: field for field in model.model_fields}
    known |= {other: ours for other, ours in _ELSEWHERE.items() if ours in model.model_fields}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    return known[close[0]] if close else None


def as_invalid(detail: ErrorDetails, model: type[ParameterGroup]) -> InvalidParameter:
    """One of pydantic's errors in benchkit's words."""
    name = str(detail["loc"][0])
    inside = "".join(f"[{part!r}]" for part in detail["loc"][1:] if part != "[key]")
    field = model.model_fields[name]
    wanted, hint = _wanted(detail, field.annotation, nested=bool(inside))
    given = _shown(detail["input"], secret=name in _SECRET)
    return InvalidParameter(
        f"'{name}'{inside} must be {wanted}, not {given}{hint}. {name}: {field.description}"
    )


def _wanted(detail: ErrorDetails, annotation: Any, *, nested: bool) -> tuple[str, str]:
    """What the value must be, and a hint for what may have been meant."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"{words} {context[key]:g}", ""
    if kind == "value_error":
        return str(context["error"]), ""
    if kind == "string_too_short":
        return "text that is not empty", ""
    if get_origin(annotation) is Literal:
        options = [str(option) for option in get_args(annotation)]
        close = difflib.get_close_matches(str(detail["input"]), options, n=1)
        return f"one of {', '.join(map(repr, options))}", f"; did you mean {close[0]!r}?" if close else ""
    if kind == "finite_number":
        return "a finite number", ""
    plain = str if nested else (get_origin(annotation) or annotation)
    return _KINDS.get(plain, detail["msg"].lower()), ""


def _shown(value: Any, *, secret: bool) -> str:
    kinds = {str: "text", bool: "true or false", int: "a whole number", float: "a number", dict: "a mapping"}
    kind = "empty" if value is None else kinds.get(type(value), f"a {type(value).__name__}")
    if secret or value is None:
        return f"this {kind}" if kind == "text" else kind
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '…'} ({kind})"
