"""A row of the index as a value: what was measured, how it went, its key numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from benchkit.records.stored import StoredRun

Kind = Literal["run", "sweep", "comparison"]


class Number(NamedTuple):
    """A number with its 95 % limits; None where a run does not give them."""

    value: float
    limits: tuple[float, float] | None


class Tracked(NamedTuple):
    """A number that is shown of every run and followed through a service's history."""

    name: str
    """By summary.json."""
    statistic: str
    """Empty for a rate."""
    label: str
    unit: str


TRACKED: Final = (
    Tracked("output_tokens_per_s", "", "output tokens/s", "tokens/s"),
    Tracked("ttft_ms", "p50", "TTFT p50", "ms"),
    Tracked("ttft_ms", "p99", "TTFT p99", "ms"),
    Tracked("itl_ms", "p50", "ITL p50", "ms"),
    Tracked("latency_ms", "p50", "latency p50", "ms"),
)


class Service(NamedTuple):
    """What was measured: the same server, model and work."""

    url: str
    model: str
    work: str


NOWHERE: Final = Service("", "", "")
"""Of what could not be read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the index."""

    kind: Kind
    folder: str
    """Relative to the index's folder, with slashes."""
    name: str
    created: str
    status: str = ""
    verdict: str = ""
    """Of several runs the worst; empty where nothing was judged."""
    service: Service = NOWHERE
    load: str = ""
    numbers: Mapping[Tracked, Number] = field(default_factory=dict)
    """Of a sweep only the most output tokens/s of its loads."""
    answered: int | None = None
    begun: int | None = None
    objectives: tuple[str, ...] = ()
    """Each objective's verdict."""
    series: tuple[float | None, ...] = ()
    """Of a run TTFT in ms through its window; of a sweep output tokens/s from its lowest load to its highest."""
    report: str = ""
    """Relative to the index's folder; empty where no report lies there."""
    trouble: str = ""
    """Why it cannot be shown whole."""
    parent: str = ""
    """The sweep or comparison that it is a part of."""
    run: StoredRun | None = field(default=None, repr=False, compare=False)
