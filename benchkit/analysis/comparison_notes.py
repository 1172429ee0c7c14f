"""What to keep in mind with a comparison: how its runs were made, and what their numbers do not say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from benchkit.analysis.binomial import needed_for
from benchkit.analysis.compared_run import ComparedRun
from benchkit.analysis.comparison import LoadCompared, NumberCompared

Sides = Mapping[str, Sequence[ComparedRun]]
"""Two sides by their names, the base first."""

_APART = 0.2
_DISAGREES = 0.1
_WEIGHTS = ("invalid", "suspect")
_ORDER_KNOWN_FROM = 2


def untrusted(sides: Sides) -> str:
    """Why nothing may be decided: a run's measurement is invalid; empty where none is."""
    for name, runs in sides.items():
        bad = [run for run in runs if run.point.verdict == "invalid"]
        if bad:
            return (
                f"cannot tell: {len(bad)} of {len(runs)} runs of {name} are invalid measurements "
                f"({_reasons(bad, 'invalid')})"
            )
    return ""


def comparison_notes(
    sides: Sides, loads: Sequence[LoadCompared], unknown: Sequence[str] = ()
) -> tuple[str, ...]:
    """Sentences, the weightiest first.

    Args:
        sides: all runs that are compared.
        loads: what was compared.
        unknown: what a source does not tell, in words.
    """
    found = [sentence for rule in _OF_SIDES for sentence in rule(sides)]
    found += [sentence for rule in _OF_LOADS for sentence in rule(loads)]
    found += _sources(sides)
    if unknown:
        found.append(
            f"not every source tells {' and '.join(unknown)}: nobody checked that both sides agree in that"
        )
    return tuple(dict.fromkeys(found))


def _verdicts(sides: Sides) -> Iterator[str]:
    for verdict in _WEIGHTS:
        for name, runs in sides.items():
            bad = [run for run in runs if run.point.verdict == verdict]
            if bad:
                are = "is" if len(bad) == 1 else "are"
                yield f"{len(bad)} of {len(runs)} runs of {name} {are} {verdict}: {_reasons(bad, verdict)}"


def _reasons(runs: Sequence[ComparedRun], verdict: str) -> str:
    every = [
        reason
        for run in runs
        for reason in (run.point.summary.get("validity") or {}).get("reasons") or ()
        if reason.get("level", verdict) == verdict
    ]
    told = dict.fromkeys(str(reason.get("what") or reason.get("name")) for reason in every)
    return "; ".join(told) or "no reason is stored"


def _failures(sides: Sides) -> Iterator[str]:
    told = {name: _lost(runs) for name, runs in sides.items()}
    if any(lost for lost, _ in told.values()):
        counted = ", ".join(f"{name} {lost:,} of {all_:,}" for name, (lost, all_) in told.items())
        yield f"requests that failed or were shed: {counted}; the times are of those that were answered"


def _lost(runs: Sequence[ComparedRun]) -> tuple[int, int]:
    counts = [run.point.summary.get("requests") or {} for run in runs]
    lost = sum(int(each.get(name) or 0) for each in counts for name in ("failed", "shed"))
    return lost, lost + sum(int(each.get("ok") or 0) for each in counts)


def _order(sides: Sides) -> Iterator[str]:
    """Sides one after the other: what changes with the hour then looks like their difference."""
    (base, ours), (new, theirs) = [
        (name, [run.begun_s for run in runs if run.begun_s is not None]) for name, runs in sides.items()
    ]
    if min(len(ours), len(theirs)) < _ORDER_KNOWN_FROM:
        return
    if max(ours) < min(theirs) or max(theirs) < min(ours):
        first, second = (base, new) if max(ours) < min(theirs) else (new, base)
        yield (
            f"all runs of {first} were measured before those of {second}: whatever changed on the machine in between "
            "is in their difference; `benchkit ab` measures both in turn"
        )


def _prompts(sides: Sides) -> Iterator[str]:
    """The same prompts sent twice to one start of a server: the second time they may be in its cache."""
    base, new = sides.values()
    seen = {(run.prompts, run.start) for run in base if run.prompts and run.start}
    repeated = sum((run.prompts, run.start) in seen for run in new)
    if repeated:
        yield (
            f"{repeated} of {len(new)} runs sent the very prompts of the other side to the same start of the server: "
            "a prefix cache makes the later ones faster; give them another seed, or use `benchkit ab`"
        )


def _lengths(loads: Sequence[LoadCompared]) -> Iterator[str]:
    """Percentiles of runs with unlike or few requests."""
    for load in loads:
        counts = [[run.point.count for run in side if run.point.count] for side in (load.base, load.new)]
        if not all(counts):
            continue
        means = [sum(side) / len(side) for side in counts]
        where = f"{load.label}: " if load.label else ""
        if abs(means[0] - means[1]) > _APART * max(means):
            yield (
                f"{where}a run has {means[0]:,.0f} requests on one side and {means[1]:,.0f} on the other: a high "
                "percentile of few requests is lower than that of many, so compare means, or runs of one length"
            )
        fewest = min(min(side) for side in counts)
        short = [each.number.text for each in load.numbers if _is_beyond(each, fewest)]
        if short:
            yield (
                f"{where}{', '.join(short)}: near the slowest of a run's {fewest:,} requests, and scattering so"
            )


def _is_beyond(compared: NumberCompared, count: int) -> bool:
    number = compared.number
    if not number.statistic.startswith("p") or number.metric in ("itl_ms", "chunk_gap_ms", "in_flight"):
        return False
    return count < needed_for(float(number.statistic[1:].replace("_", ".")) / 100)


def _saturated(loads: Sequence[LoadCompared]) -> Iterator[str]:
    for load in loads:
        if any(run.point.saturated for run in [*load.base, *load.new]):
            where = f"{load.label}: " if load.label else ""
            yield f"{where}requests piled up, so that the numbers grow with the length of the runs"


def _starts(loads: Sequence[LoadCompared]) -> Iterator[str]:
    for load in loads:
        for each in load.numbers:
            if each.difference.note and each.difference.standard_error is not None:
                yield each.difference.note


def _permutation(loads: Sequence[LoadCompared]) -> Iterator[str]:
    for load in loads:
        for each in load.numbers:
            found = each.difference
            if found.permutation_p is None or not each.stands_out or found.permutation_p <= _DISAGREES:
                continue
            where = f" under {load.label}" if load.label else ""
            yield (
                f"{each.number.text}{where}: the permutation test does not find the difference "
                f"(p = {found.permutation_p:.2g}); a single run may make it: look at the runs"
            )


def _sources(sides: Sides) -> Iterator[str]:
    for runs in sides.values():
        for run in runs:
            if run.point.tool != "benchkit":
                yield from (f"{run.point.tool}: {note}" for note in run.point.notes)


_OF_SIDES: tuple[Callable[[Sides], Iterator[str]], ...] = (_verdicts, _failures, _order, _prompts)
_OF_LOADS: tuple[Callable[[Sequence[LoadCompared]], Iterator[str]], ...] = (
    _saturated,
    _starts,
    _permutation,
    _lengths,
)
