"""Findings about what a reader waits for: the first token, and how evenly the answer goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from benchkit.analysis.digits import limits_of
from benchkit.analysis.finding import Cause, Finding
from benchkit.analysis.finding_causes import (
    Explained,
    pauses_with_prompts,
    slower_in_company,
    waits_explained,
)
from benchkit.analysis.finding_run import NOT_THE_SERVERS, SeenRun
from benchkit.analysis.finding_words import estimate, many, milliseconds, number, share
from benchkit.analysis.slowest_neighbours import Neighbours

_TAILS: Final = ("p99", "p95", "p90")
_SPREAD: Final = 1.5
"""From this ratio of a tail to the median on, people wait unequally."""
_FAR: Final = 3.0
_UNEVEN: Final = 2.0
_SEEN_MS: Final = 100.0
"""A pause that a reader notices."""
_LEAST_BUDGET: Final = 1_024
"""A step's budget must hold a token of each seat, and engines have up to a thousand seats unless told otherwise."""


def of_waits(run: SeenRun) -> Iterator[Finding]:
    """Time to first token, and the flow of answers; nothing where the source has no times of them."""
    if run.counts.get("ok") == 0:
        return
    ttft = run.metric("ttft_ms")
    if ttft.get("p50") is not None:
        yield _first_token(run, ttft)
    pace = run.metric("itl_ms") or run.metric("chunk_gap_ms")
    if pace.get("p50") is not None:
        yield _flow(run, pace)


def _first_token(run: SeenRun, ttft: Mapping[str, Any]) -> Finding:
    tail = _tail(ttft)
    what = f"Half of the requests had their first token within {estimate(ttft, 'p50', 'ms')}"
    if tail:
        what += f", {tail[1:]} % within {estimate(ttft, tail, 'ms')}"
    cause = _why_first(run)
    return Finding(
        name="first_token",
        what=what + ".",
        meaning=_not_the_servers(run) or _evenness(ttft, tail, run),
        why=cause.why,
        next_step=cause.next_step,
        flags=cause.flags,
    )


def _tail(entry: Mapping[str, Any]) -> str:
    """The highest percentile that the run gives with an interval, else the highest that it gives without doubt."""
    for name in _TAILS:
        if entry.get(name) is not None and limits_of(entry, name) is not None:
            return name
    sure = [name for name in _TAILS if entry.get(name) is not None and name not in (entry.get("notes") or {})]
    return sure[0] if sure and entry.get("ci95") is None else ""


def _evenness(ttft: Mapping[str, Any], tail: str, run: SeenRun) -> str:
    due = run.metric("ttft_from_schedule_ms")
    if due.get("p50") is not None and due["p50"] > _SPREAD * ttft["p50"]:
        since = milliseconds(float(due["p50"]))
        return (
            f"Counted from when a request was due, half had it within {since} only: they waited to be sent."
        )
    if not tail:
        return "How much longer the slowest wait, this run does not tell."
    ratio = float(ttft[tail]) / float(ttft["p50"])
    if ratio < _SPREAD:
        return "All wait about equally long."
    some = {"p99": "one in a hundred", "p95": "one in twenty", "p90": "one in ten"}[tail]
    how = "far longer" if ratio >= _FAR else "longer"
    return f"Some wait {how} than others: {some} at least {ratio:.2g} times the median."


def _why_first(run: SeenRun) -> Cause:
    """The server's own account of the wait first, then what goes with its differences."""
    told, state = [], run.server
    if state is not None and state.queue_ms is not None and state.prefill_ms is not None:
        told.append(
            f"By the server's own account a request queued for {milliseconds(state.queue_ms)} on average, and its "
            f"prompt then took {milliseconds(state.prefill_ms)}."
        )
    if state is not None and state.hit_share is not None and state.hit_share >= 0.01:
        told.append(f"It had {share(state.hit_share)} of the prompts' tokens in its prefix cache already.")
    found = None
    if run.measured is not None and run.requests is not None:
        found = waits_explained(run.measured, Neighbours(run.requests, run.measured.columns))
    if found is not None:
        told.append(_explained(found))
    step, flags = _next_first(run, found)
    return Cause(" ".join(told), step, flags)


def _explained(found: Explained) -> str:
    part = share(found.share)
    if found.by == "own":
        return (
            f"The prompt's own length explains {part} of the differences: {number(1e3 * found.slope)} ms for each "
            "1,000 tokens."
        )
    if found.by == "ahead":
        return (
            f"Prompts that were still being read when a request came explain {part} of the differences: "
            f"{number(1e3 * found.slope)} ms for each 1,000 tokens ahead."
        )
    return f"How many requests were under way explains {part} of the differences: {number(found.slope)} ms for each."


def _next_first(run: SeenRun, found: Explained | None) -> tuple[str, tuple[str, ...]]:
    state, prefix = run.server, int(run.parameters.get("prefix_tokens") or 0)
    if prefix and state is not None and not state.hit_share and state.looks_up:
        return (
            f"The prompts share {prefix:,} tokens, and none was found in the prefix cache: switch it on.",
            ("--enable-prefix-caching",),
        )
    if found is not None and found.by == "ahead":
        return "Fewer prompts at once, prompts that share a prefix, or more servers shorten that wait.", ()
    return "", ()


def _flow(run: SeenRun, pace: Mapping[str, Any]) -> Finding:
    longest = run.metric("max_gap_ms")
    median = float(pace["p50"])
    what = f"Between two tokens lay {estimate(pace, 'p50', 'ms')} as a rule"
    if median > 0:
        what += f", {number(1e3 / median)} tokens/s for a reader"
    uneven = bool(longest.get("p50") and median and longest["p50"] > _UNEVEN * median)
    stalls = uneven and longest["p50"] >= _SEEN_MS
    if longest.get("p50") is not None:
        what += f"; half of the answers had a pause of {estimate(longest, 'p50', 'ms')} or longer"
    cause = _why_flow(run, uneven=uneven)
    if not stalls and not _gaps_missed(run):
        cause = Cause(cause.why)
    meaning = "Answers flow evenly."
    if uneven:
        how = "Answers stall" if stalls else "The flow is not even, though a reader would not notice"
        meaning = f"{how}: such a pause is {longest['p50'] / median:.2g} usual gaps long."
    return Finding(
        name="stalls" if stalls else "flow",
        what=what + ".",
        meaning=_not_the_servers(run) or meaning,
        why=cause.why,
        next_step=cause.next_step,
        flags=cause.flags,
    )


def _gaps_missed(run: SeenRun) -> bool:
    """Whether an objective about the flow of answers is missed."""
    missed = (str(each["text"]) for each in run.summary.get("slo") or () if each["verdict"] == "fails")
    return any(word in text for text in missed for word in ("gap", "itl", "tpot"))


def _why_flow(run: SeenRun, *, uneven: bool) -> Cause:
    if run.measured is None or run.requests is None:
        return Cause()
    neighbours = Neighbours(run.requests, run.measured.columns)
    told: list[str] = []
    step = ""
    flags: tuple[str, ...] = ()
    pauses = pauses_with_prompts(run.measured, neighbours) if uneven else None
    if pauses is not None:
        told.append(
            f"{share(pauses.share)} of the longest pauses ended just when another prompt was read, against "
            f"{share(pauses.by_chance)} of all gaps: prompts of {many(pauses.tokens, 'token')} (median) hold up the "
            "answers beside them."
        )
        budget = _half_of(pauses.tokens)
        if budget:
            step = (
                "Smaller portions of prompts between two tokens make pauses shorter, and first tokens later."
            )
            flags = (f"--max-num-batched-tokens {budget}",)
        else:
            step = (
                "Prompts as short as these gain little by being split: fewer arrivals, or more servers, help."
            )
    company = slower_in_company(run.measured, neighbours)
    if company is not None:
        told.append(
            f"A token took {milliseconds(company.few_ms)} with up to {many(company.few, 'request')} under way, and "
            f"{milliseconds(company.many_ms)} with {many(company.many, 'request')} or more: the batch costs time."
        )
        step = step or "Fewer requests at once, or more servers, make answers faster."
    return Cause(" ".join(told), step, flags)


def _half_of(tokens: float) -> int:
    """The power of two at or below half of so many tokens; 0 where that would be next to nothing."""
    half = int(tokens) // 2
    return 1 << (half.bit_length() - 1) if half >= _LEAST_BUDGET else 0


def _not_the_servers(run: SeenRun) -> str:
    return NOT_THE_SERVERS if run.is_invalid else ""
