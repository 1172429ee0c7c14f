"""Findings about the objectives: which are missed, which are met and how narrowly, which the run leaves open."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from benchkit.analysis.digits import between, measured
from benchkit.analysis.finding import Finding
from benchkit.analysis.finding_remedies import longer_flag
from benchkit.analysis.finding_run import SeenRun
from benchkit.analysis.finding_words import listed, many, plainly, share
from benchkit.analysis.intervals import Depth
from benchkit.errors import BenchkitError
from benchkit.objectives import AllOf, Objective, StatisticObjective, parse

_SHOWN: Final = 3
_NARROW: Final = 0.1
"""An objective met by less than this part of its bound is met narrowly."""
_SURER: Final = 4.0 / 1.2
"""An interval half as wide takes four times as much; the flag for it adds a fifth."""


def of_objectives(run: SeenRun) -> Iterator[Finding]:
    """What the run says of the objectives that it was asked about; nothing where it was asked about none."""
    asked = list(run.summary.get("slo") or ())
    if not asked or run.is_invalid:
        return
    missed, open_ones, met = (
        [each for each in asked if each["verdict"] == verdict] for verdict in ("fails", "undecided", "meets")
    )
    if missed:
        yield _missed(run, missed, asked)
    if open_ones:
        yield _undecided(run, open_ones, asked)
    if met and not missed and not open_ones:
        yield _met(met)


def _missed(run: SeenRun, missed: Sequence[Mapping[str, Any]], asked: Sequence[Mapping[str, Any]]) -> Finding:
    flags = (_search(run, missed),) if run.is_open else ()
    return Finding(
        name="objectives_missed",
        what=f"It misses {_of(missed, asked)}: {_named(missed)}.",
        meaning="At this load the service does not do what was asked of it; that is more than chance.",
        next_step="Find the highest load at which it does, with the same objectives."
        if flags
        else "Lower the load, or the objective.",
        flags=flags,
    )


def _search(run: SeenRun, missed: Sequence[Mapping[str, Any]]) -> str:
    """The command that finds the highest load at which the missed objectives are met."""
    url = plainly(str(run.parameters.get("url") or ""))
    words = ["benchkit sweep", f"-p url {shlex.quote(url)}" if url else "", "-p sweep adaptive"]
    words += [f"-p slo {shlex.quote(plainly(str(each['text'])))}" for each in missed[:1]]
    return " ".join(filter(None, words))


def _undecided(
    run: SeenRun, open_ones: Sequence[Mapping[str, Any]], asked: Sequence[Mapping[str, Any]]
) -> Finding:
    notes = [plainly(str(each["note"])) for each in open_ones if each.get("note")]
    return Finding(
        name="objectives_undecided",
        what=f"{_of(open_ones, asked, begin=True)} {'is' if len(open_ones) == 1 else 'are'} undecided: "
        f"{_named(open_ones)}.",
        meaning="This run cannot tell met from missed: neither may be reported.",
        why=f"{notes[0][0].upper()}{notes[0][1:]}." if notes else "",
        next_step="Measure longer, or repeat: an interval half as wide takes four times as much.",
        flags=(*longer_flag(_times(run, open_ones), run), "-p repeats 5"),
    )


def _times(run: SeenRun, open_ones: Sequence[Mapping[str, Any]]) -> float:
    """How many times as long the run must be: four times, or what its percentiles need, whichever is more."""
    told = run.whole.get("intervals") or {}
    sample = told.get("effective_requests") or told.get("requests")
    quantiles = [
        objective.quantile
        for each in open_ones
        if isinstance(objective := _parsed(each), StatisticObjective) and objective.quantile is not None
    ]
    if not sample or not quantiles:
        return _SURER
    return float(
        max(_SURER, *(Depth(1.0, float(sample)).needed(quantile) / sample for quantile in quantiles))
    )


def _met(met: Sequence[Mapping[str, Any]]) -> Finding:
    near = min(
        ((margin, each) for each in met if (margin := _margin(each)) is not None), default=None, key=_first
    )
    if near is None:
        meaning = ""
    else:
        closeness = "narrowly" if near[0] < _NARROW else "with room to spare"
        which = f"The closest, {plainly(near[1]['text'])}, is" if len(met) > 1 else "It is"
        meaning = f"{which} met {closeness}."
    return Finding(
        name="objectives_met",
        what=f"It meets {_of(met, met)}: {_named(met)}.",
        meaning=meaning,
    )


def _first(pair: tuple[float, Any]) -> float:
    return pair[0]


def _of(some: Sequence[Any], asked: Sequence[Any], *, begin: bool = False) -> str:
    if len(some) < len(asked):
        return f"{len(some)} of {many(len(asked), 'objective')}"
    said = {1: "its one objective", 2: "both of its objectives"}.get(
        len(asked), f"all of its {len(asked)} objectives"
    )
    return said[0].upper() + said[1:] if begin else said


def _named(some: Sequence[Mapping[str, Any]]) -> str:
    told = [
        plainly(str(each["text"])) + (f" ({value})" if (value := _value(each)) else "")
        for each in some[:_SHOWN]
    ]
    more = len(some) - _SHOWN
    return listed([*told, f"{more} more"] if more > 0 else told)


def _value(each: Mapping[str, Any]) -> str:
    """The value with its interval, as a reader compares it with the bound."""
    value, unit, limits = each.get("value"), str(each.get("unit") or ""), each.get("ci95")
    if value is None:
        return ""
    if unit == "share":
        return share(value) + (f", {share(limits[0])} to {share(limits[1])}" if limits else "")
    interval = (float(limits[0]), float(limits[1])) if limits else None
    said = f"{measured(float(value), interval)} {unit}".strip()
    return said if interval is None else f"{said}, {between(*interval)}"


def _margin(each: Mapping[str, Any]) -> float | None:
    """How far the worse end of the interval is from the bound, as a part of the bound; None where nothing says."""
    objective = _parsed(each)
    if objective is None or isinstance(objective, AllOf) or each.get("value") is None or not objective.bound:
        return None
    low, high = each.get("ci95") or (each["value"], each["value"])
    worse = float(high) if objective.is_upper else float(low)
    away = objective.bound - worse if objective.is_upper else worse - objective.bound
    return away / abs(objective.bound)


def _parsed(each: Mapping[str, Any]) -> Objective | None:
    """The objective of a summary; None where another version wrote what this one does not read."""
    try:
        return parse(str(each["text"]))
    except BenchkitError:
        return None
