"""What a comparison keeps of a run's requests: values and quantiles, so that its records need not stay in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.measured import Measured, narrowed
from benchkit.analysis.metrics import count_outcomes, summarise
from benchkit.analysis.points import Records
from benchkit.analysis.recorded import measured_of
from benchkit.records import stored

Floats = NDArray[np.float64]

GRID: Floats = np.concatenate(
    [np.linspace(0.0, 0.9, 91), np.linspace(0.905, 0.99, 18), [0.9925, 0.995, 0.9975, 0.999, 1.0]]
)
"""Shares at which quantiles are kept: closer together where the slow ones are."""


@dataclass(frozen=True, slots=True)
class RunSamples:
    """The distributions of one run, or of one repeat of it."""

    requests: Mapping[str, Floats]
    """Of each metric of requests the values that there are, in milliseconds (or the metric's unit)."""
    quantiles: Mapping[str, Floats]
    """Of each metric that has values, those of tokens and events too, its quantiles at ``GRID``."""
    summary: Mapping[str, Any] | None = None
    """Of a repeat: its own numbers, in the shape of summary.json; None for a whole run, which has its own."""


def samples_of(records: Records) -> tuple[RunSamples, ...]:
    """The distributions of each repeat of a run, or of all of it where it has one.

    Records of a folder are read anew, and freed again: of many long runs not all fit in memory.
    """
    path = getattr(records, "path", None)
    fresh: Records = records if path is None or not path.is_dir() else stored.load(path)
    measured = measured_of(fresh)
    parts = measured.window.parts
    if len(parts) < 2:
        return (_samples(measured),)
    verdict = records.summary.get("validity")
    found = []
    for repeat, part in enumerate(parts):
        own = narrowed(measured, part)
        summary = {
            "requests": count_outcomes(fresh.requests, own.columns),
            "windows": {
                "whole": summarise(fresh.requests, fresh.chunks, part, repeat=repeat),
                "steady": None,
            },
            "validity": verdict,
        }
        found.append(_samples(own, summary))
    return tuple(found)


def _samples(measured: Measured, summary: Mapping[str, Any] | None = None) -> RunSamples:
    inside = measured.columns.in_phase
    requests = {name: values[inside] for name, values in measured.values.items()}
    requests = {name: values[~np.isnan(values)] for name, values in requests.items()}
    quantiles = {
        name: np.quantile(requests[name], GRID)
        if name in requests
        else np.array([sample.percentile(100 * float(share)) for share in GRID])
        for name, sample in measured.samples.items()
        if sample.total
    }
    return RunSamples(requests, quantiles, summary)
