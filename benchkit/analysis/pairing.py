"""Which runs of two sides belong together, and why."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Literal, NamedTuple

from benchkit.analysis.compared_run import ComparedRun
from benchkit.errors import InvalidParameter

Asked = Literal["auto", "yes", "no"]
Runs = Sequence[ComparedRun]


class Pairing(NamedTuple):
    """Both sides in the order in which they are compared."""

    paired: bool
    why: str
    """Why they are pairs, or why not, in words."""
    base: tuple[ComparedRun, ...]
    new: tuple[ComparedRun, ...]


def pairing(base: Runs, new: Runs, asked: Asked = "auto") -> Pairing:
    """Pairs the runs of two sides where they share times and lengths.

    Args:
        base: runs of one load.
        new: runs of the same load.
        asked: auto = pairs where each run of a side has one partner of its own plan on the other; yes = pairs also by
            seed and repeat, or in the order given where no source tells of seeds; no = never.

    Raises:
        InvalidParameter: pairs are asked for, and there are none.
    """
    if asked == "no":
        return Pairing(False, "not paired, as asked", tuple(base), tuple(new))
    partners = _partners(base, new, lambda run: run.plan)
    if partners is not None:
        return Pairing(True, _by_plan(len(base)), tuple(base), partners)
    if asked == "yes":
        return _asked_for(base, new)
    return Pairing(False, _why_not(base, new), tuple(base), tuple(new))


def _asked_for(base: Runs, new: Runs) -> Pairing:
    partners = _partners(base, new, lambda run: run.order)
    if partners is not None:
        return Pairing(
            True, "paired by seed and repeat, as asked: their plans are not the same", tuple(base), partners
        )
    if len(base) != len(new):
        raise InvalidParameter(
            f"'paired' yes, but there are {len(base)} runs on one side and {len(new)} on the other"
        )
    if any(run.order is not None for run in [*base, *new]):
        raise InvalidParameter(
            "'paired' yes, but the runs have no partners of the same seed and repeat: measure pairs with "
            "`benchkit ab`, or leave 'paired' at auto"
        )
    return Pairing(True, "paired in the order in which they were given, as asked", tuple(base), tuple(new))


def _partners(
    base: Runs, new: Runs, key: Callable[[ComparedRun], Hashable | None]
) -> tuple[ComparedRun, ...] | None:
    """The runs of the new side in the order of their partners; None unless each run has exactly one."""
    found = {key(run): run for run in new}
    wanted = [key(run) for run in base]
    if (
        None in found
        or len(found) != len(new)
        or len(set(wanted)) != len(wanted)
        or set(wanted) != set(found)
    ):
        return None
    return tuple(found[each] for each in wanted)


def _by_plan(count: int) -> str:
    if count == 1:
        return "one pair of runs with the same times and lengths"
    return f"paired: {count} pairs with the same times and lengths in both runs, whose chance drops out"


def _why_not(base: Runs, new: Runs) -> str:
    plans = [run.plan for run in [*base, *new]]
    if None in plans:
        return "not paired: the sources do not say by which plan each run was drawn"
    if len(set(plans)) == 1:
        return (
            "not paired: all runs have the same times and lengths, so none belongs to one run of the other side more "
            "than to another; what is found holds for these times and lengths"
        )
    theirs = {run.plan for run in new}
    shared = sum(run.plan in theirs for run in base)
    return f"not paired: {shared} of {len(base)} runs have a partner with the same times and lengths"
