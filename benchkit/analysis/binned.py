"""Events in bins of time: requests of one step of the server share its gap, and only time tells them apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis import repeats
from benchkit.analysis.estimate import Estimate
from benchkit.analysis.intervals import SHARES, Depth, about, bursts, of_share, split
from benchkit.analysis.long_run import variance_of_mean
from benchkit.analysis.measured import Measured
from benchkit.analysis.quantiles import Sample
from benchkit.analysis.window import Window

Floats = NDArray[np.float64]
Statistics = dict[str, Estimate]

_BINS: Final = 1024
"""In all: fine against the slowest cosines, which alone are looked at."""


@dataclass(frozen=True, slots=True)
class TimeBins:
    """Equal stretches of a window's time, none of which reaches across a hole."""

    window: Window
    sizes: tuple[int, ...]
    """How many each part of the window has."""

    @classmethod
    def of(cls, window: Window) -> TimeBins:
        """About ``_BINS`` of them, the same length within a part."""
        whole = window.length_s
        if whole <= 0:
            return cls(window, ())
        return cls(window, tuple(max(1, round(_BINS * part.length_s / whole)) for part in window.parts))

    @property
    def count(self) -> int:
        """How many there are; 0 of a window without length."""
        return sum(self.sizes)

    @property
    def middles_ns(self) -> Floats:
        """The middle of each."""
        return np.concatenate(
            [
                part.start_ns + (np.arange(size) + 0.5) * (part.end_ns - part.start_ns) / size
                for part, size in zip(self.window.parts, self.sizes, strict=True)
            ]
        )

    def place(self, stamps_ns: NDArray[Any]) -> NDArray[np.intp]:
        """The bin of each stamp; all must lie in the window."""
        found = np.zeros(stamps_ns.size, dtype=np.intp)
        first = 0
        several = len(self.sizes) > 1
        for part, size in zip(self.window.parts, self.sizes, strict=True):
            length = part.end_ns - part.start_ns
            inside = part.holds(stamps_ns) if several else slice(None)
            offsets = stamps_ns[inside] - part.start_ns
            found[inside] = first + np.minimum((offsets * (size / length)).astype(np.intp), size - 1)
            first += size
        return found

    def total(self, stamps_ns: NDArray[Any], amounts: Floats | None = None) -> Floats:
        """How much is stamped in each bin, of stamps anywhere."""
        inside = self.window.holds(stamps_ns)
        weights = None if amounts is None else amounts[inside]
        counted = np.bincount(self.place(stamps_ns[inside]), weights=weights, minlength=self.count)
        return counted.astype(np.float64)


@dataclass(frozen=True, slots=True)
class Binned:
    """A weighted sample of events with the bins that they were stamped in."""

    sample: Sample
    bins: TimeBins
    heft: Floats
    """Sum of weights in each bin."""
    sums: Floats
    """Sum of weights times values."""
    above: Callable[[float], Floats]
    """Sum of the weights of values above a bound, in each bin."""

    def estimates(self, depth: Depth, requests: int) -> Statistics:
        """Mean and percentiles with intervals from the memory of one run."""
        if not self.sample.total:
            return {}
        whole = float(self.heft.sum())
        mean = float(self.sums.sum()) / whole
        why = depth.refusal()
        if why:
            found = {"mean": Estimate(mean, note=why, effective=depth.independent)}
        else:
            error = self._error(self.sums - mean * self.heft)
            found = {"mean": about(mean, error, depth, positive=self.sample.min >= 0)}
        memory_bins = depth.memory * self.bins.count / max(requests, 1)
        constant = self.sample.min == self.sample.max
        for name, share in SHARES.items():
            beyond = self.above(self.sample.percentile(100 * share))
            error = self._error((1 - share) * self.heft - beyond)
            seen = None if constant else bursts(np.flatnonzero(beyond), memory_bins)
            found[name] = of_share(self._at, self.sample.total, share, error, seen, depth)
        return found

    def between(
        self,
        clusters: repeats.Clusters,
        requests: int,
        level: float = 0.95,
        worth: float | None = None,
    ) -> Statistics:
        """Mean and percentiles with intervals from the spread between repeats; ``worth`` as of ``repeats.between``."""
        if not self.sample.total:
            return {}
        hefts, sums = self._of(self.heft, clusters), self._of(self.sums, clusters)
        there = hefts > 0
        mean = float(self.sums.sum() / self.heft.sum())
        positive = self.sample.min >= 0
        own = sums[there] / hefts[there]
        found = {"mean": repeats.of_means(mean, own, clusters.noun, level, positive=positive, worth=worth)}
        for name, share in SHARES.items():
            beyond = self._of(self.above(self.sample.percentile(100 * share)), clusters)
            influence = ((1 - share) * hefts - beyond)[there] / self.heft.sum()
            count = min(requests, self.sample.total)
            found[name] = repeats.of_clusters(self._at, count, share, influence, clusters.noun, level, worth)
        return found

    def _at(self, share: float) -> float:
        return self.sample.percentile(100 * min(max(share, 0.0), 1.0))

    def _error(self, influence: Floats) -> float:
        """The standard error of a ratio to the whole weight, from each bin's part in its error."""
        variance = float(variance_of_mean(split(influence, self.bins.sizes)))
        return math.sqrt(variance) * influence.size / float(self.heft.sum())

    def _of(self, amounts: Floats, clusters: repeats.Clusters) -> Floats:
        own = np.array([part.sum() for part in np.split(amounts, np.cumsum(self.bins.sizes)[:-1])])
        return np.array([own[list(group)].sum() for group in clusters.groups])


def binned_events(measured: Measured, bins: TimeBins) -> dict[str, Binned]:
    """Of ``itl_ms``, ``chunk_gap_ms`` and ``tokens_per_chunk``: the events of their samples, in bins."""
    chunks, columns = measured.chunks, measured.columns
    counts = np.diff(chunks.offsets)
    inside = measured.inside
    counted = columns.ok | columns.censored
    if not counted.all():
        inside = inside & np.repeat(counted, counts)
    known = inside if chunks.known.all() else inside & np.repeat(chunks.known, counts)
    later = inside.copy()
    later[chunks.offsets[:-1][counts > 0]] = False
    paced = later & known if known is not inside else later
    found = {
        "chunk_gap_ms": _binned(measured, bins, "chunk_gap_ms", later, measured.gaps, None),
        "tokens_per_chunk": _binned(measured, bins, "tokens_per_chunk", known, chunks.tokens, None),
    }
    tokens = chunks.tokens[paced]
    if paced is later and tokens.size and tokens.min() == tokens.max() == 1:
        return found | {"itl_ms": found["chunk_gap_ms"]}
    return found | {"itl_ms": _binned(measured, bins, "itl_ms", paced, measured.gaps, tokens)}


def _binned(
    measured: Measured,
    bins: TimeBins,
    name: str,
    chosen: NDArray[np.bool_],
    amounts: NDArray[Any],
    tokens: NDArray[Any] | None,
) -> Binned:
    """One metric's events; with ``tokens`` each value is shared out among them and weighs as many."""
    place = bins.place(measured.chunks.ns[chosen])
    values = amounts[chosen]
    scale = 1.0 if name == "tokens_per_chunk" else 1e6
    if tokens is None:
        heft = np.bincount(place, minlength=bins.count).astype(np.float64)
        sums = np.bincount(place, weights=values, minlength=bins.count) / scale
    else:
        kept = tokens > 0
        place, tokens = place[kept], tokens[kept]
        heft = np.bincount(place, weights=tokens, minlength=bins.count).astype(np.float64)
        sums = np.bincount(place, weights=values[kept], minlength=bins.count) / scale
        values = values[kept] / tokens

    def above(bound: float) -> Floats:
        beyond = values > bound * scale * (1 + 1e-12)
        weights = None if tokens is None else tokens[beyond]
        return np.bincount(place[beyond], weights=weights, minlength=bins.count).astype(np.float64)

    return Binned(measured.samples[name], bins, heft, sums, above)
