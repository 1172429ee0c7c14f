"""A number with how sure it is: what every interval of the analysis comes back as."""

from __future__ import annotations

from dataclasses import dataclass


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
