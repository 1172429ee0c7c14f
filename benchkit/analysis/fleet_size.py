"""How many servers a load needs when one carries so much: headroom, spares, zones, price."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import norm

_ROUNDING = 1e-9
"""A load that fills n servers exactly needs n, whatever floating point says."""


@dataclass(frozen=True, slots=True)
class Redundancy:
    """What a fleet must stand without exceeding what its servers carry."""

    headroom: float = 0.0
    """Share of the load to be ready for beyond it."""
    spare: int = 0
    """Servers that may fail at once."""
    zones: int = 1
    """Zones over which servers are spread evenly; from 2, one of them may be lost."""

    def left_of(self, servers: int) -> int:
        """Servers that are left of so many when the worse of the two happens: one failure at a time."""
        after_zone = servers - math.ceil(servers / self.zones) if self.zones > 1 else servers
        return min(servers - self.spare, after_zone)

    def servers_for(self, carrying: int) -> int:
        """The smallest fleet of which so many are left."""
        servers = carrying + self.spare
        if self.zones > 1:
            servers = max(servers, -(-carrying * self.zones // (self.zones - 1)))
        while self.left_of(servers) < carrying:
            servers += 1
        return servers


@dataclass(frozen=True, slots=True)
class FleetSize:
    """A fleet for one load."""

    load: float
    """Requests/s that it serves."""
    per_server: float
    """Requests/s that one server carries."""
    carrying: int
    """Servers that the load needs, headroom included."""
    servers: int
    """Servers to have, spares and zones included."""
    next_server_at: float
    """Requests/s at which one more server is due."""

    @property
    def utilisation(self) -> float:
        """The load as a share of what all servers carry while none has failed."""
        return self.load / (self.servers * self.per_server)


def size(load: float, per_server: float, redundancy: Redundancy) -> FleetSize:
    """The smallest fleet for a load; at least one server carries.

    ``carrying = ceil(load x (1 + headroom) / per_server)``: the load divides evenly among replicas that do not
    know of each other.

    Args:
        load: requests/s.
        per_server: requests/s that one server carries, above 0.
        redundancy: what the fleet must stand.
    """
    carrying = max(1, math.ceil(load * (1 + redundancy.headroom) / per_server - _ROUNDING))
    servers = redundancy.servers_for(carrying)
    return FleetSize(
        load=load,
        per_server=per_server,
        carrying=carrying,
        servers=servers,
        next_server_at=redundancy.left_of(servers) * per_server / (1 + redundancy.headroom),
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """What a fleet costs, in the currency of its price."""

    per_hour: float
    per_1000_requests: float
    per_million_output_tokens: float | None
    """None where the source does not say how long answers are."""
    per_1000_requests_full: float
    """With each server carrying as much as it can: the lower end of what a request can cost."""
    per_million_output_tokens_full: float | None


def cost(fleet: FleetSize, price_per_hour: float, output_tokens: float | None) -> Cost:
    """What a fleet costs an hour, a request and a token, at its load and with every server full.

    Args:
        fleet: the fleet and its load, above 0.
        price_per_hour: of one server.
        output_tokens: mean length of an answer.
    """
    hourly = fleet.servers * price_per_hour
    at_load = hourly / (fleet.load * 3600) if fleet.load else math.inf
    full = price_per_hour / (fleet.per_server * 3600)
    return Cost(
        per_hour=hourly,
        per_1000_requests=1e3 * at_load,
        per_million_output_tokens=1e6 * at_load / output_tokens if output_tokens else None,
        per_1000_requests_full=1e3 * full,
        per_million_output_tokens_full=1e6 * full / output_tokens if output_tokens else None,
    )


def headroom_for(rate: float, dispersion: float, lead_s: float, quantile: float = 0.99) -> float:
    """The headroom that arrivals within the time that help takes stay inside, with this probability.

    Arrivals of ``rate`` in ``lead_s`` have mean m = rate x lead_s and variance dispersion x m; the quantile is
    taken of a normal distribution: ``headroom = z x sqrt(dispersion / m)``.

    Args:
        rate: requests/s of the whole fleet, above 0.
        dispersion: index of dispersion of counts over ``lead_s``; 1 for Poisson arrivals, see ``dispersion_of``.
        lead_s: seconds from a rise in load until a new server serves, above 0.
        quantile: probability to stay inside.
    """
    return float(norm.ppf(quantile)) * math.sqrt(dispersion / (rate * lead_s))
