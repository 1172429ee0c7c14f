"""Holds what a foreign file says of one measured load, in the terms of our records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["COUNTS", "STATISTICS", "ImportedPoint", "ImportedRequests", "Stated"]

COUNTS = ("ok", "shed", "failed", "incomplete", "interrupted")
"""Ways in which a request ends, as in summary.json."""
STATISTICS = ("count", "mean", "std", "min", "max", "p50", "p90", "p95", "p99", "p99_9")
"""What summary.json says of every metric; a file may state further percentiles, named likewise (``p25``)."""


@dataclass(frozen=True, slots=True)
class Stated:
    """Numbers as the file states them, in summary.json's names and units; what it lacks is absent or None."""

    metrics: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """Metric, then statistic; by the file's own definitions, see the notes of the point."""
    rates: Mapping[str, float | None] = field(default_factory=dict)
    counts: Mapping[str, int | None] = field(default_factory=dict)
    """How many requests ended in which of ``COUNTS``."""
    prompt_tokens: float | None = None
    output_tokens: float | None = None
    length_s: float | None = None
    """Seconds that the rates refer to."""


@dataclass(frozen=True, slots=True)
class ImportedRequests:
    """A file's requests, one by one."""

    table: pa.Table
    """Columns of ``schema.REQUESTS``; times count from the window's start, so earlier ones are below 0."""
    end_ns: int
    """The window is ``[0, end_ns)``."""
    wall_ns: int | None = None
    """Wall-clock time of the window's start; None where the file's clock has no epoch."""


@dataclass(frozen=True, slots=True)
class ImportedPoint:
    """One load on a server, as another tool (or a hand-written table) measured it."""

    name: str
    """The file and the benchmark's place in it."""
    tool: str
    stated: Stated
    version: str = ""
    """Version of the tool or of its format; empty where the file does not say."""
    load: str = ""
    """As the parameter ``load``; empty where the file does not say."""
    rate: float | None = None
    concurrency: int | None = None
    model: str = ""
    url: str = ""
    created: str = ""
    """UTC time in ISO form; empty where the file does not say."""
    requests: ImportedRequests | None = None
    """All requests of the load; None where the file holds none or only some of them."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further parameters by benchkit's names, as far as the file tells them."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the file says of its setting, by its own names."""
    not_measured: frozenset[str] = frozenset()
    """Metrics that follow from the requests by construction, not by measurement: null, whatever they say."""
    notes: tuple[str, ...] = ()
    """What the file lacks or defines otherwise, in sentences for a chart's foot."""
