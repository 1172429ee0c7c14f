"""The loads of a sweep: which, in which order, and what became of each."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from benchkit.errors import SweepFailed
from benchkit.parameters import RunParameters, SweepParameters, resolve

Status = Literal["planned", "running", "complete", "interrupted", "failed"]
_SEEDS_APART = 1_000


@dataclass(slots=True)
class SweepPoint:
    """One load of a sweep.

    Attributes:
        place: where it stands in the sweep, ``c0-p02``; the same for the same load of a sweep that goes on.
        label: what a reader calls it, ``4.1 requests/s``.
        load, rate, concurrency: as of a run; null where they do not apply.
        duration_s: of its window, where that is not the sweep's.
        seed: of its contents: no two points of a cell send the same prompts, which would be in the server's cache.
        cell: settings of the server that the sweep varies.
        status: how far it is.
        folder: name of its run's folder, inside the sweep's.
        saturation: what ``analysis.saturation`` says of it.
        bound: what held a throughput point back, in a sentence.
        settled: how long the server was waited for before it, and by what it was judged.
        cache_reset: whether the server forgot its prefix cache before it.
        error: why it failed.
    """

    place: str
    label: str
    load: str
    seed: int
    rate: float | None = None
    concurrency: int | None = None
    duration_s: float | None = None
    cell: dict[str, Any] = field(default_factory=dict)
    status: Status = "planned"
    folder: str = ""
    saturation: dict[str, Any] | None = None
    bound: str = ""
    settled: dict[str, Any] | None = None
    cache_reset: bool | None = None
    error: str = ""

    @property
    def saturated(self) -> bool | None:
        """Whether requests piled up in it; None where that is not known."""
        return {"saturated": True, "steady": False}.get((self.saturation or {}).get("state", ""))

    def as_dict(self) -> dict[str, Any]:
        """As sweep.json holds it."""
        return asdict(self)

    def run_parameters(self, sweep: SweepParameters, url: str, out: str) -> RunParameters:
        """What its run is asked for."""
        values = sweep.run_values | {
            "url": url,
            "out": out,
            "name": self.label.replace(" ", "-").replace("/", "-per-"),
            "load": self.load,
            "seed": self.seed,
        }
        if self.rate is not None:
            values["rate"] = self.rate
        if self.duration_s is not None:
            values["duration_s"] = self.duration_s
        if self.load == "concurrent" and self.concurrency is not None:
            values["concurrency"] = self.concurrency
        if self.load == "throughput":
            values["max_in_flight"] = sweep.max_in_flight
        return resolve(values)


def first_points(sweep: SweepParameters, cell: Mapping[str, Any], number: int) -> list[SweepPoint]:
    """The points of a cell that are known before anything was measured.

    Args:
        sweep: the sweep's parameters.
        cell: settings of the server.
        number: the cell's place, from 0.
    """
    if sweep.is_list:
        listed = [_at_rate(sweep, rate) for rate in sweep.rates]
        listed += [
            {"label": f"{streams} streams", "load": "concurrent", "concurrency": streams}
            for streams in sweep.concurrencies
        ]
        return shuffled(_numbered(sweep, cell, number, 0, listed), sweep, number)
    throughput = {"label": "throughput", "load": "throughput", "concurrency": sweep.max_in_flight or 512}
    return _numbered(
        sweep,
        cell,
        number,
        0,
        [{"label": "synchronous", "load": "synchronous", "concurrency": 1}, throughput],
    )


def points_between(
    sweep: SweepParameters, cell: Mapping[str, Any], number: int, slowest: float | None, fastest: float | None
) -> list[SweepPoint]:
    """Points evenly spaced from the rate of one request at a time to that of full throughput, which is the last.

    As GuideLLM's sweep; where throughput is no higher than one at a time (a server of one seat), from 0.

    Args:
        sweep: the sweep's parameters.
        cell: settings of the server.
        number: the cell's place, from 0.
        slowest: requests/s of the synchronous point.
        fastest: requests/s of the throughput point.

    Raises:
        SweepFailed: no request was answered in the window of one of the two.
    """
    for name, rate in (("synchronous", slowest), ("throughput", fastest)):
        if not rate:
            raise SweepFailed(
                f"no request ended in the window of the {name} point, so the rates of the others are unknown: "
                "raise 'duration_s', lower 'output_tokens', or list 'rates'"
            )
    assert slowest is not None
    assert fastest is not None
    low = slowest if fastest > 1.05 * slowest else 0.0
    step = (fastest - low) / sweep.points
    rates = [float(f"{low + step * (at + 1):.4g}") for at in range(sweep.points)]
    points = _numbered(sweep, cell, number, 2, [_at_rate(sweep, rate) for rate in rates])
    return shuffled(points, sweep, number)


def numbered_point(sweep: SweepParameters, at: int, rate: float, **more: Any) -> SweepPoint:
    """The point of a search at a rate.

    Args:
        sweep: the sweep's parameters.
        at: its place in the search, from 0.
        rate: requests/s.
        more: further fields of ``SweepPoint``.
    """
    return _numbered(sweep, {}, 0, at, [_at_rate(sweep, rate) | more])[0]


def shuffled(points: Sequence[SweepPoint], sweep: SweepParameters, number: int) -> list[SweepPoint]:
    """The points in the order that they are measured in, drawn from the seed where the sweep says so."""
    order = list(points)
    if sweep.shuffle:
        digest = hashlib.sha256(f"order {sweep.seed} {number}".encode()).digest()
        random.Random(digest).shuffle(order)  # noqa: S311 - chance to be repeated
    return order


def _at_rate(sweep: SweepParameters, rate: float) -> dict[str, Any]:
    return {"label": f"{rate:g} requests/s", "load": sweep.arrivals, "rate": rate}


def _numbered(
    sweep: SweepParameters,
    cell: Mapping[str, Any],
    number: int,
    start: int,
    loads: Sequence[Mapping[str, Any]],
) -> list[SweepPoint]:
    # Cells share seeds: the same requests meet each of them, and each starts with an empty cache.
    return [
        SweepPoint(
            place=f"c{number}-p{at:02d}", seed=sweep.seed + _SEEDS_APART * (at + 1), cell=dict(cell), **load
        )
        for at, load in enumerate(loads, start)
    ]
