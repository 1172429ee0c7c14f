"""How the number of servers moves with the target and with the objective: both varied, from the stored points alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from benchkit.analysis.capacity import Ask, Basis, answer_of
from benchkit.analysis.carried import Carried, carried
from benchkit.objectives import AttainmentObjective, RateObjective, Single

FACTORS_OF_TARGET: Final = (0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
FACTORS_OF_OBJECTIVE: Final = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


@dataclass(frozen=True, slots=True)
class Variation:
    """The servers for one target and one tightness of the objectives."""

    target_factor: float
    objective_factor: float
    """Of every bound in time: below 1 is stricter."""
    target: float
    """Requests/s, or people at once."""
    objectives: tuple[str, ...]
    servers: int | None
    """None where no measured load meets such objectives."""
    basis: Basis | None
    extrapolated: bool
    doubtful: bool
    """Whether too little was seen to rely on what it was counted with."""


def sensitivity(
    found: Carried,
    ask: Ask,
    *,
    of_target: Sequence[float] = FACTORS_OF_TARGET,
    of_objective: Sequence[float] = FACTORS_OF_OBJECTIVE,
) -> tuple[Variation, ...]:
    """The servers for each pair of factors: as estimated, or as measured where nothing can be estimated.

    Args:
        found: what one server carries under the objectives as they were asked.
        ask: with a target.
        of_target: factors of the target.
        of_objective: factors of the objectives' bounds, see ``scaled``.
    """
    variations = []
    for tightness in of_objective:
        varied = [scaled(each, tightness) for each in found.objectives]
        one_server = found if tightness == 1 else carried(found.points, varied, like=found)
        for growth in of_target:
            users = round(ask.target_users * growth)
            answer = answer_of(
                one_server, replace(ask, target_rps=ask.target_rps * growth, target_users=users)
            )
            option = answer.estimated or answer.measured
            variations.append(
                Variation(
                    target_factor=growth,
                    objective_factor=tightness,
                    target=ask.target_rps * growth or users,
                    objectives=tuple(each.text for each in varied),
                    servers=option.fleet.servers if option and option.fleet else None,
                    basis=option.basis if option else None,
                    extrapolated=option.extrapolated if option else False,
                    doubtful=option is not None and not option.resolved,
                )
            )
    return tuple(variations)


def scaled(objective: Single, factor: float) -> Single:
    """The objective with its bound in time multiplied; shares and rates stay, an attainment's terms are multiplied.

    Args:
        objective: a single one.
        factor: above 0; 0.5 asks for half the time.
    """
    if factor == 1 or isinstance(objective, RateObjective):
        return objective
    if isinstance(objective, AttainmentObjective):
        terms = tuple(
            replace(term, bound=term.bound * factor, per_token=term.per_token * factor)
            for term in objective.terms
        )
        return replace(objective, terms=terms, text=f"{objective.text} (times x {factor:g})")
    return replace(
        objective,
        bound=objective.bound * factor,
        per_token=objective.per_token * factor,
        text=f"{objective.text} (x {factor:g})",
    )
