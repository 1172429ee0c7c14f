"""A run as its findings read it: the summary's numbers, the records behind them, and what the server said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Final, cast

import pandas as pd

from benchkit.analysis.finding_readings import ServerState, server_state
from benchkit.analysis.measured import Measured, measure
from benchkit.analysis.points import Records
from benchkit.analysis.recorded import window_of
from benchkit.analysis.saturation import Saturation, saturation
from benchkit.analysis.thresholds_client import OF_CLIENT
from benchkit.analysis.window import Window
from benchkit.records.chunks import Chunks

NOT_THE_SERVERS: Final = "Not the server's alone: see why these numbers are not valid."
"""What a number of an invalid run means."""
_OPEN: Final = ("constant", "poisson", "gamma")
_CLOSED: Final = ("concurrent", "synchronous", "throughput")
_OF_CLIENT: Final = frozenset(each.name for each in OF_CLIENT)


@dataclass(frozen=True)
class SeenRun:
    """Everything that is known of a run; what is missing is empty or None, and nothing is concluded from it."""

    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    requests: pd.DataFrame | None = None
    chunks: Chunks | None = None
    telemetry: pd.DataFrame | None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What was asked for."""
        return self.manifest.get("parameters") or {}

    @property
    def load(self) -> str:
        """The kind of load; empty where nobody says."""
        return str(self.parameters.get("load") or "")

    @property
    def is_open(self) -> bool:
        """Whether requests came at their own times."""
        return self.load in _OPEN

    @property
    def is_closed(self) -> bool:
        """Whether each request waited for another's end."""
        return self.load in _CLOSED

    @property
    def whole(self) -> Mapping[str, Any]:
        """The summary of the whole window."""
        return (self.summary.get("windows") or {}).get("whole") or {}

    @property
    def length_s(self) -> float:
        """The window's length; 0 where it is unknown."""
        return float(self.whole.get("length_s") or 0.0)

    @property
    def counts(self) -> Mapping[str, Any]:
        """Requests by outcome; a count may be None."""
        return self.summary.get("requests") or {}

    @property
    def reasons(self) -> tuple[Mapping[str, Any], ...]:
        """What stands against the numbers, the invalidating first."""
        return tuple((self.summary.get("validity") or {}).get("reasons") or ())

    @property
    def is_invalid(self) -> bool:
        """Whether the numbers cannot be believed."""
        return (self.summary.get("validity") or {}).get("verdict") == "invalid"

    @property
    def client_reasons(self) -> tuple[Mapping[str, Any], ...]:
        """Those that are about the client's own conduct."""
        return tuple(reason for reason in self.reasons if reason["name"] in _OF_CLIENT)

    @property
    def is_embedded(self) -> bool:
        """Whether the server was one that comes with benchkit."""
        server = {**((self.manifest.get("preflight") or {}).get("server") or {})}
        server |= self.manifest.get("server") or {}
        said = f"{server.get('engine', '')} {server.get('version', '')}".lower()
        started = "url" in self.parameters and not self.parameters["url"]
        return started or "benchkit" in said or "simulat" in said

    def metric(self, name: str) -> Mapping[str, Any]:
        """A metric's part of the summary; empty where it has no value."""
        entry = (self.whole.get("metrics") or {}).get(name) or {}
        return entry if entry.get("mean") is not None or entry.get("p50") is not None else {}

    def rate(self, name: str) -> Mapping[str, Any]:
        """A rate's part of the summary; empty where it has no value."""
        entry = (self.whole.get("rates") or {}).get(name) or {}
        return entry if entry.get("value") is not None else {}

    def count(self, name: str) -> int:
        """Requests of one outcome; 0 where it is unknown."""
        return int(self.counts.get(name) or 0)

    @cached_property
    def window(self) -> Window | None:
        """The measured stretch; None without records."""
        return None if self.requests is None else window_of(self.manifest, self.requests)

    @cached_property
    def measured(self) -> Measured | None:
        """The samples behind the summary; None without records or without a request in them."""
        if self.requests is None or self.chunks is None or self.window is None or not len(self.requests):
            return None
        return measure(self.requests, self.chunks, self.window)

    @cached_property
    def server(self) -> ServerState | None:
        """What the server said of itself; None where it said nothing."""
        return None if self.window is None else server_state(self.telemetry, self.window)

    @cached_property
    def piled_up(self) -> Saturation | None:
        """Whether requests piled up; None without records, or where the load is unknown."""
        if self.measured is None or not self.is_open or not (self.manifest.get("load") or {}).get("window"):
            return None
        records = SimpleNamespace(manifest=self.manifest, requests=self.requests, chunks=self.chunks)
        return saturation(cast("Records", records))
