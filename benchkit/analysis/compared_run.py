"""What counts as one observation in a comparison: a run, or one repeat of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis.compared_number import ComparedNumber
from benchkit.analysis.points import LoadPoint

if TYPE_CHECKING:
    from benchkit.analysis.run_samples import RunSamples

Floats = NDArray[np.float64]

_OPEN = ("constant", "poisson", "gamma")
_DRAWN = (
    "load",
    "requests",
    "warmup_s",
    "duration_s",
    "dataset",
    "input_tokens",
    "output_tokens",
    "input_tokens_spread",
    "output_tokens_spread",
    "prefix_tokens",
    "seed",
)
"""What a plan's times and lengths are drawn from, whatever its contents and the server; see ``plan.PlanSpec``."""


class Start(NamedTuple):
    """One start of a server: two servers may have begun within the resolution of what they tell."""

    url: str
    started_at: float


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """A run or one repeat of it, with what pairing and judging need to know of it."""

    name: str
    point: LoadPoint
    """Its own numbers; of a repeat those of this repeat alone."""
    repeat: int = 0
    start: Start | None = None
    """The start of the server that answered it; None where that is not known."""
    begun_s: float | None = None
    """When its window began, in seconds since 1970."""
    _samples: Callable[[], RunSamples | None] = field(default=lambda: None, repr=False, compare=False)

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Of the run."""
        return self.point.manifest

    @property
    def samples(self) -> RunSamples | None:
        """Its distributions; None where its source has no requests."""
        return self._samples()

    @property
    def plan(self) -> str | None:
        """By what its times and lengths are known: equal where they are equal; None where nobody knows."""
        pair = self.manifest.get("pair")
        if pair:
            return f"pair {pair['number'] + 1} of {pair['comparison']}"
        spec = self.manifest.get("plan_spec") or {}
        if "seed" not in spec or "load" not in spec:
            return None
        load = str(spec["load"])
        names = _DRAWN + (("rate", "burstiness") if load in _OPEN else ("concurrency",))
        return ", ".join(f"{name} {spec.get(name)}" for name in names) + f", repeat {self.repeat}"

    @property
    def prompts(self) -> str | None:
        """By what its prompts are known; None where nobody knows."""
        digest = (self.manifest.get("plan") or {}).get("sha256")
        return f"{digest}/{self.repeat}" if digest else None

    @property
    def order(self) -> tuple[int, int] | None:
        """Seed and repeat: how runs of one plan with several seeds are told apart; None where nobody knows."""
        seed = (self.manifest.get("parameters") or {}).get("seed")
        return None if seed is None else (int(seed), self.repeat)

    def value(self, number: ComparedNumber) -> float | None:
        """One number of it; None where it has none."""
        if number.metric in ("error_rate", "shed_rate") and not number.statistic:
            return self._share("failed" if number.metric == "error_rate" else "shed")
        told = number.value(self.point)
        if told is not None or not number.statistic.startswith("p"):
            return told
        own = self.samples
        values = None if own is None else own.requests.get(number.metric)
        if values is None or not values.size:
            return None
        return float(np.percentile(values, float(number.statistic[1:].replace("_", "."))))

    def _share(self, outcome: str) -> float | None:
        counts = self.point.summary.get("requests") or {}
        known = [counts.get(name) for name in ("ok", "shed", "failed")]
        total = sum(int(count) for count in known if count is not None)
        return counts[outcome] / total if counts.get(outcome) is not None and total else None


def runs_of(point: LoadPoint) -> tuple[ComparedRun, ...]:
    """A measured load as the runs that it is: one, or as many as it has repeats."""
    records, manifest = point.records, point.manifest
    if records is None:
        return (ComparedRun(point.name, point, begun_s=_begun_s(manifest, 0)),)

    # Read once for all repeats, and only when someone asks.
    @lru_cache(maxsize=1)
    def read() -> tuple[RunSamples, ...]:
        from benchkit.analysis.run_samples import samples_of

        return samples_of(records)

    facts = manifest.get("load") or {}
    starts = facts.get("server_starts") or []
    whole = ComparedRun(
        point.name,
        point,
        start=_start(manifest, starts[0] if len(starts) == 1 else None),
        begun_s=_begun_s(manifest, 0),
        _samples=lambda: read()[0],
    )
    if len(facts.get("windows") or ()) < 2:
        return (whole,)
    return tuple(
        replace(
            whole,
            name=f"{point.name}, repeat {repeat + 1}",
            point=replace(point, summary=part.summary or point.summary, repeat=repeat),
            repeat=repeat,
            start=_start(manifest, starts[repeat] if repeat < len(starts) else None),
            begun_s=_begun_s(manifest, repeat),
            _samples=partial(_same, part),
        )
        for repeat, part in enumerate(read())
    )


def _same(samples: RunSamples) -> RunSamples:
    return samples


def _start(manifest: Mapping[str, Any], sampled: float | None) -> Start | None:
    server = manifest.get("server") or {}
    at = sampled if sampled is not None else server.get("started_at")
    return None if at is None else Start(str(server.get("url", "")), float(at))


def _begun_s(manifest: Mapping[str, Any], repeat: int) -> float | None:
    wall_ns = (manifest.get("clock") or {}).get("wall_ns")
    windows = (manifest.get("load") or {}).get("windows") or []
    if wall_ns:
        return float(wall_ns + (windows[repeat]["start_ns"] if repeat < len(windows) else 0)) / 1e9
    try:
        return datetime.fromisoformat(str(manifest.get("created"))).timestamp()
    except ValueError:
        return None
