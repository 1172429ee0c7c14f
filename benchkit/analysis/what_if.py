"""What if: other objectives, targets, prices or safety, recomputed from stored points without a new run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final

from benchkit.analysis.capacity import Ask, CapacityAnswer, answer_of
from benchkit.analysis.carried import carried
from benchkit.analysis.points import LoadPoint
from benchkit.errors import InvalidParameter
from benchkit.objectives import expand, parse, singles

_OF_A_RUN: Final = frozenset(
    {"input_tokens", "output_tokens", "input_tokens_spread", "output_tokens_spread", "prefix_tokens", "model"}
    | {"rate", "concurrency", "load", "burstiness", "server_args", "preset", "served_model", "temperature"}
)
_CHANGEABLE: Final = tuple(field.name for field in fields(Ask))


def what_if(answer: CapacityAnswer, **changes: Any) -> CapacityAnswer:
    """The answer to the same question with some of it changed, from the same points.

    Args:
        answer: what was found before.
        changes: ``slo`` (a text or several), or any field of ``Ask`` by name: ``target_rps``, ``headroom``,
            ``price_per_hour``, ...

    Raises:
        InvalidParameter: the records cannot answer it: another kind of work, another server, a metric that they lack.
        ObjectiveSyntaxError: an objective that does not parse.
    """
    wanted = changes.pop("slo", None)
    _check_names(changes)
    if "target_rps" in changes and "target_users" not in changes:
        changes["target_users"] = 0
    if "target_users" in changes and "target_rps" not in changes:
        changes["target_rps"] = 0.0
    ask = replace(answer.ask, **changes)
    if wanted is None:
        return answer_of(answer.carried, ask)
    texts = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    objectives = [parse(text) for text in expand(texts)]
    points = answer.carried.points
    made = answer_of(carried(points, objectives, like=answer.carried), ask)
    _check_values(made, points)
    return made


def _check_names(changes: Mapping[str, Any]) -> None:
    for name in changes:
        if name in _OF_A_RUN:
            raise InvalidParameter(
                f"{name!r} was fixed when the load was measured: the records cannot tell what another value "
                "would have done; measure it, or ask the server's twin"
            )
        if name not in _CHANGEABLE:
            raise InvalidParameter(
                f"{name!r} is nothing that can be asked of stored records; there are: slo, {', '.join(_CHANGEABLE)}"
            )


def _check_values(made: CapacityAnswer, points: Sequence[LoadPoint]) -> None:
    levels = made.carried.levels
    for at, objective in enumerate(singles(made.carried.objectives)):
        if all(level.judged[at].unknown for level in levels):
            raise InvalidParameter(
                f"{str(objective)!r} cannot be answered from these records: none of the {len(points)} points has "
                "what it bounds"
            )
