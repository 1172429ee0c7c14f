"""What pairs of runs tell so far: after a pilot what they could ever see, at a look whether they are enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchkit.analysis.compared_number import ComparedNumber
from benchkit.analysis.difference import CLIENT_FLOOR, Difference, difference, holm
from benchkit.analysis.power import Range, needed, spread_range, visible_change

Values = Mapping[ComparedNumber, tuple[Sequence[float | None], Sequence[float | None]]]
"""By number the values of both sides, pair by pair."""
Starts = tuple[Sequence[int], Sequence[int]]
PILOT = 3
"""Pairs of a pilot: by them the spread is known to a factor of two, which is what is said."""


@dataclass(frozen=True, slots=True)
class Pilot:
    """How far pairs scatter, seen without looking at what they differ by, so that it costs no error."""

    pairs: int
    planned: int
    change: float
    sd: dict[str, float]
    """Standard deviation of a pair's log ratio, by number."""
    sees: dict[str, Range]
    """The change, as a share, that the planned pairs see in 90 % of cases."""
    needs: dict[str, Range]
    """Pairs that it takes to see ``change`` in 90 % of cases."""

    def lines(self) -> list[str]:
        """A sentence a number."""
        return [
            f"{name}: {self.planned} pairs would see a change of {_percent(self.sees[name])} %; "
            f"{100 * self.change:g} % takes {self.needs[name].text()} pairs"
            for name in self.sd
        ]

    def as_dict(self) -> dict[str, Any]:
        """As ab.json holds it."""
        return {
            "pairs": self.pairs,
            "planned": self.planned,
            "change": self.change,
            "numbers": {
                name: {"sd_log": self.sd[name], "sees": [*self.sees[name]], "needs": [*self.needs[name]]}
                for name in self.sd
            },
            "lines": self.lines(),
        }


@dataclass(frozen=True, slots=True)
class Look:
    """The differences after so many pairs."""

    pairs: int
    alpha: float
    """Error that this look may make."""
    change: float
    found: dict[ComparedNumber, Difference]
    adjusted: dict[ComparedNumber, float | None]
    """Holm's p over all numbers."""

    def differs(self, number: ComparedNumber) -> bool:
        """Whether a number differs, beside all the others that were looked at."""
        p = self.adjusted[number]
        return p is not None and p < self.alpha

    def is_decided(self, number: ComparedNumber) -> bool:
        """Whether a number differs, or can't differ by more than matters."""
        largest = self.found[number].largest()
        return self.differs(number) or (largest is not None and largest <= self.change)

    @property
    def decided(self) -> bool:
        """Whether every number is decided, so that more pairs answer nothing that was asked."""
        return all(map(self.is_decided, self.found))

    def words(self, number: ComparedNumber) -> str:
        """The difference of a number in words."""
        found = self.found[number]
        told = found.words(self.change)
        if found.differs() and not self.differs(number):
            return f"{told} taken alone; with {len(self.found)} numbers looked at it may be chance (Holm)"
        return told

    def as_dict(self) -> dict[str, Any]:
        """As ab.json holds it."""
        return {
            "pairs": self.pairs,
            "alpha": self.alpha,
            "decided": self.decided,
            "numbers": {
                number.text: {
                    "unit": number.unit,
                    "base": found.base,
                    "new": found.new,
                    "ratio": found.ratio,
                    "low": found.low,
                    "high": found.high,
                    "p": found.p,
                    "p_holm": self.adjusted[number],
                    "sd_log": found.sd_log,
                    "method": found.method,
                    "permutation_p": found.permutation_p,
                    "note": found.note,
                    "words": self.words(number),
                }
                for number, found in self.found.items()
            },
        }


def pilot(values: Values, planned: int, change: float, alpha: float = 0.05) -> Pilot:
    """What the planned pairs could see, by how the first ones scatter.

    Args:
        values: of the pilot's pairs.
        planned: pairs in all.
        change: the smallest change that matters, as a share.
        alpha: error that the look at all of them may make.
    """
    found = {number.text: _paired(number, *sides) for number, sides in values.items()}
    known = {name: (each.sd_log, each.freedom) for name, each in found.items() if each.sd_log is not None}
    return Pilot(
        pairs=max((each.n for each in found.values()), default=0),
        planned=planned,
        change=change,
        sd={name: sd for name, (sd, _) in known.items()},
        sees={
            name: visible_change(sd, freedom, count=planned, values=1, alpha=alpha)
            for name, (sd, freedom) in known.items()
        },
        needs={
            name: Range(
                *(float(needed(end, change, values=1, alpha=alpha)) for end in spread_range(sd, freedom))
            )
            for name, (sd, freedom) in known.items()
        },
    )


def look(values: Values, *, alpha: float, change: float, starts: Starts | None = None) -> Look:
    """The differences of all numbers so far.

    Args:
        values: of all pairs.
        alpha: error that this look may make, see ``looks.spent``.
        change: the smallest change that matters, as a share.
        starts: for each run of both sides the start of its server.
    """
    found = {number: _paired(number, *sides, starts=starts, alpha=alpha) for number, sides in values.items()}
    tested = {number: p for number, each in found.items() if (p := each.p) is not None}
    adjusted = dict(zip(tested, holm([*tested.values()]), strict=True))
    return Look(
        pairs=max((each.n for each in found.values()), default=0),
        alpha=alpha,
        change=change,
        found=found,
        adjusted={number: adjusted.get(number) for number in found},
    )


def _paired(
    number: ComparedNumber,
    base: Sequence[float | None],
    new: Sequence[float | None],
    *,
    starts: Starts | None = None,
    alpha: float = 0.05,
) -> Difference:
    return difference(
        base,
        new,
        paired=True,
        higher_is_worse=number.higher_is_worse,
        starts=starts,
        floor=CLIENT_FLOOR,
        alpha=alpha,
    )


def _percent(share: Range) -> str:
    return Range(100 * share.low, 100 * share.high).text(1)
