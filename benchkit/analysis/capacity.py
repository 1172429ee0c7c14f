"""How many servers a load needs: as measured and as estimated, with what speaks against either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from benchkit.analysis.capacity_assumptions import assumptions_of, refusals_of
from benchkit.analysis.carried import Carried, carried
from benchkit.analysis.fleet_size import Cost, FleetSize, Redundancy, cost, headroom_for, size
from benchkit.analysis.points import LoadPoint
from benchkit.errors import InvalidParameter
from benchkit.objectives import Objective

Basis = Literal["as measured", "estimated"]


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be served, and how safely; see ``CapacityParameters`` for each."""

    target_rps: float = 0.0
    target_users: int = 0
    think_time_s: float = 0.0
    headroom: float = 0.0
    dispersion: float = 0.0
    start_up_s: float = 0.0
    spare: int = 0
    zones: int = 1
    routing: str = "unstated"
    price_per_hour: float = 0.0
    gpus_per_server: int = 0

    @property
    def has_target(self) -> bool:
        """Whether a load was named."""
        return bool(self.target_rps or self.target_users)


@dataclass(frozen=True, slots=True)
class Option:
    """One of the two answers."""

    basis: Basis
    rate: float
    """Requests/s that one server carries."""
    low: float | None
    high: float | None
    """95 % limits of it; None where there are none."""
    sized_on: float
    """The rate that servers are counted with: ``low`` where there is one."""
    latency_ms: float | None
    """Mean latency of a request at that rate."""
    output_tokens: float | None
    """Mean length of an answer."""
    users: float | None
    """People at once that one server carries; None unless users were asked for."""
    load: float | None
    """Requests/s that are to be served; None without a target."""
    redundancy: Redundancy
    fleet: FleetSize | None
    """None without a target."""
    cost: Cost | None
    """None without a price or a target."""
    extrapolated: bool
    resolved: bool
    """Whether the samples behind it are large enough to tell."""
    notes: tuple[str, ...]
    """What this answer rests on and what it lacks."""


@dataclass(frozen=True, slots=True)
class CapacityAnswer:
    """The answer to a question about capacity, for one setting of the server."""

    ask: Ask
    carried: Carried
    measured: Option | None
    estimated: Option | None
    refusals: tuple[str, ...]
    """Why there is no number of servers; empty where there is one."""
    assumptions: tuple[str, ...]
    cell: Mapping[str, Any] = field(default_factory=dict)

    @property
    def refused(self) -> bool:
        """Whether no number of servers is given."""
        return bool(self.refusals)

    @property
    def planned(self) -> Option | None:
        """What to plan on: the estimate where enough was seen to rely on its interval, else what was measured."""
        sure = self.estimated is not None and self.estimated.low is not None and self.estimated.resolved
        return self.estimated if sure else self.measured

    @property
    def options(self) -> tuple[Option, ...]:
        """The answers that there are, as measured first."""
        return tuple(option for option in (self.measured, self.estimated) if option is not None)


def capacity(
    points: Sequence[LoadPoint], objectives: Sequence[Objective], ask: Ask | None = None
) -> CapacityAnswer:
    """How many servers the load needs.

    *As measured*: the highest measured load whose statistics meet every objective, as they stand. *Estimated*: the
    boundary between loads, its interval's lower end, or saturation or memory where these stand below it.

    Args:
        points: measured loads on one server with one setting.
        objectives: what every server must meet; at least one.
        ask: the target and its safety.

    Raises:
        InvalidParameter: no point with a rate, no objective, or a dispersion without a start-up time.
    """
    ask = ask or Ask()
    if not objectives:
        raise InvalidParameter(
            "'slo' is empty and the sources have no objectives: without one, any load is carried; "
            "name one, such as 'p99 ttft < 500ms'"
        )
    usable = [point for point in points if point.requests_per_s is not None]
    if not usable:
        raise InvalidParameter("'sources' hold no point that says how many requests/s were answered")
    return answer_of(carried(usable, objectives), ask)


def answer_of(found: Carried, ask: Ask) -> CapacityAnswer:
    """How many servers the load needs, by what one server is known to carry: costs next to nothing.

    Raises:
        InvalidParameter: a dispersion without a start-up time.
    """
    refusals = refusals_of(found, ask.routing)
    measured = None if refusals else _measured(found, ask)
    estimated = None if refusals else _estimated(found, ask)
    return CapacityAnswer(
        ask,
        found,
        measured,
        estimated,
        refusals,
        assumptions_of(found, ask.routing),
        dict(found.points[0].cell),
    )


def _measured(found: Carried, ask: Ask) -> Option | None:
    level = found.measured
    if level is None:
        return None
    notes = [
        f"{judged.objective}: {judged.note or 'its sample is too small to tell'}"
        for judged in level.judged
        if not judged.resolved
    ]
    if not any(each.is_steady and each.requests_per_s > level.requests_per_s for each in found.levels):
        saturation = found.walls[0]
        most = (
            f", below {saturation.rate:.4g} requests/s, where throughput stops" if saturation.reached else ""
        )
        notes.append(f"no steady load above it was measured: one server may carry more{most}")
    lower = [each for each in found.levels if each.requests_per_s < level.requests_per_s and not each.meets]
    if lower:
        notes.append(
            f"lower loads missed the objectives or piled up: {', '.join(each.label for each in lower)}"
        )
    return _option(
        "as measured",
        found,
        ask,
        rate=level.requests_per_s,
        limits=(None, None),
        extrapolated=False,
        resolved=all(judged.resolved for judged in level.judged),
        notes=notes,
    )


def _estimated(found: Carried, ask: Ask) -> Option | None:
    estimate = found.estimated
    if estimate is None:
        return None
    notes = [] if estimate.limited_by == "objective" else [f"{estimate.limited_by} sets the limit"]
    if estimate.extrapolated:
        notes.append("rests on extrapolation: it lies outside the measured loads")
    elif estimate.low is None and "interval" not in estimate.note:
        notes.append(f"without an interval: {estimate.note or 'the sources do not allow one'}")
    elif estimate.note:
        notes.append(estimate.note)
    return _option(
        "estimated",
        found,
        ask,
        rate=estimate.rate,
        limits=(estimate.low, estimate.high),
        extrapolated=estimate.extrapolated,
        resolved=estimate.resolved,
        notes=notes,
    )


def _option(
    basis: Basis,
    found: Carried,
    ask: Ask,
    *,
    rate: float,
    limits: tuple[float | None, float | None],
    extrapolated: bool,
    resolved: bool,
    notes: list[str],
) -> Option:
    low, high = limits
    # The interval's lower end may be of no use: 0 or below is no load.
    sized_on = low if low is not None and low > 0 else rate
    latency = _at(found, rate, "latency_ms")
    load, users = ask.target_rps or None, None
    if ask.target_users:
        if latency is None:
            notes.append("target_users cannot be turned into a rate: the sources have no latency")
        else:
            cycle_s = ask.think_time_s + latency / 1e3
            load, users = ask.target_users / cycle_s, sized_on * cycle_s
    redundancy = _redundancy(ask, load)
    tokens = _output_tokens(found, rate)
    fleet = size(load, sized_on, redundancy) if load else None
    return Option(
        basis=basis,
        rate=rate,
        low=low,
        high=high,
        sized_on=sized_on,
        latency_ms=latency,
        output_tokens=tokens,
        users=users,
        load=load,
        redundancy=redundancy,
        fleet=fleet,
        cost=cost(fleet, ask.price_per_hour, tokens) if fleet and ask.price_per_hour else None,
        extrapolated=extrapolated,
        resolved=resolved,
        notes=tuple(notes),
    )


def _redundancy(ask: Ask, load: float | None) -> Redundancy:
    headroom = ask.headroom
    if ask.dispersion and load:
        if not ask.start_up_s:
            raise InvalidParameter(
                "'dispersion' derives headroom from the arrivals within a server's start-up, which is not known: "
                "set 'start_up_s'"
            )
        headroom = headroom_for(load, ask.dispersion, ask.start_up_s)
    return Redundancy(headroom, ask.spare, ask.zones)


def _at(found: Carried, rate: float, metric: str) -> float | None:
    """A metric's mean at a rate, linear between the steady levels around it."""
    known = [
        (level.requests_per_s, value)
        for level in found.levels
        if level.is_steady and (value := level.mean(metric)) is not None
    ]
    if not known:
        return None
    return float(np.interp(rate, [x for x, _ in known], [y for _, y in known]))


def _output_tokens(found: Carried, rate: float) -> float | None:
    """Mean length of an answer at the nearest level that says so."""
    known = [
        (abs(level.requests_per_s - rate), tokens / level.requests_per_s)
        for level in found.levels
        if (tokens := level.rate_of("output_tokens_per_s")) is not None and level.requests_per_s > 0
    ]
    return min(known)[1] if known else None
