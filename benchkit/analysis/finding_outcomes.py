"""Findings about requests that did not end well: failed, refused, unfinished."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from benchkit.analysis.finding import Finding
from benchkit.analysis.finding_remedies import drain_flag, slower_flag
from benchkit.analysis.finding_run import SeenRun
from benchkit.analysis.finding_words import estimate, listed, many, number, plainly, seconds, sentence, share
from benchkit.records.kinds import ErrorKind, Outcome

_SHED: Final = (ErrorKind.SHED_429, ErrorKind.SHED_503)
_PILED_UP: Final = "saturated"
"""A load that a sweep gave up because requests piled up; a finding of its own says so."""
_STOPS: Final[Mapping[str, str]] = {
    "interrupt": "from outside",
    "max_error_rate": "more failed than `max_error_rate` allows",
    "disk_full": "the disk was full",
    "worker_died": "a load process died",
    "plan_process_died": "the process that plans died",
    "parent_died": "what had started it died",
    "client_error": "benchkit itself failed",
}
_IN_ONE_STRETCH: Final = 0.2
"""Of the window: failures that all lie closer together have one cause at one time."""
_CONNECTION: Final = (
    "Look whether the server is up, and whether a proxy, a firewall or its own limits are between."
)
_MEANS: Final[Mapping[str, tuple[str, str]]] = {
    ErrorKind.REFUSED: ("nobody listened at the server's port", _CONNECTION),
    ErrorKind.RESET: ("the other side closed the connection at once", _CONNECTION),
    ErrorKind.CUT: (
        "answers broke off before they were whole",
        "Read the server's log of that time: a worker that died or a proxy's time limit ends answers so.",
    ),
    ErrorKind.TIMEOUT: (
        "answers took longer than `timeout_s`",
        "Lower the load, or raise `timeout_s` if such answers are wanted.",
    ),
    ErrorKind.ERROR_EVENT: (
        "the server reported an error in the midst of an answer",
        "Read the `error` column of the requests and the server's log.",
    ),
    ErrorKind.MALFORMED: (
        "what came back was no event stream",
        "Ask the server's own port, without a proxy; `benchkit doctor URL` shows what comes back.",
    ),
    ErrorKind.SHORT: (
        "answers were shorter than asked for, though the server honours `ignore_eos`",
        "Compare the context length of the model with the lengths that were asked for.",
    ),
    ErrorKind.EMPTY: (
        "answers had no token at all",
        "Read the server's log; `-p keep_text true` shows what came.",
    ),
    ErrorKind.HTTP_4XX: (
        "the server refused requests as wrong",
        "Read the `error` column: a key, a model's name or a length that the server does not take.",
    ),
    ErrorKind.HTTP_5XX: ("the server failed at requests", "Read the server's log of that time."),
    ErrorKind.TLS: ("the encrypted connection could not be made", "Check the certificate, or `verify_tls`."),
    ErrorKind.DNS: (
        "the server's name could not be resolved",
        "Check the address and this machine's resolver.",
    ),
    ErrorKind.CONNECT: ("no connection could be made", _CONNECTION),
    ErrorKind.CLIENT: ("benchkit itself failed", "Please report it, with the run's folder."),
}


def of_outcomes(run: SeenRun) -> Iterator[Finding]:
    """What there is to say of requests that did not end well; nothing where all did."""
    failed, shed, incomplete = (run.count(name) for name in ("failed", "shed", "incomplete"))
    if run.counts.get("ok") == 0:
        begun = _begun(run)
        yield Finding(
            name="nothing_ok",
            what=f"Not one of {many(begun, 'request')} was answered."
            if begun
            else "No request fell into the window.",
            meaning="There is no latency and no throughput to speak of.",
            why=_failures_why(run) if failed else "",
            next_step=_failures_next(run) if failed else "Try `benchkit doctor URL` first." if begun else "",
        )
    elif failed:
        yield _failures(run, failed)
    if shed and run.counts.get("ok"):
        yield _shed(run, shed)
    if incomplete and run.counts.get("ok"):
        yield _incomplete(run, incomplete)
    yield from _stopped(run)


def _begun(run: SeenRun) -> int:
    return sum(run.count(str(outcome)) for outcome in Outcome)


def _failures(run: SeenRun, failed: int) -> Finding:
    decided = failed + run.count("ok") + run.count("shed")
    return Finding(
        name="failures",
        what=f"{failed:,} of {many(decided, 'request')} failed ({share(failed / decided)}): {_kinds(run)}.",
        meaning="All latencies are those of the requests that survived; who failed would have waited longest, or not "
        "at all.",
        why=_failures_why(run),
        next_step=_failures_next(run),
    )


def _kinds(run: SeenRun) -> str:
    kinds = {
        name: int(count) for name, count in (run.counts.get("by_kind") or {}).items() if name not in _SHED
    }
    ordered = sorted(kinds.items(), key=lambda each: -each[1])
    return listed([f"{count:,} {plainly(name)}" for name, count in ordered]) or "of unknown kind"


def _failures_why(run: SeenRun) -> str:
    """What the kinds mean, and when it was."""
    kinds = run.counts.get("by_kind") or {}
    told = [
        f"{plainly(name)}: {_MEANS[name][0]}"
        for name in sorted(kinds, key=lambda each: -kinds[each])
        if name in _MEANS
    ]
    return " ".join(filter(None, map(sentence, ("; ".join(told[:3]), _when(run)))))


def _when(run: SeenRun) -> str:
    """Whether failures came in one stretch of the window."""
    found = run.measured
    if found is None or len(found.window.parts) > 1:
        return ""
    columns = found.columns
    at = np.where(np.isnan(columns.end), columns.sent, columns.end)[
        columns.is_outcome(Outcome.FAILED) & columns.in_phase
    ]
    at = (at[~np.isnan(at)] - found.window.start_ns) / 1e9
    if at.size < 3:
        return ""
    length = found.window.length_s
    if np.ptp(at) <= _IN_ONE_STRETCH * length:
        return f"All of them ended between second {number(float(at.min()))} and {number(float(at.max()))}"
    return f"They are spread over {seconds(float(np.ptp(at)))} of the window's {seconds(length)}"


def _failures_next(run: SeenRun) -> str:
    kinds = run.counts.get("by_kind") or {}
    known = [name for name in sorted(kinds, key=lambda each: -kinds[each]) if name in _MEANS]
    return _MEANS[known[0]][1] if known else "Read the `error` column of the requests and the server's log."


def _shed(run: SeenRun, shed: int) -> Finding:
    decided = shed + run.count("ok") + run.count("failed")
    served = run.rate("requests_per_s")
    kinds = run.counts.get("by_kind") or {}
    with_status = listed([name.removeprefix("http_") for name in _SHED if kinds.get(name)])
    return Finding(
        name="shed",
        what=f"The server turned away {shed:,} of {many(decided, 'request')} ({share(shed / decided)})"
        + (f" with status {with_status}." if with_status else "."),
        meaning="It protects itself: latencies are those of the requests that it let in"
        + (f", {estimate(served)} of them." if served else "."),
        next_step="Ask for no more than it lets in, or raise the limit at which it refuses.",
        flags=slower_flag(0.9 * float(served["value"])) if served and run.is_open else (),
    )


def _incomplete(run: SeenRun, incomplete: int) -> Finding:
    drain_s = run.parameters.get("drain_s")
    after = (
        f"when the wait of {seconds(float(drain_s))} after the window was over" if drain_s else "at the end"
    )
    return Finding(
        name="incomplete",
        what=f"{incomplete:,} of {many(_begun(run), 'request')} still ran {after} "
        f"({share(incomplete / _begun(run))}).",
        meaning="The longest latencies were never seen to end: upper percentiles count them as at least so long, and "
        "the largest latency is unknown.",
        next_step="Give answers more time, or lower the load.",
        flags=drain_flag(run),
    )


def _stopped(run: SeenRun) -> Iterator[Finding]:
    by = (run.manifest.get("load") or {}).get("stopped_by")
    status = run.manifest.get("status")
    if by == _PILED_UP or (by is None and status not in ("interrupted", "failed")):
        return
    asked = run.parameters.get("duration_s")
    why = _STOPS.get(str(by or ""), plainly(str(by or status)).replace("_", " "))
    of = f" of the {seconds(float(asked))} that were asked for" if asked else ""
    yield Finding(
        name="stopped",
        what=f"The run was stopped early ({why}): its window is {seconds(run.length_s)} long{of}.",
        meaning="What was measured by then is kept and counts; it is less than was asked for.",
        next_step="Mend that, and run it again."
        if by in _STOPS and by != "interrupt"
        else "Run it again to its end.",
    )
