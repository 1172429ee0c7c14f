"""What a verdict is given to judge, and the form of what it finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from benchkit.analysis.columns import RequestColumns
from benchkit.analysis.measured import Measured
from benchkit.analysis.window import Window
from benchkit.records.chunks import Chunks


class Evidence(NamedTuple):
    """The value of one check; the table of thresholds says what it means."""

    name: str
    value: float | None
    """None where it cannot be told."""
    detail: str = ""
    """What it is about in this run, for a reader: which metric drifts, and how far."""


Found = Iterator[Evidence]


@dataclass(frozen=True, slots=True)
class Case:
    """A run before its judge: records, and whatever else is known of it."""

    requests: pd.DataFrame
    """The request table, both phases."""
    measured: Measured
    """The same in the measured window."""
    load_facts: Mapping[str, Any]
    """The manifest's ``load``; what is missing is not judged."""
    parameters: Mapping[str, Any]
    """The run's resolved parameters."""
    summary: Mapping[str, Any]
    """The summary so far: ``requests`` and ``windows``."""
    steady: Measured | None = None
    """The records in the steady part; None where there is none."""
    telemetry: pd.DataFrame | None = None
    """What was sampled beside the run, in the columns of ``schema.TELEMETRY``."""
    preflight: Mapping[str, Any] = field(default_factory=dict)
    """What the manifest's ``preflight`` says."""

    @property
    def columns(self) -> RequestColumns:
        """The request table as arrays."""
        return self.measured.columns

    @property
    def chunks(self) -> Chunks:
        """The events of the requests."""
        return self.measured.chunks

    @property
    def window(self) -> Window:
        """The measured stretch."""
        return self.measured.window

    @property
    def whole(self) -> Mapping[str, Any]:
        """The summary of the whole window."""
        found: Mapping[str, Any] = self.summary["windows"]["whole"]
        return found
