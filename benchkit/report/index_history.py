"""A service's history: the same work under the same load at several times, and where it changed.

A change is called one only where the 95 % intervals of two runs that follow each other have nothing in common. Where
intervals are as wide as they should be, chance alone does that to one number in 180 (two normal estimates of equal
spread: they must lie 2 x 1.96 standard errors apart, 2.77 of those of their difference).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from benchkit.analysis.compared_run import ComparedRun
from benchkit.analysis.manifest_differences import manifest_differences
from benchkit.analysis.points import point_of
from benchkit.report.index_entry import TRACKED, Entry, Number, Service, Tracked
from benchkit.report.index_reading import EMBEDDED

_NOT_OF_SERVICE: Final = ("url",)
"""What differs without meaning anything where the server is benchkit's own, at another port each time."""


class Jump(NamedTuple):
    """Two runs that follow each other and differ by more than their intervals."""

    before: Entry
    after: Entry
    changes: tuple[tuple[Tracked, Number, Number], ...]
    differences: tuple[str, ...]
    """What was measured differently, as ``version: 0.10 → 0.11``; not escaped."""


class History(NamedTuple):
    """A service under one load."""

    service: Service
    load: str
    runs: tuple[Entry, ...]
    """The oldest first; two at least."""
    jumps: tuple[Jump, ...]
    """The newest first."""
    left_out: int
    """Runs that say nothing of the service: invalid ones and those that did not come to their end."""


def histories(entries: Iterable[Entry]) -> tuple[History, ...]:
    """The histories of all services that were measured more than once alike, those with the newest run first.

    Runs inside of sweeps and comparisons have no part in it: their servers are set differently on purpose.
    """
    groups: dict[tuple[Service, str], list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.created):
        if entry.kind == "run" and not entry.parent and not entry.trouble:
            groups.setdefault((entry.service, entry.load), []).append(entry)
    found = [history for key, runs in groups.items() if (history := _history(*key, runs)) is not None]
    return tuple(sorted(found, key=lambda history: history.runs[-1].created, reverse=True))


def _history(service: Service, load: str, runs: list[Entry]) -> History | None:
    told = tuple(run for run in runs if run.status == "complete" and run.verdict != "invalid" and run.numbers)
    if len(told) < 2:
        return None
    jumps = tuple(_jumps(told))[::-1]
    return History(service, load, told, jumps, len(runs) - len(told))


def _jumps(runs: Sequence[Entry]) -> Iterator[Jump]:
    for before, after in itertools.pairwise(runs):
        changes = tuple(
            (each, before.numbers[each], after.numbers[each])
            for each in TRACKED
            if each in before.numbers
            and each in after.numbers
            and apart(before.numbers[each], after.numbers[each])
        )
        if changes:
            yield Jump(before, after, changes, _differences(before, after))


def apart(one: Number, other: Number) -> bool:
    """Whether two numbers differ by more than their intervals; False where one has none."""
    if one.limits is None or other.limits is None:
        return False
    return one.limits[1] < other.limits[0] or other.limits[1] < one.limits[0]


def _differences(before: Entry, after: Entry) -> tuple[str, ...]:
    sides = [_compared(before), _compared(after)]
    found = manifest_differences(sides[:1], sides[1:])
    ignored = _NOT_OF_SERVICE if before.service.url == EMBEDDED else ()
    return tuple(each.text for each in found if each.name not in ignored)


def _compared(entry: Entry) -> ComparedRun:
    if entry.run is None:
        raise ValueError(f"{entry.folder} has no records")
    return ComparedRun(entry.name, point_of(entry.run, entry.name))
