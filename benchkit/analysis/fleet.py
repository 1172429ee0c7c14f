"""Fleets under a load that moves: how many servers over the day, how much of it inside the objective, at what cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.fleet_size import Redundancy, size
from benchkit.analysis.load_profile import MINUTE_S, Profile

Counts = NDArray[np.int64]
_MOST_SIZES: Final = 200


@dataclass(frozen=True, slots=True)
class FleetRun:
    """A fleet over the minutes of a profile."""

    kind: Literal["fixed", "scaling"]
    paid: Counts
    """Servers that are paid for, one value a minute."""
    ready: Counts
    """Servers that serve."""
    inside: NDArray[np.bool_]
    """Minutes in which the load is no more than the ready servers carry."""
    share_of_minutes: float
    """Inside the objective."""
    share_of_requests: float
    """That come in such minutes."""
    server_hours: float

    @property
    def most(self) -> int:
        """Servers at the busiest."""
        return int(self.paid.max())

    def cost(self, price_per_hour: float) -> float:
        """Of the whole profile."""
        return self.server_hours * price_per_hour


@dataclass(frozen=True, slots=True)
class OverTime:
    """What a load that moves needs, when one server carries so much."""

    profile: Profile
    per_server: float
    start_up_s: float
    fixed: FleetRun
    """As many servers all the time as the busiest minute needs."""
    scaling: FleetRun
    smaller: tuple[FleetRun, ...]
    """Fixed fleets from one server up to that of ``fixed``."""


def over_time(
    profile: Profile, per_server: float, redundancy: Redundancy, *, start_up_s: float, scale_down_s: float
) -> OverTime:
    """A fixed and a scaling fleet for a profile.

    Args:
        profile: mean load of each minute.
        per_server: requests/s that one server carries.
        redundancy: what either must stand.
        start_up_s: from the order of a server until it serves.
        scale_down_s: how long load must stay lower before a server is given back.
    """
    fixed = fixed_fleet(profile, per_server, size(profile.peak, per_server, redundancy).servers)
    step = math.ceil(fixed.most / _MOST_SIZES)
    return OverTime(
        profile,
        per_server,
        start_up_s,
        fixed,
        scaling_fleet(profile, per_server, redundancy, start_up_s=start_up_s, scale_down_s=scale_down_s),
        tuple(fixed_fleet(profile, per_server, count) for count in range(1, fixed.most + 1, step)),
    )


def fixed_fleet(profile: Profile, per_server: float, servers: int) -> FleetRun:
    """So many servers all the time."""
    counts = np.full(profile.rates.size, servers, dtype=np.int64)
    return _run("fixed", profile, per_server, counts, counts)


def scaling_fleet(
    profile: Profile, per_server: float, redundancy: Redundancy, *, start_up_s: float, scale_down_s: float
) -> FleetRun:
    """A fleet that follows the load: it sees the mean load of the minute that has ended, and orders what that needs.

    A server is paid from its order on and serves ``start_up_s`` later; one is given back once no minute of the last
    ``scale_down_s`` needed it. In a profile that repeats, the beginning continues the end.
    """
    wanted = _wanted(profile.rates, per_server, redundancy)
    seen = _shifted(wanted, 1, repeats=profile.repeats)
    paid = _over_last(seen, math.ceil(scale_down_s / MINUTE_S), repeats=profile.repeats, most=True)
    ready = _over_last(paid, math.ceil(start_up_s / MINUTE_S), repeats=profile.repeats, most=False)
    return _run("scaling", profile, per_server, paid, ready)


def _wanted(rates: NDArray[np.float64], per_server: float, redundancy: Redundancy) -> Counts:
    """The fleet for each minute's load; as ``size`` has it, each number of carrying servers asked once."""
    carrying = np.maximum(1, np.ceil(rates * (1 + redundancy.headroom) / per_server - 1e-9)).astype(np.int64)
    different, where = np.unique(carrying, return_inverse=True)
    fleets = np.asarray([redundancy.servers_for(int(count)) for count in different], dtype=np.int64)
    return np.asarray(fleets[where], dtype=np.int64)


def _shifted(counts: Counts, minutes: int, *, repeats: bool) -> Counts:
    """What held so many minutes ago; before a profile that does not repeat, its first value did."""
    if repeats:
        return np.roll(counts, minutes)
    before = np.full(min(minutes, counts.size), counts[0])
    return np.concatenate([before, counts])[: counts.size]


def _over_last(counts: Counts, minutes: int, *, repeats: bool, most: bool) -> Counts:
    """The largest or smallest value of each minute and those before it."""
    found = counts.copy()
    merge = np.maximum if most else np.minimum
    # Doubling stretches reach back any number of minutes in few steps.
    done, length = 0, 1
    while done < minutes:
        step = min(length, minutes - done)
        found = merge(found, _shifted(found, step, repeats=repeats))
        done += step
        length = done + 1
    return found


def _run(
    kind: Literal["fixed", "scaling"], profile: Profile, per_server: float, paid: Counts, ready: Counts
) -> FleetRun:
    inside = profile.rates <= ready * per_server * (1 + 1e-9)
    return FleetRun(
        kind=kind,
        paid=paid,
        ready=ready,
        inside=inside,
        share_of_minutes=float(inside.mean()),
        share_of_requests=float(profile.rates[inside].sum() / profile.rates.sum()),
        server_hours=float(paid.sum() / 60.0),
    )
