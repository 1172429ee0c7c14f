"""Two sides of runs under the same loads, number by number."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from benchkit.analysis import repeats
from benchkit.analysis.binomial import needed_for
from benchkit.analysis.catalogue import METRICS
from benchkit.analysis.compared_number import ComparedNumber
from benchkit.analysis.compared_run import ComparedRun
from benchkit.analysis.difference import CLIENT_FLOOR, SINGLE, Difference, difference, holm
from benchkit.analysis.estimate import Estimate
from benchkit.analysis.intervals import SHARES
from benchkit.analysis.pairing import Asked, Pairing, pairing

Runs = Sequence[ComparedRun]

HEADLINES: tuple[ComparedNumber, ...] = (
    ComparedNumber("ttft_ms", "mean"),
    ComparedNumber("ttft_ms", "p50"),
    ComparedNumber("ttft_ms", "p99"),
    ComparedNumber("itl_ms", "mean"),
    ComparedNumber("itl_ms", "p99"),
    ComparedNumber("tpot_ms", "mean"),
    ComparedNumber("latency_ms", "mean"),
    ComparedNumber("latency_ms", "p99"),
    ComparedNumber("requests_per_s", ""),
    ComparedNumber("output_tokens_per_s", ""),
    ComparedNumber("goodput_per_s", ""),
)
"""What is compared where nobody says otherwise."""
_BY_REQUEST = frozenset(metric.name for metric in METRICS if metric.weight == "request")
_NEUTRAL = {"in_flight", "tokens_per_chunk"}


@dataclass(frozen=True, slots=True)
class NumberCompared:
    """One number on both sides under one load."""

    number: ComparedNumber
    base: Estimate
    """Of all runs of the side together; of a single run with the interval inside it, which decides nothing."""
    new: Estimate
    by_run: tuple[tuple[float | None, ...], tuple[float | None, ...]]
    """The value of each run of both sides; of pairs in the same order."""
    difference: Difference
    adjusted_p: float | None = None
    """Holm's p over all numbers and loads that were looked at."""
    looked_at: int = 1
    """How many these are."""

    @property
    def stands_out(self) -> bool:
        """Whether it differs beside all the others that were looked at."""
        return self.adjusted_p is not None and self.adjusted_p < self.difference.alpha

    def words(self, change: float) -> str:
        """The difference in words.

        Args:
            change: the smallest change that matters, as a share.
        """
        if self.difference.note == SINGLE:
            return "cannot tell: a single run a side"
        neutral = self.number.metric in _NEUTRAL
        told = self.difference.words(change, *(("higher", "lower") if neutral else ()))
        if self.difference.differs() and not self.stands_out:
            return f"{told} taken alone; with {self.looked_at} numbers looked at it may be chance (Holm)"
        return told


@dataclass(frozen=True, slots=True)
class LoadCompared:
    """Both sides under one load."""

    label: str
    """The load in words."""
    pairing: Pairing
    numbers: tuple[NumberCompared, ...]

    @property
    def base(self) -> tuple[ComparedRun, ...]:
        """The runs of the base."""
        return self.pairing.base

    @property
    def new(self) -> tuple[ComparedRun, ...]:
        """The runs of the other side."""
        return self.pairing.new

    def of(self, number: ComparedNumber) -> NumberCompared | None:
        """One of its numbers; None where it was not compared."""
        return next((each for each in self.numbers if each.number == number), None)


def compare_load(
    label: str,
    base: Runs,
    new: Runs,
    numbers: Sequence[ComparedNumber],
    *,
    paired: Asked = "auto",
    alpha: float = 0.05,
    keep: Collection[ComparedNumber] | None = None,
) -> LoadCompared:
    """Compares the runs of two sides under one load.

    Args:
        label: the load in words.
        base: the runs of the base.
        new: the runs of the other side.
        numbers: what is compared.
        paired: see ``pairing.pairing``.
        alpha: error of each difference's interval.
        keep: numbers that stay even where not every run has them; None = all.

    Raises:
        InvalidParameter: pairs are asked for, and there are none.
    """
    found = pairing(base, new, paired)
    # Of a single run it says more that it is single than of which start it is.
    single = min(len(found.base), len(found.new)) < 2
    starts = None if single else starts_of(found.base, found.new)
    compared = []
    for number in numbers:
        values = tuple(tuple(run.value(number) for run in side) for side in (found.base, found.new))
        missing = any(value is None for side in values for value in side)
        if missing and keep is not None and number not in keep:
            continue
        compared.append(
            NumberCompared(
                number,
                _estimate(number, found.base, values[0]),
                _estimate(number, found.new, values[1]),
                (values[0], values[1]),
                difference(
                    values[0],
                    values[1],
                    paired=found.paired,
                    higher_is_worse=number.higher_is_worse,
                    starts=starts,
                    floor=CLIENT_FLOOR,
                    alpha=alpha,
                ),
            )
        )
    return LoadCompared(label, found, tuple(compared))


def adjusted(loads: Sequence[LoadCompared]) -> tuple[LoadCompared, ...]:
    """The same with each number judged beside all others of all loads (Holm)."""
    every = [each for load in loads for each in load.numbers]
    tested = [(at, p) for at, each in enumerate(every) if (p := each.difference.p) is not None]
    corrected = dict(zip([at for at, _ in tested], holm([p for _, p in tested]), strict=True))
    told = [_with_p(each, corrected.get(at), len(tested)) for at, each in enumerate(every)]
    found, place = [], 0
    for load in loads:
        own = told[place : place + len(load.numbers)]
        found.append(LoadCompared(load.label, load.pairing, tuple(own)))
        place += len(own)
    return tuple(found)


def starts_of(base: Runs, new: Runs) -> tuple[list[int], list[int]] | None:
    """The server starts of both sides' runs, numbered; None where one of them is not known."""
    numbers: dict[object, int] = {}
    if any(run.start is None for run in [*base, *new]):
        return None
    found = [[numbers.setdefault(run.start, len(numbers)) for run in side] for side in (base, new)]
    return found[0], found[1]


def _with_p(compared: NumberCompared, p: float | None, looked_at: int) -> NumberCompared:
    return NumberCompared(
        compared.number, compared.base, compared.new, compared.by_run, compared.difference, p, looked_at
    )


def _estimate(number: ComparedNumber, runs: Runs, values: Sequence[float | None]) -> Estimate:
    """The number of a side: of one run as its summary has it, of several with the spread between them."""
    known = np.array([value for value in values if value is not None], dtype=float)
    if known.size < len(runs) or not known.size:
        return Estimate(None, note="not every run has this number")
    if len(runs) == 1:
        return _of_one(number, runs[0], float(known[0]))
    labels = starts_of(runs, ())
    starts = None if labels is None else [float(label) for label in labels[0]]
    requests = _of_requests(number, runs)
    if requests is not None:
        return repeats.between(requests, starts, number.statistic)
    clusters = repeats.clusters_of([True] * len(runs), starts)
    own = np.array([known[list(group)].mean() for group in clusters.groups])
    return repeats.of_means(float(known.mean()), own, clusters.noun, positive=bool(known.min() >= 0))


def _of_requests(number: ComparedNumber, runs: Runs) -> list[repeats.Floats] | None:
    """The values behind a statistic of requests; None where it is none, or a source has no requests."""
    if number.metric not in _BY_REQUEST or number.statistic not in {"mean", *SHARES}:
        return None
    samples = [run.samples for run in runs]
    found = [each.requests[number.metric] for each in samples if each and number.metric in each.requests]
    # A run that does not reach a percentile is compared by what it has, and both values are shown as such.
    fewest = needed_for(SHARES[number.statistic]) if number.statistic in SHARES else 1
    return found if len(found) == len(runs) and min(each.size for each in found) >= fewest else None


def _of_one(number: ComparedNumber, run: ComparedRun, value: float) -> Estimate:
    whole = (run.point.summary.get("windows") or {}).get("whole") or {}
    group = whole.get("metrics" if number.statistic else "rates") or {}
    told = group.get(number.metric) or {}
    limits, note = told.get("ci95"), told.get("note", "")
    if number.statistic:
        limits = (limits or {}).get(number.statistic)
        note = (told.get("notes") or {}).get(number.statistic, "")
    if not limits:
        return Estimate(value, note=str(note))
    return Estimate(value, float(limits[0]), float(limits[1]))
