"""The loads of a sweep as tables and charts take them: repeats together, named, in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchkit.analysis.points import LoadPoint

_ORDER: Final = {"synchronous": 0, "throughput": 1}
_CLOSED: Final = frozenset({"concurrent"})


@dataclass(frozen=True, slots=True)
class Load:
    """One load on one setting of the server, with its repeats."""

    points: tuple[LoadPoint, ...]
    series: str
    """Which curve it belongs to; empty where there is only one."""

    @property
    def first(self) -> LoadPoint:
        """One of its points, for what they have in common."""
        return self.points[0]

    @property
    def label(self) -> str:
        """The load in words."""
        return label(self.first)

    @property
    def saturated(self) -> bool:
        """Whether requests piled up in any repeat."""
        return any(point.saturated for point in self.points)

    @property
    def is_everything(self) -> bool:
        """Whether as much was sent as the server would take, so that its times say how much, not how fast."""
        return self.first.load == "throughput"

    @property
    def on_curve(self) -> bool:
        """Whether its times belong to a curve over the load."""
        return not self.saturated and not self.is_everything

    @property
    def count(self) -> int | None:
        """Requests that ended well, of all repeats."""
        counts = [point.count for point in self.points]
        return None if any(count is None for count in counts) else sum(filter(None, counts))

    @property
    def requests_per_s(self) -> float | None:
        """Requests that ended well per second, on average over repeats."""
        return self.rate_of("requests_per_s")

    @property
    def offered_per_s(self) -> float | None:
        """Requests that came per second: as counted, else as asked for, else as answered."""
        asked = [point.rate for point in self.points if point.rate is not None]
        return next(filter(None, (self.rate_of("offered_per_s"), _mean(asked), self.requests_per_s)), None)

    @property
    def in_flight(self) -> float | None:
        """Requests under way, on average over time and repeats."""
        return self.mean(lambda point: point.mean_in_flight)

    def rate_of(self, name: str) -> float | None:
        """A rate by summary.json's names, on average over repeats."""
        return self.mean(lambda point: point.rate_of(name))

    def mean_of(self, metric: str) -> float | None:
        """A metric's mean by summary.json's names, on average over repeats."""
        return self.mean(lambda point: point.statistic(metric, "mean"))

    def mean(self, read: Callable[[LoadPoint], float | None]) -> float | None:
        """What is read of each point, on average over those that have it."""
        return _mean([value for value in map(read, self.points) if value is not None])


def loads(points: Iterable[LoadPoint]) -> list[Load]:
    """The points by load, repeats together, in the order of tables: by setting, then by rising load."""
    ordered = in_order(points)
    groups: dict[tuple[Any, ...], list[LoadPoint]] = {}
    for point in ordered:
        groups.setdefault(_key(point), []).append(point)
    name = _names(ordered)
    return [Load(tuple(group), name(group[0])) for group in groups.values()]


def in_order(points: Iterable[LoadPoint]) -> list[LoadPoint]:
    """By setting as they first came, then one at a time, everything at once, and the others by rising load."""
    given = list(points)
    place = {key: at for at, key in enumerate(dict.fromkeys(map(_cell_key, given)))}

    def order(point: LoadPoint) -> tuple[float, ...]:
        size = point.rate if point.rate is not None else point.concurrency
        least = point.requests_per_s if size is None else size
        return (
            place[_cell_key(point)],
            _ORDER.get(point.load, 2),
            point.load in _CLOSED,
            math.inf if least is None else least,
            point.repeat,
        )

    return sorted(given, key=order)


def label(point: LoadPoint) -> str:
    """A point's load in words: ``constant 4.1/s``, ``32 streams``; its name where it does not say."""
    if point.load in _ORDER:
        return point.load
    if point.rate is not None:
        return f"{point.load} {_short(point.rate)}/s".strip()
    if point.concurrency is not None:
        return f"{point.concurrency} stream{'' if point.concurrency == 1 else 's'}"
    return point.load or point.name


def named(point: LoadPoint) -> str:
    """A point's load with the settings of the server that were varied."""
    settings = ", ".join(f"{name} {value}" for name, value in point.cell.items())
    return f"{label(point)} ({settings})" if settings else label(point)


def cell_columns(points: Sequence[LoadPoint]) -> list[str]:
    """The server's settings that were varied, in the order in which they came."""
    return list(dict.fromkeys(name for point in points for name in point.cell))


def _names(points: Sequence[LoadPoint]) -> Callable[[LoadPoint], str]:
    """How each point's curve is called: the settings, the tool and the kind of loop, as far as these differ."""
    several = len({point.tool for point in points}) > 1
    opened = {_cell_key(point) for point in points if point.is_open_loop}
    closed = {_cell_key(point) for point in points if point.load in _CLOSED}

    def name(point: LoadPoint) -> str:
        parts = [f"{name} {value}" for name, value in point.cell.items()]
        parts += [point.tool] if several else []
        if _cell_key(point) in opened & closed:
            # A single stream and full throughput bound the arrivals, and go with them.
            parts += ["streams" if point.load in _CLOSED else "arrivals"]
        return ", ".join(parts)

    return name


def _cell_key(point: LoadPoint) -> tuple[str, tuple[tuple[str, str], ...]]:
    return point.tool, _frozen(point.cell)


def _key(point: LoadPoint) -> tuple[Any, ...]:
    known = point.load, point.rate, point.concurrency
    unnamed = point.name if point.rate is None and point.concurrency is None else ""
    return (*_cell_key(point), *known, "" if point.load in _ORDER else unnamed)


def _frozen(cell: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in cell.items()))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _short(value: float) -> str:
    """A rate as one writes it: three digits, and no zeros at the end."""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
