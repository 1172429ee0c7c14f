"""A number with how sure it is: what every interval of the analysis comes back as."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_BOUND: Final = re.compile(r"is at least [\d.e+-]+$")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval, or with the words that say why it has none."""

    value: float | None
    """As measured; None where nothing was."""
    low: float | None = None
    """Lower limit; alone where the interval was refused and only a lower bound holds."""
    high: float | None = None
    """Upper limit; None where it is refused."""
    note: str = ""
    """Why there is no interval, or what to keep in mind with it; empty when there is nothing to say."""
    effective: float | None = None
    """How many independent observations stand behind it (n / memory; repeats; server starts)."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both limits, where both are there."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def told(self, unit: str) -> str:
        """The note, with the unit of the bound that it ends with, if it does."""
        return f"{self.note} {unit}" if unit and _BOUND.search(self.note) else self.note
