"""Findings about the load: whether the server kept up with it, and what it gave out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchkit.analysis.finding import Finding
from benchkit.analysis.finding_remedies import longer_flag, slower_flag
from benchkit.analysis.finding_run import NOT_THE_SERVERS, SeenRun
from benchkit.analysis.finding_server import calm, waits_in, why_queued
from benchkit.analysis.finding_words import estimate, many, number, sentence, share
from benchkit.analysis.saturation import Saturation

_SAFE: Final = 0.8
"""Share of what a server gives out at most that it bears without a queue that grows, as a first guess."""
_FURTHER: Final = 1.5
_BEHIND: Final = 0.95


def of_load(run: SeenRun) -> Iterator[Finding]:
    """What there is to say of the load; nothing where no rate is known."""
    if not run.rate("requests_per_s") or run.counts.get("ok") == 0:
        return
    if run.is_closed:
        yield _closed(run)
    elif run.piled_up is not None:
        yield _open(run, run.piled_up)
    else:
        yield Finding(
            name="gave_out",
            what=f"The server gave out {_given(run)}.",
            meaning="Whether requests piled up meanwhile cannot be told from what is recorded.",
        )


def _open(run: SeenRun, found: Saturation) -> Finding:
    if found.state == "saturated":
        return _saturated(run, found)
    if found.state == "unclear":
        return Finding(
            name="unclear",
            what=f"The server answered {estimate(run.rate('requests_per_s'))}; whether requests pile up at this rate, "
            "the run is too short to tell.",
            why=sentence(found.reason),
            meaning="If they do, every latency grows with the length of the run.",
            next_step="Measure longer.",
            flags=longer_flag(3.0, run),
        )
    what = f"The server kept up with what came: {_came_and_went(run)}, and requests did not pile up."
    if run.is_invalid:
        return Finding(name="kept_up", what=what, meaning=NOT_THE_SERVERS)
    if run.server is not None and waits_in(run, run.server):
        return Finding(
            name="kept_up",
            what=what,
            meaning=f"But requests waited in it: this load is near what it can bear; {_given_tokens(run)}.",
            next_step="`benchkit sweep` shows how fast latency grows from here on.",
        )
    ill = run.count("failed") + run.count("shed") > 0
    missed = ill or any(each["verdict"] == "fails" for each in run.summary.get("slo") or ())
    return Finding(
        name="kept_up",
        what=what,
        meaning=f"This load is below what it can bear; {_given_tokens(run)}. How far below, one load does not tell.",
        why=calm(run),
        next_step="" if missed else "Ask for more; `benchkit sweep` finds where it stops keeping up.",
        flags=() if missed else slower_flag(_FURTHER * float(run.parameters.get("rate") or 0.0)),
    )


def _saturated(run: SeenRun, found: Saturation) -> Finding:
    served = run.rate("requests_per_s")
    grew = f"requests in flight grew by {share(found.in_flight.growth)}" if found.in_flight else ""
    if found.ttft is not None and found.ttft.growth > 0:
        grew += f" and time to first token by {share(found.ttft.growth)}"
    state = run.server
    cause = why_queued(state) if state is not None and (state.queued or state.out_of_memory) else None
    why = cause.why if cause is not None and cause.why else _unseen(run)
    flags = slower_flag(_SAFE * float(served["value"]))
    return Finding(
        name="saturated",
        what=f"More came than the server could do: {_came_and_went(run)}, and {grew} over the window.",
        meaning="The latencies are those of a queue that grows: a longer run would show longer ones. As a first guess "
        f"it bears {share(_SAFE)} of what it gave out, some {number(_SAFE * float(served['value']))} requests/s.",
        why=why,
        next_step=" ".join(
            filter(None, ["Ask for less, or add servers.", cause.next_step if cause is not None else ""])
        ),
        flags=flags + (cause.flags if cause is not None else ()),
    )


def _came_and_went(run: SeenRun) -> str:
    offered, served = run.rate("offered_per_s"), estimate(run.rate("requests_per_s"))
    return f"{estimate(offered)} came and {served} were answered" if offered else f"{served} were answered"


def _unseen(run: SeenRun) -> str:
    state = run.server
    if state is None:
        return (
            "Where they queued is not seen: the server showed no metrics of its own queue."
            if run.telemetry is not None
            else ""
        )
    if state.waiting_most:
        return (
            f"The server itself says that up to {many(state.waiting_most, 'request')} waited in its queue; neither its "
            "seats nor its cache show why."
        )
    if state.waiting_most is None:
        return ""
    return (
        f"They did not wait in the engine's queue, which was empty in {many(state.readings, 'reading')}: look at what "
        "stands before it (front end, proxy), or at steps that grow longer with the batch."
    )


def _closed(run: SeenRun) -> Finding:
    streams = _streams(run)
    with_streams = f"With {many(streams, 'stream')} always busy" if streams else "Under a closed loop"
    state = run.server
    seats = state.seats if state is not None and state.queued else None
    flags: tuple[str, ...] = ()
    if run.load == "concurrent" and streams and seats is None:
        flags = (f"-p concurrency {2 * streams}",)
    return Finding(
        name="closed_loop",
        what=f"{with_streams}, the server gave out {_given(run)}.",
        meaning="A closed loop waits for the server: latency tells what so many users see, not what a given rate of "
        "arrivals would.",
        why=calm(run),
        next_step="Twice the streams show whether there is more to get."
        if flags
        else "A sweep over loads shows where more streams stop bringing more (`benchkit sweep`).",
        flags=flags,
    )


def _streams(run: SeenRun) -> int:
    if run.load == "synchronous":
        return 1
    name = "concurrency" if run.load == "concurrent" else "max_in_flight"
    return int(run.parameters.get(name) or 0)


def _given(run: SeenRun) -> str:
    tokens = run.rate("output_tokens_per_s")
    answered = estimate(run.rate("requests_per_s"))
    return f"{estimate(tokens)} in {answered}" if tokens else answered


def _given_tokens(run: SeenRun) -> str:
    tokens = run.rate("output_tokens_per_s")
    return f"it gave out {estimate(tokens)}" if tokens else "how many tokens is not known"
