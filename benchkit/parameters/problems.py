"""Everything that is wrong with some values, by the parameter that has to change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from benchkit.errors import ObjectiveSyntaxError, ParameterError
from benchkit.parameters.model import ParameterGroup
from benchkit.parameters.resolve import as_invalid, unknown

_NAMED = re.compile(r"'(\w+)'|\b(\w+) '")
"""A parameter as messages name it: 'rate', or as in load 'concurrent'."""


def problems(values: Mapping[str, Any], model: type[ParameterGroup]) -> dict[str, str]:
    """The model's own errors by name; empty where the values make a set of parameters.

    A contradiction between values stands at each parameter that its text names.
    """
    strange = {name: str(unknown(name, model)) for name in values if name not in model.model_fields}
    if strange:
        return strange
    try:
        model(**values)
    except ValidationError as error:
        details = error.errors(include_url=False)
        return {str(each["loc"][0]): str(as_invalid(each, model)) for each in reversed(details)}
    except ObjectiveSyntaxError as error:
        return {"slo": str(error)}
    except ParameterError as error:
        words = [one or other for one, other in _NAMED.findall(str(error))]
        named = [name for name in words if name in model.model_fields]
        return dict.fromkeys(named or list(values)[:1] or [next(iter(model.model_fields))], str(error))
    return {}
