"""Which loads two sides have in common, with the runs of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchkit.analysis.compared_run import ComparedRun
from benchkit.analysis.points import LoadPoint
from benchkit.errors import UnlikeRuns

Runs = tuple[ComparedRun, ...]


class MatchedLoad(NamedTuple):
    """One load and its runs on both sides."""

    base: Runs
    new: Runs

    @property
    def point(self) -> LoadPoint:
        """One of its points, to be named by."""
        return self.base[0].point


class Matched(NamedTuple):
    """The loads of two sides."""

    loads: tuple[MatchedLoad, ...]
    left_out: tuple[LoadPoint, ...]
    """A point of each load that only one side has."""
    by_key: bool
    """Whether loads were matched; else each side has one, which need not be the same."""


def match_loads(base: Sequence[ComparedRun], new: Sequence[ComparedRun]) -> Matched:
    """The runs of both sides, load by load; where each side has a single load, these two.

    Raises:
        UnlikeRuns: a side has several loads, and none of them is one of the other side.
    """
    ours, theirs = _by_load(base), _by_load(new)
    if len(ours) == len(theirs) == 1:
        return Matched((MatchedLoad(tuple(base), tuple(new)),), (), by_key=False)
    common = [key for key in ours if key in theirs]
    if not common:
        raise UnlikeRuns(
            f"the sides have no load in common: {len(ours)} on one, {len(theirs)} on the other; measure the "
            "same loads, or compare one load with one other by '--differs load'"
        )
    left = [runs[0].point for side in (ours, theirs) for key, runs in side.items() if key not in common]
    return Matched(tuple(MatchedLoad(ours[key], theirs[key]) for key in common), tuple(left), by_key=True)


def _by_load(runs: Sequence[ComparedRun]) -> dict[str, Runs]:
    found: dict[str, list[ComparedRun]] = {}
    for run in runs:
        found.setdefault(_key(run.point), []).append(run)
    return {key: tuple(each) for key, each in found.items()}


def _key(point: LoadPoint) -> str:
    rate = "" if point.rate is None else f"{point.rate:.4g}"
    return f"{sorted(point.cell.items())} {point.load} {rate} {point.concurrency}"
