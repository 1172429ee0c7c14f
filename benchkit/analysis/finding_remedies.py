"""Parameters to copy that mend what a verdict found, where a parameter does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchkit.analysis.finding_run import SeenRun
from benchkit.analysis.finding_words import number, round_up

_MORE_WORKERS: Final = frozenset(
    {
        "lateness_p99",
        "lateness_max",
        "pickup_lag_p99",
        "pickup_lag_max",
        "loop_gap_max",
        "blurred_stamps",
        "worker_cpu",
    }
)
_BUSY: Final = 0.5
"""Share of a core from which a load process has enough to do for two."""
_SHORTEST_S: Final = 30.0
"""Nobody is sent to measure for less."""
_LATENCIES: Final = 5


def flags_for(reason: Mapping[str, Any], run: SeenRun) -> tuple[str, ...]:
    """What to give to the next run against a reason of the verdict; empty where no parameter helps."""
    name = reason["name"]
    if name in _MORE_WORKERS:
        return _workers(run)
    if name == "httpx_transport":
        return ("-p transport stamped",)
    if name == "throttled":
        return ("-p max_in_flight 0",)
    if name == "lockstep":
        return ("-p output_tokens_spread 0.3",)
    if name == "prefix_hits":
        return (f"-p seed {int(run.parameters.get('seed') or 0) + 1}",)
    if name == "incomplete":
        return drain_flag(run)
    if name == "short_window":
        p95 = run.metric("latency_ms").get("p95")
        return longer_flag(_LATENCIES * float(p95) / 1e3 / max(run.length_s, 1e-9), run) if p95 else ()
    if name == "drift":
        return (f"-p warmup_s {number(round_up(max(10.0, 2 * float(run.parameters.get('warmup_s') or 0))))}",)
    return ()


def longer_flag(times: float, run: SeenRun) -> tuple[str, ...]:
    """A window so many times as long, with a fifth to spare; empty where the window's length is unknown."""
    asked = float(run.parameters.get("duration_s") or 0.0) or run.length_s
    if not asked or times <= 0:
        return ()
    wanted = max(_SHORTEST_S, round_up(1.2 * times * asked))
    return (f"-p duration_s {number(wanted).replace(',', '')}",)


def drain_flag(run: SeenRun) -> tuple[str, ...]:
    """Twice the time for answers after the window."""
    drain_s = run.parameters.get("drain_s")
    return (f"-p drain_s {number(round_up(2 * float(drain_s))).replace(',', '')}",) if drain_s else ()


def slower_flag(rate: float) -> tuple[str, ...]:
    """A rate to ask for, with two digits."""
    return (f"-p rate {float(f'{rate:.2g}'):g}",) if rate > 0 else ()


def _workers(run: SeenRun) -> tuple[str, ...]:
    """One more load process, where the busiest has work for two; a process that starves gains nothing by a second."""
    told = [each for each in (run.manifest.get("load") or {}).get("workers") or () if each]
    busiest = max((float(each.get("cpu_share") or 0.0) for each in told), default=0.0)
    if busiest < _BUSY:
        return ()
    return (f"-p workers {max(1, int(run.parameters.get('workers') or 1)) + 1}",)
