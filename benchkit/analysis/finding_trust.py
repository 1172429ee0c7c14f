"""Findings about the measurement itself: whether it can be believed, what it was made on, how sure it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from benchkit.analysis.finding import Finding
from benchkit.analysis.finding_remedies import flags_for, longer_flag
from benchkit.analysis.finding_run import SeenRun
from benchkit.analysis.finding_words import listed, many, metric_name, number, seconds, sentence, share
from benchkit.analysis.intervals import Depth

_PEOPLE_ASK: Final = ("ttft_ms", "itl_ms", "latency_ms")
_PERCENTILES: Final = (("p99", 0.99), ("p95", 0.95), ("p90", 0.9), ("p50", 0.5))
_LONGEST_S: Final = 3600.0
"""Nobody waits for longer than this by a remark in a report."""
_OUTCOMES: Final = frozenset({"no_ok_request", "failures"})
"""Reasons that have findings of their own."""


def of_trust(run: SeenRun) -> Iterator[Finding]:
    """What there is to say of the measurement; nothing where it is beyond doubt."""
    if run.is_invalid:
        yield from _invalid(run)
    if run.is_embedded:
        yield Finding(
            name="embedded",
            what="The server was one that comes with benchkit: it paces or simulates an engine.",
            meaning="These numbers say nothing about a model or a GPU; they show what a report looks like.",
            next_step="Give the address of your server.",
            flags=("-p url http://HOST:PORT",),
        )
    if not run.is_invalid:
        yield from _client(run)
        yield from _unresolved(run)


def _invalid(run: SeenRun) -> Iterator[Finding]:
    against = [reason for reason in run.reasons if reason["level"] == "invalid"]
    against = [reason for reason in against if reason["name"] not in _OUTCOMES]
    if not against:
        return
    client = [reason for reason in against if reason in run.client_reasons]
    flags = [flag for reason in against for flag in flags_for(reason, run)]
    whose = (
        "The delays are the client's own: they lie inside every time that it measured."
        if len(client) == len(against)
        else "They are kept below to find the fault by, not to decide by."
    )
    remedies = dict.fromkeys(str(reason["remedy"]) for reason in against)
    yield Finding(
        name="invalid",
        what="These numbers are not the server's: "
        + "; ".join(_seen(reason) for reason in against[:3])
        + ".",
        meaning=whose,
        why=sentence("; ".join(dict.fromkeys(str(reason["reason"]) for reason in against[:3]))),
        next_step=sentence("; ".join(remedies)),
        flags=tuple(dict.fromkeys(flags)),
    )


def _seen(reason: Mapping[str, Any]) -> str:
    """What was seen against its limit, of one reason of a verdict."""
    value, limit, unit = reason["value"], reason["threshold"], reason["unit"]
    if unit == "share":
        return f"{reason['what']}: {share(value)} (limit {share(limit)})"
    return f"{reason['what']}: {number(value)} {unit} (limit {number(limit)})"


def _client(run: SeenRun) -> Iterator[Finding]:
    """What the client did that casts doubt on the numbers without spoiling them."""
    if not run.client_reasons:
        return
    worst = run.client_reasons[0]
    flags = [flag for reason in run.client_reasons for flag in flags_for(reason, run)]
    yield Finding(
        name="client",
        what=f"The client itself was not at its best: {_seen(worst)}.",
        meaning=f"A part of what is measured may be its own: {worst['reason']}.",
        next_step=sentence(str(worst["remedy"])),
        flags=tuple(dict.fromkeys(flags)),
    )


def _unresolved(run: SeenRun) -> Iterator[Finding]:
    """Which percentiles this run does not give, and how long it would have to be."""
    told = run.whole.get("intervals") or {}
    missing = {
        name: [statistic for statistic, _ in _PERCENTILES if _lacks(run, name, statistic)]
        for name in _PEOPLE_ASK
    }
    missing = {name: statistics for name, statistics in missing.items() if statistics}
    if not told or not missing:
        return
    worst = {statistic for statistics in missing.values() for statistic in statistics}
    alike: dict[str, list[str]] = {}
    for name, statistics in missing.items():
        alike.setdefault(listed(statistics[::-1]), []).append(metric_name(name))
    named = [f"{statistics} of {listed(names)}" for statistics, names in alike.items()]
    found = _reachable(run, told, worst)
    yield Finding(
        # A run that does not even give a median is too short for anything.
        name="too_short" if "p50" in worst else "unresolved",
        what=f"This run is too short for {'; '.join(named)}.",
        meaning="Such a number is the sample's alone: the next run would give another.",
        why=_worth(told),
        next_step="Repeat it, and take the intervals between repeats."
        if found is None
        else f"A window of some {seconds(found[1] * run.length_s)} would give the {found[0]}; or repeat it.",
        flags=(*(longer_flag(found[1], run) if found else ()), "-p repeats 5"),
    )


def _worth(told: Mapping[str, Any]) -> str:
    """How many independent requests stand behind the numbers."""
    effective, count = told.get("effective_requests"), told.get("requests")
    if effective is None or not count or effective >= 0.95 * count:
        return ""
    independent = many(max(1, round(effective)), "independent one")
    return f"Neighbouring requests share a queue: its {many(count, 'request')} say as much as {independent}."


def _lacks(run: SeenRun, name: str, statistic: str) -> bool:
    entry = run.metric(name)
    return bool(entry.get("count")) and statistic in (entry.get("notes") or {})


def _reachable(run: SeenRun, told: Mapping[str, Any], statistics: set[str]) -> tuple[str, float] | None:
    """The highest of these percentiles that an hour would give, and how many times as long the window must be."""
    sample = told.get("effective_requests") or told.get("requests")
    if not sample or not run.length_s or told.get("by") != "run":
        return None
    depth = Depth(1.0, float(sample))
    for name, quantile in _PERCENTILES:
        times = depth.needed(quantile) / sample
        if name in statistics and times > 1 and 1.2 * times * run.length_s <= _LONGEST_S:
            return name, times
    return None
