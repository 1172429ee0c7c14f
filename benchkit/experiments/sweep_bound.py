"""What held a throughput point back: our own cap of requests in flight, or the server."""

from __future__ import annotations

from typing import Any

from benchkit.analysis.points import Records

_RUNNING, _WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
_MOSTLY = 0.5


def throughput_bound(run: Records, cap: int) -> str:
    """A sentence on what a throughput run came up against.

    Args:
        run: the run.
        cap: requests that it kept in flight at most.
    """
    peak = run.summary["windows"]["whole"]["metrics"]["in_flight"]["max"] or 0
    if peak < cap:
        return f"its own requests: at most {peak:.0f} were in flight, below the cap of {cap} (max_in_flight)"
    told = _queue(run)
    if told is None:
        return f"the cap of {cap} in flight (max_in_flight); the server does not say whether requests waited in it"
    running, waited = told
    if waited >= _MOSTLY:
        queued = f"others waited in {100 * waited:.0f} % of its readings"
        return f"the server: at most {running:.0f} ran at once, and {queued}"
    return (
        f"the cap of {cap} in flight (max_in_flight): nothing waited in {100 * (1 - waited):.0f} % of the server's "
        "readings, so it may carry more; raise the cap to know"
    )


def _queue(run: Records) -> tuple[float, float] | None:
    """Most requests that ran at once, and the share of readings of the window in which some waited."""
    table: Any = run.telemetry
    span = run.manifest["load"]["window"]
    inside = table[(table["time_ns"] >= span["start_ns"]) & (table["time_ns"] <= span["end_ns"])]
    totals = inside[inside["name"].isin([_RUNNING, _WAITING])].groupby(["name", "time_ns"])["value"].sum()
    known = set(totals.index.get_level_values("name"))
    if known != {_RUNNING, _WAITING}:
        return None
    return float(totals[_RUNNING].max()), float((totals[_WAITING] > 0).mean())
