"""The form of one check of the verdict: what is measured, its limits, why they are where they are, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["suspect", "invalid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One thing that is checked; a value past a limit gives a reason of that level.

    The worse side is above a limit, unless ``below`` is set. A value at its limit still passes.
    """

    name: str
    means: str
    """What the value is."""
    unit: str
    suspect: float | None = None
    """None: never only suspect."""
    invalid: float | None = None
    """None: never invalid."""
    below: bool = False
    reason: str
    """Why it matters."""
    remedy: str
    basis: str
    """Why the limits are these."""

    def level(self, value: float) -> Level | None:
        """How bad a value is; None when it is fine."""
        if self._past(value, self.invalid):
            return "invalid"
        return "suspect" if self._past(value, self.suspect) else None

    def limit(self, level: Level) -> float | None:
        """The limit of a level."""
        return self.invalid if level == "invalid" else self.suspect

    def _past(self, value: float, limit: float | None) -> bool:
        return limit is not None and (value < limit if self.below else value > limit)
