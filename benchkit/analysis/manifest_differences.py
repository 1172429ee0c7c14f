"""In what the runs of two sides were measured differently, the weightiest first, and what forbids a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from benchkit.analysis.compared_run import ComparedRun
from benchkit.errors import UnlikeRuns
from benchkit.parameters.compare import DIFFERENCES

Point = Literal["model", "workload", "load", "machine", "tool", "server", "client", "extent", "judging"]
"""What a fact is about, the weightiest first."""
POINTS: tuple[Point, ...] = get_args(Point)
REFUSED = DIFFERENCES
"""Runs that differ in one of these are not compared unless that is the point."""
_MEANING: Mapping[Point, str] = {
    "model": "the model that was served",
    "workload": "what was asked",
    "load": "how much was asked at once",
    "machine": "the machine that measured",
    "tool": "the tool that measured",
    "server": "the server",
    "client": "the measuring software",
    "extent": "how long it was measured",
    "judging": "what goodput asks of a request",
}
_ROUNDED = 0.02
"""Numbers of other tools' files are means of what was measured: so much apart they are the same setting."""
_LENGTHS = ("input_tokens", "output_tokens")
"""Of these the mean is rounded to whole tokens."""
_MEMORY_APART = 0.02
"""A kernel keeps some of the memory for itself, each version another part."""

_OPEN = ("constant", "poisson", "gamma")
_OF_PARAMETERS: Mapping[Point, tuple[str, ...]] = {
    "workload": (
        "dataset",
        "endpoint",
        "prompt_form",
        "input_tokens",
        "output_tokens",
        "input_tokens_spread",
        "output_tokens_spread",
        "prefix_tokens",
        "ignore_eos",
        "temperature",
        "extra_body",
    ),
    "client": ("transport", "workers", "connections", "timeout_s"),
    "extent": ("duration_s", "requests", "warmup_s", "drain_s"),
    "judging": ("slo",),
}
_OF_ENVIRONMENT: Mapping[Point, tuple[str, ...]] = {
    "machine": (
        "cpu_model",
        "cpu_count",
        "cpu_affinity",
        "cpu_quota",
        "cpu_governor",
        "memory_total",
        "gpus",
        "container",
    ),
    "client": ("benchkit", "git_commit", "python", "client_packages", "os", "kernel", "clock_source"),
}
_OF_SERVER = ("engine", "version", "max_model_len", "url")


class _Fact(NamedTuple):
    point: Point
    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class ManifestDifference:
    """One fact that is not the same on both sides."""

    point: Point
    name: str
    """By the manifest's name."""
    base: tuple[str, ...]
    """Its values in the runs of the base, each once; as the manifest has them, not escaped."""
    new: tuple[str, ...]

    @property
    def is_refused(self) -> bool:
        """Whether runs that differ so are not alike."""
        return self.point in REFUSED

    @property
    def text(self) -> str:
        """As ``rate: 4 -> 5``."""
        return f"{self.name}: {' or '.join(self.base)} \N{RIGHTWARDS ARROW} {' or '.join(self.new)}"


def manifest_differences(
    base: Sequence[ComparedRun], new: Sequence[ComparedRun], *, loads_match: bool = False
) -> tuple[ManifestDifference, ...]:
    """The facts that differ between two sides, by weight; what a source does not say is no difference.

    Args:
        base: the runs of the base.
        new: the runs of the other side.
        loads_match: whether the loads were matched one by one already.
    """
    ours, theirs = _facts_of(base), _facts_of(new)
    found = []
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        one, other = ours.get(key, []), theirs.get(key, [])
        if not one or not other or _same(one, other, key[1], _is_rounded([*base, *new])):
            continue
        found.append(ManifestDifference(key[0], key[1], _texts(one), _texts(other)))
    found = [each for each in found if not (loads_match and each.point == "load")]
    return tuple(sorted(found, key=lambda each: POINTS.index(each.point)))


def unknown_points(base: Sequence[ComparedRun], new: Sequence[ComparedRun]) -> tuple[str, ...]:
    """What a side does not tell, so that nobody knows whether it is the same: words such as "the machine"."""
    told = [{point for point, _ in _facts_of(side)} for side in (base, new)]
    asked: tuple[Point, ...] = ("model", "machine", "server")
    return tuple(_MEANING[point] for point in asked if not all(point in side for side in told))


def refuse_unlike(
    differences: Sequence[ManifestDifference],
    sides: Mapping[str, Sequence[ComparedRun]],
    allowed: Sequence[str],
) -> None:
    """Lets runs through that are alike, but for what is the point of the comparison.

    Args:
        differences: what differs between the sides.
        sides: the runs of each side by its name; those of one side must be alike in any case.
        allowed: points in which the sides may differ.

    Raises:
        UnlikeRuns: they are not; the text names each difference and how to say that it is the point.
    """
    for side, runs in sides.items():
        mixed = [each for each in _mixed(runs) if each[0] in REFUSED]
        if mixed:
            point, name, values = mixed[0]
            raise UnlikeRuns(
                f"the runs of the {side} differ among themselves in {_MEANING[point]} ({name}: {', '.join(values)}): "
                "a side is several runs of one setting; leave out those of the other"
            )
    refused = [each for each in differences if each.is_refused and each.point not in allowed]
    if refused:
        points = list(dict.fromkeys(each.point for each in refused))
        told = "; ".join(each.text for each in refused[:8])
        more = f"; and {len(refused) - 8} more" if len(refused) > 8 else ""
        flags = " ".join(f"--differs {point}" for point in points)
        raise UnlikeRuns(
            f"the sides are not alike in {_listed([_MEANING[point] for point in points])} ({told}{more}), so their "
            f"difference would not be the one that is looked for; if that is the point, say so: {flags}"
        )


def _mixed(runs: Sequence[ComparedRun]) -> Iterator[tuple[Point, str, tuple[str, ...]]]:
    for (point, name), values in _facts_of(runs).items():
        first = values[0]
        if any(not _equal(first, value, name, _is_rounded(runs)) for value in values[1:]):
            yield point, name, _texts(values)


def _facts_of(runs: Sequence[ComparedRun]) -> dict[tuple[Point, str], list[Any]]:
    """Of each fact the values that there are, each once."""
    found: dict[tuple[Point, str], list[Any]] = {}
    for run in runs:
        for fact in _facts(run):
            if fact.value is None:
                continue
            values = found.setdefault((fact.point, fact.name), [])
            if fact.value not in values:
                values.append(fact.value)
    return found


def _facts(run: ComparedRun) -> Iterator[_Fact]:
    manifest = run.manifest
    asked: Mapping[str, Any] = manifest.get("parameters") or {}
    preflight, server = manifest.get("preflight") or {}, manifest.get("server") or {}
    environment, imported = manifest.get("environment") or {}, manifest.get("imported") or {}
    yield _Fact("model", "model", preflight.get("model") or asked.get("model") or None)
    yield from (_Fact("load", name, value) for name, value in _load(run, asked))
    yield _Fact("tool", "tool", run.point.tool)
    for point, names in _OF_PARAMETERS.items():
        yield from (_Fact(point, name, asked.get(name)) for name in names)
    if "ignore_eos_honoured" in preflight:
        yield _Fact("workload", "ignore_eos honoured", preflight["ignore_eos_honoured"])
    for point, names in _OF_ENVIRONMENT.items():
        yield from (_Fact(point, name, environment.get(name)) for name in names)
    workers = [each for each in (manifest.get("load") or {}).get("workers") or () if each]
    first = {each["realtime"] for each in workers if "realtime" in each}
    yield _Fact("client", "goes first at the processor", ("yes" if all(first) else "no") if first else None)
    yield from (_Fact("server", name, server.get(name)) for name in _OF_SERVER)
    if imported:
        yield _Fact("client", f"{run.point.tool} version", imported.get("version"))
        yield from (
            _Fact("server", str(name), value) for name, value in (imported.get("facts") or {}).items()
        )


def _load(run: ComparedRun, asked: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    point = run.point
    yield "load", point.load or None
    yield "rate", point.rate
    yield "concurrency", point.concurrency
    if point.load == "gamma":
        yield "burstiness", asked.get("burstiness")
    if point.load in _OPEN:
        yield "max_in_flight", asked.get("max_in_flight")
    yield "setting of the sweep", dict(point.cell) or None


def _same(one: Sequence[Any], other: Sequence[Any], name: str, rounded: bool) -> bool:
    """Whether every value of each side has its like on the other."""
    return all(any(_equal(a, b, name, rounded) for b in other) for a in one) and all(
        any(_equal(a, b, name, rounded) for a in one) for b in other
    )


def _equal(one: Any, other: Any, name: str, rounded: bool) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (one, other))
    apart = _MEMORY_APART if name == "memory_total" else _ROUNDED if rounded else 0.0
    if numbers and apart:
        most = apart * max(abs(one), abs(other))
        return bool(abs(one - other) <= (max(most, 1) if rounded and name in _LENGTHS else most))
    return bool(one == other)


def _is_rounded(runs: Sequence[ComparedRun]) -> bool:
    return any(run.point.tool != "benchkit" for run in runs)


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_text(value) for value in values))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    return str(value) if value != "" else "empty"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
