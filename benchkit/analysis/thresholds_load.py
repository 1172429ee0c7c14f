"""Checks of the load: outcomes, the window's extent, arrivals, and whether it came to rest."""

from __future__ import annotations

from benchkit.analysis.threshold import Threshold

_ANY = "any is too many"

OF_OUTCOMES: tuple[Threshold, ...] = (
    Threshold(
        name="no_ok_request",
        means="ok requests scheduled in the window",
        unit="requests",
        invalid=1,
        below=True,
        reason="without a successful request there is no latency to speak of",
        remedy="read `by_kind` and the errors; try `benchkit doctor URL`",
        basis="one is the least that has a latency; how much few are worth, the intervals say",
    ),
    Threshold(
        name="client_broke",
        means="a process of ours died or failed (`stopped_by` names which)",
        unit="times",
        invalid=0,
        reason="a part of the load was never sent, or never recorded",
        remedy="see the logs in the run's folder; run it again, and report it if it comes back",
        basis=_ANY,
    ),
    Threshold(
        name="records_lost",
        means="taped bytes that could not be stored",
        unit="bytes",
        suspect=0,
        reason="requests and tokens of that time are missing",
        remedy="make room on the disk; run it again",
        basis=_ANY,
    ),
    Threshold(
        name="failures",
        means="failed requests among those that were decided (ok, failed, shed)",
        unit="share",
        suspect=0.01,
        invalid=0.2,
        reason="latencies are those of the requests that survived",
        remedy="find the cause by `by_kind` and the server's log; lower the load",
        basis="with 1 % of failures, which ones failed decides the p99; with 20 %, even p80",
    ),
    Threshold(
        name="shed",
        means="requests answered by 429 or 503, among those that were decided",
        unit="share",
        suspect=0.01,
        reason="the server admitted a part of the load: latencies are those of the admitted",
        remedy="lower the load below the server's admission limit, or raise that limit",
        basis="as of `failures`; never invalid, since refusing is a server's right and may be what is measured",
    ),
    Threshold(
        name="incomplete",
        means="requests still running when the drain ended",
        unit="share",
        suspect=0.01,
        reason="the slowest requests have no latency: upper percentiles read low",
        remedy="raise `drain_s`, or lower the load",
        basis="1 % of missing latencies are just those above the p99",
    ),
)

OF_LOAD: tuple[Threshold, ...] = (
    Threshold(
        name="stopped_early",
        means="the run was stopped before its end",
        unit="times",
        suspect=0,
        reason="the window is not the one that was asked for",
        remedy="see `stopped_by` in the manifest; run it again",
        basis=_ANY,
    ),
    Threshold(
        name="short_window",
        means="the window's length in p95 latencies",
        unit="latencies",
        suspect=5,
        below=True,
        reason="fewer than five generations of requests: start and end weigh as much as what lies between",
        remedy="raise `duration_s`",
        basis="the steady window alone skips five mean latencies at the ends",
    ),
    Threshold(
        name="drift",
        means="largest change of a metric from the beginning of the steady part to its end, if not by chance",
        unit="share",
        suspect=0.05,
        reason="the load has not come to rest, or the server changes under it: the numbers depend on when one looks",
        remedy="raise `warmup_s`; if it drifts on, the load is above what the server can hold, or something warms up, "
        "throttles or fills: see the charts over time",
        basis="below 5 % most decisions stay as they are; chance alone is called drift in about 1 % of runs",
    ),
    Threshold(
        name="repeats_disagree",
        means="spread between the repeats of a metric's mean beyond chance inside them (standard deviation / mean)",
        unit="share",
        suspect=0.05,
        reason="a single repeat tells another story: the machine, its neighbours or the server's state differs",
        remedy="look at the repeats one by one; restart the server between them, keep the machine quiet, or take more "
        "repeats: the intervals between repeats count this spread",
        basis="machines are good to 1 to 4 % from run to run; more than 5 % has a cause that can be found",
    ),
    Threshold(
        name="lockstep",
        means="bunching of a closed loop's starts (0 spread over a latency, 1 at once), if not by chance",
        unit="of 1",
        suspect=0.7,
        reason="all streams start together, wave after wave: every prefill meets all the others",
        remedy="raise `warmup_s` above one latency, or set `output_tokens_spread`",
        basis="0.64 is half of a wave, 0.86 a third of it; chance alone is called lockstep in at most 1 % of runs",
    ),
    Threshold(
        name="throttled",
        means="requests of an open loop that waited under `max_in_flight`",
        unit="share",
        suspect=0.01,
        reason="arrivals that wait for completions are no open loop: the queue stands in the client",
        remedy="raise `max_in_flight` (0 = no cap) or lower `rate`; read the `*_from_schedule` metrics",
        basis="1 % of requests that waited in the client are the p99",
    ),
)
