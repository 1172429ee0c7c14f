"""The one table of what makes a run suspect or invalid: thresholds, reasons and remedies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["suspect", "invalid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One thing that is checked; a value past a limit gives a reason of that level.

    The worse side is above a limit, unless ``below`` is set. A value at its limit still passes.
    """

    name: str
    means: str
    """What the value is."""
    unit: str
    suspect: float | None = None
    """None: never only suspect."""
    invalid: float | None = None
    """None: never invalid."""
    below: bool = False
    reason: str
    """Why it matters."""
    remedy: str

    def level(self, value: float) -> Level | None:
        """How bad a value is; None when it is fine."""
        if self._past(value, self.invalid):
            return "invalid"
        return "suspect" if self._past(value, self.suspect) else None

    def limit(self, level: Level) -> float | None:
        """The limit of a level."""
        return self.invalid if level == "invalid" else self.suspect

    def _past(self, value: float, limit: float | None) -> bool:
        return limit is not None and (value < limit if self.below else value > limit)


_SPARE_CPU = "give the client a core of its own, raise `workers`, or run it away from the server"

THRESHOLDS: tuple[Threshold, ...] = (
    Threshold(
        name="no_ok_request",
        means="ok requests scheduled in the window",
        unit="requests",
        invalid=1,
        below=True,
        reason="without a successful request there is no latency to speak of",
        remedy="read `by_kind` and the errors; try `benchkit doctor URL`",
    ),
    Threshold(
        name="client_broke",
        means="a process of ours died or failed (`stopped_by` names which)",
        unit="times",
        invalid=0,
        reason="a part of the load was never sent, or never recorded",
        remedy="see the logs in the run's folder; run it again, and report it if it comes back",
    ),
    Threshold(
        name="records_lost",
        means="taped bytes that could not be stored",
        unit="bytes",
        suspect=0,
        reason="requests and tokens of that time are missing",
        remedy="make room on the disk; run it again",
    ),
    Threshold(
        name="failures",
        means="failed requests among those that were decided (ok, failed, shed)",
        unit="share",
        suspect=0.01,
        invalid=0.2,
        reason="latencies are those of the requests that survived",
        remedy="find the cause by `by_kind` and the server's log; lower the load",
    ),
    Threshold(
        name="shed",
        means="requests answered by 429 or 503, among those that were decided",
        unit="share",
        suspect=0.01,
        reason="the server admitted a part of the load: latencies are those of the admitted",
        remedy="lower the load below the server's admission limit, or raise that limit",
    ),
    Threshold(
        name="incomplete",
        means="requests still running when the drain ended",
        unit="share",
        suspect=0.01,
        reason="the slowest requests have no latency: upper percentiles read low",
        remedy="raise `drain_s`, or lower the load",
    ),
    Threshold(
        name="stopped_early",
        means="the run was stopped before its end",
        unit="times",
        suspect=0,
        reason="the window is not the one that was asked for",
        remedy="see `stopped_by` in the manifest; run it again",
    ),
    Threshold(
        name="short_window",
        means="the window's length in p95 latencies",
        unit="latencies",
        suspect=5,
        below=True,
        reason="fewer than five generations of requests: start and end weigh as much as what lies between",
        remedy="raise `duration_s`",
    ),
    Threshold(
        name="lockstep",
        means="bunching of a closed loop's starts (0 spread over a latency, 1 at once), if not by chance",
        unit="of 1",
        suspect=0.7,
        reason="all streams start together, wave after wave: every prefill meets all the others",
        remedy="raise `warmup_s` above one latency, or set `output_tokens_spread`",
    ),
    Threshold(
        name="throttled",
        means="requests of an open loop that waited under `max_in_flight`",
        unit="share",
        suspect=0.01,
        reason="arrivals that wait for completions are no open loop: the queue stands in the client",
        remedy="raise `max_in_flight` (0 = no cap) or lower `rate`; read the `*_from_schedule` metrics",
    ),
    Threshold(
        name="lateness_p99",
        means="the client's own delay of a send, p99",
        unit="ms",
        suspect=5,
        invalid=100,
        reason="the arrivals are not the ones that were planned",
        remedy=_SPARE_CPU,
    ),
    Threshold(
        name="lateness_max",
        means="the client's own delay of a send, largest",
        unit="ms",
        suspect=50,
        invalid=1000,
        reason="one stall of the client bunches all that was due in it",
        remedy=_SPARE_CPU,
    ),
    Threshold(
        name="pickup_lag_p99",
        means="time from the kernel's receipt to the client's reading, p99",
        unit="ms",
        suspect=2,
        invalid=50,
        reason="a client that reads late merges events and starts the next request late",
        remedy=_SPARE_CPU,
    ),
    Threshold(
        name="pickup_lag_max",
        means="time from the kernel's receipt to the client's reading, largest",
        unit="ms",
        suspect=50,
        invalid=1000,
        reason="the client stood still: what arrived meanwhile shares one stamp",
        remedy=_SPARE_CPU,
    ),
    Threshold(
        name="loop_gap_max",
        means="the longest time in which the client's loop did not turn",
        unit="ms",
        suspect=50,
        invalid=1000,
        reason="nothing was sent on time or stamped apart in it",
        remedy=_SPARE_CPU,
    ),
    Threshold(
        name="shared_stamps",
        means="events whose time is only known to lie before that of a later one",
        unit="share",
        suspect=0.05,
        reason="gaps inside one read are unknown: the lowest gaps read as 0, and the others too long",
        remedy="if the client was late: "
        + _SPARE_CPU
        + "; if not, the server or a proxy merges events: read `max_gap_ms` and `tpot_ms`",
    ),
    Threshold(
        name="blurred_stamps",
        means="shared stamps of reads that the client picked up more than 1 ms late",
        unit="share",
        invalid=0.2,
        reason="a client that sleeps has stamps that are wrong by as much, and hardly any lag to show for it",
        remedy=_SPARE_CPU,
    ),
    Threshold(
        name="worker_cpu",
        means="CPU of the busiest load process in the window",
        unit="of a core",
        suspect=0.7,
        invalid=0.95,
        reason="a process near a core's limit queues, and its queue is inside every time",
        remedy=_SPARE_CPU,
    ),
    Threshold(
        name="no_kernel_times",
        means="load processes without kernel receive times",
        unit="workers",
        suspect=0,
        reason="the client's own delay is inside every stamp and cannot be told apart",
        remedy="measure from Linux with `transport: stamped`",
    ),
    Threshold(
        name="httpx_transport",
        means="the stock httpx transport was used",
        unit="times",
        suspect=0,
        reason="it stamps late from tens of streams on, and its own delay is not measured",
        remedy="use `transport: stamped`",
    ),
    Threshold(
        name="clock_steps",
        means="largest step of the wall clock against the monotonic one",
        unit="ms",
        suspect=1,
        invalid=50,
        reason="kernel times are converted by that offset: stamps next to a step are wrong by it",
        remedy="let the time service slew the clock instead of stepping it",
    ),
    Threshold(
        name="limits_hit",
        means="limits of open files or ports that were met",
        unit="times",
        suspect=0,
        reason="some requests waited for a socket, or were never sent",
        remedy="raise `ulimit -n` and the local port range, or lower the concurrency",
    ),
    Threshold(
        name="tokens_unknown",
        means="ok requests whose tokens per event are unknown",
        unit="share",
        suspect=0.01,
        reason="per-token times (`itl_ms`, `tpot_ms`) are those of the other requests only",
        remedy="use a server that sends `usage` on every chunk (`continuous_usage_stats`)",
    ),
    Threshold(
        name="tokens_assumed",
        means="ok requests whose tokens nobody counted",
        unit="share",
        suspect=0.01,
        reason="each event is taken for one token: too few with speculative decoding or merged events",
        remedy="use a server that reports `usage` in streams (`include_usage`)",
    ),
)
"""In the order in which a reader should hear of them."""

BY_NAME = {threshold.name: threshold for threshold in THRESHOLDS}
