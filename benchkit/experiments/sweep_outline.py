"""What a sweep will take and cost, and what its points can and cannot answer, said before it starts."""

from __future__ import annotations

import math
import textwrap
from dataclasses import asdict, dataclass
from typing import Any

from benchkit.analysis.binomial import needed_for
from benchkit.objectives import StatisticObjective, parse, singles
from benchkit.parameters import SweepParameters

_WIDTH = 88
AROUND_S = 4.0
"""Of a point beside its load, on a machine of two cores: the look before it, records, numbers."""
START_S = {"simulated": 1.0, "vllm": 90.0}
"""Of a server that the sweep starts; vllm's with a small model."""


@dataclass(frozen=True, slots=True)
class SweepOutline:
    """What is known of a sweep beforehand.

    Attributes:
        points: loads that are measured, over all settings of the server; None where a search decides.
        cells: settings of the server.
        seconds: about how long it takes; None where a point ends by its requests.
        most_seconds: with each drain and each wait for the server as long as it may be.
        cost: of the server for that time; None where no price is known.
        notes: what the points will not answer.
    """

    points: int | None
    cells: int
    seconds: float | None
    most_seconds: float | None
    cost: float | None
    loads: str
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def text(self) -> str:
        """As a few lines for people."""
        cells = f" on each of {self.cells} settings of the server" if self.cells > 1 else ""
        lines = [f"loads:    {self.loads}{cells}"]
        if self.seconds is not None and self.most_seconds is not None:
            lines.append(f"time:     about {minutes(self.seconds)}, at most {minutes(self.most_seconds)}")
        else:
            lines.append("time:     until the requests of each point are answered")
        if self.cost is not None:
            lines.append(f"cost:     about {self.cost:.2f} at the price of one server")
        lines += [f"note:     {note}" for note in self.notes]
        return "\n".join(textwrap.fill(line, _WIDTH, subsequent_indent=" " * 10) for line in lines)


def outline(sweep: SweepParameters) -> SweepOutline:
    """What a sweep will take, cost and answer; no server is asked."""
    p, cells = sweep, len(sweep.cells)
    if p.sweep == "adaptive":
        loads = f"a search for the highest rate that meets {', '.join(map(repr, p.slo))}"
        seconds: float | None = p.budget_s
        most, points = p.budget_s + p.drain_s + p.settle_s, None
    else:
        points = (len(p.rates) + len(p.concurrencies) if p.is_list else 2 + p.points) * cells
        each = p.repeats * (p.warmup_s + p.duration_s)
        start = 0.0 if p.url else cells * START_S[p.backend]
        seconds = points * (each + AROUND_S) + start if p.duration_s else None
        most = points * (each + p.repeats * p.drain_s + p.settle_s + AROUND_S) + start
        loads = _loads(p)
    cost = p.price_per_hour * seconds / 3600 if p.price_per_hour and seconds is not None else None
    return SweepOutline(points, cells, seconds, most if seconds is not None else None, cost, loads, _notes(p))


def _loads(p: SweepParameters) -> str:
    if not p.is_list:
        return (
            f"one request at a time, then full throughput, then {p.points} {p.arrivals} rates evenly spaced between "
            f"the two; {p.duration_s:g} s each"
        )
    parts = (
        [f"{p.arrivals} arrivals at {', '.join(f'{rate:g}' for rate in p.rates)} requests/s"]
        if p.rates
        else []
    )
    parts += [f"{', '.join(map(str, p.concurrencies))} streams"] if p.concurrencies else []
    return f"{' and '.join(parts)}; {p.duration_s:g} s each"


def _notes(p: SweepParameters) -> tuple[str, ...]:
    """Which points will answer the objectives, and what would make the others answer them too."""
    notes = []
    for objective in singles(parse(text) for text in p.slo):
        text = str(objective)
        quantile = objective.quantile if isinstance(objective, StatisticObjective) else None
        needed = needed_for(quantile) if quantile is not None else 0
        seconds = p.duration_s * p.repeats
        if needed and seconds and p.sweep != "adaptive":
            rate = needed / seconds
            notes.append(
                f"'{text}' needs {needed} requests a point: points below {rate:.3g} requests/s will not resolve it in "
                f"{seconds:g} s; at 1 request/s it takes {minutes(math.ceil(needed))}"
            )
    if p.slo and p.concurrencies and not p.rates:
        notes.append(
            "streams answer at their own pace: how much load arrives within objectives is told by 'rates'"
        )
    if not p.slo and p.sweep != "adaptive":
        notes.append("without 'slo' the sweep shows how latency grows, not how much load is acceptable")
    return tuple(notes)


def minutes(seconds: float) -> str:
    """A span of time as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
