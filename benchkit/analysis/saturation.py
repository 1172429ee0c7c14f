"""Whether requests piled up in a server: trends of in-flight requests and of TTFT, tested on batches of time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchkit.analysis.columns import RequestColumns, read_columns
from benchkit.analysis.points import Records
from benchkit.analysis.window import Window

Floats = NDArray[np.float64]
State = Literal["steady", "saturated", "unclear"]

BATCHES = 10
"""Neighbours in time are alike; means of a tenth of the window are nearly independent once it is long enough."""
ALPHA = 0.025
"""One-sided, for each of the two trends; both must be there."""
GROWTH = 0.15
"""Least growth over the window, as a share of the mean: what is clear need not be much."""
QUEUE = 3.0
"""And as a number of requests: one or two more at the end are no queue."""
BEHIND = 0.95
"""Answered over offered below which a growing number of requests in flight is enough by itself."""
_FEWEST = 6
_REQUESTS = 50
"""Requests that must have come in what is tested: five a batch."""
_LEAST_LATENCIES = 3.0
"""Mean latencies that must fit into what is tested: a load that has not gone through once is not steady yet."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line through the means of batches.

    Attributes:
        slope_per_s: change of the quantity, in its unit, per second.
        growth: change over the tested time, as a share of the mean.
        p: chance of a slope that large or larger, were there no trend; Student's t on the batches.
        batches: how many had a mean.
    """

    slope_per_s: float
    growth: float
    p: float
    batches: int


@dataclass(frozen=True, slots=True)
class Saturation:
    """What the trends say of a load.

    Attributes:
        state: ``saturated`` where requests pile up, ``unclear`` where the load was too short to tell.
        reason: why, in a sentence.
        in_flight: trend of the requests under way.
        ttft: trend of the time to first token, in ms, by when requests were sent.
        offered_per_s, answered_per_s: requests due and requests answered, a second, over what was tested.
    """

    state: State
    reason: str
    in_flight: Trend | None = None
    ttft: Trend | None = None
    offered_per_s: float | None = None
    answered_per_s: float | None = None

    @property
    def saturated(self) -> bool | None:
        """True, False, or None where it is unclear."""
        return {"saturated": True, "steady": False}.get(self.state)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def trend(means: Floats, span_s: float) -> Trend | None:
    """The trend of a series of batch means, null (NaN) ones left out.

    Ordinary least squares over the batches and a one-sided t-test of its slope with two degrees of freedom fewer than
    batches: on means of a tenth of a window this alarms in 3-9 % of windows without a trend, where the same test on
    single requests alarms in up to 84 %.

    Args:
        means: one a batch, in order of time; batches are of equal length.
        span_s: the time from the first batch's start to the last one's end.
    """
    known = ~np.isnan(means)
    if known.sum() < _FEWEST:
        return None
    at = (np.arange(len(means))[known] + 0.5) * span_s / len(means)
    values = means[known]
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return Trend(0.0, 0.0, 1.0, int(known.sum()))
    fitted = stats.linregress(at, values, alternative="greater")
    growth = float(fitted.slope) * span_s / mean if mean > 0 else math.inf
    return Trend(float(fitted.slope), growth, float(fitted.pvalue), int(known.sum()))


def saturation(records: Records) -> Saturation:
    """Whether requests piled up in a run; closed loops, whose number of requests is given, never do.

    What is tested is the window without the time that the first requests needed to go through the server once (one
    mean latency), in ten batches. A load is saturated where requests in flight grow, by the test, by 15 % of their mean
    and by three at least, and either TTFT does too, or the server answers less than 95 % of what is offered. With
    several repeats the worst of them counts.
    """
    asked = records.manifest.get("parameters", {})
    if asked.get("load") not in ("constant", "poisson", "gamma"):
        return Saturation("steady", "a closed loop: the server sets its pace, so nothing piles up")
    told = records.manifest.get("load", {})
    columns = read_columns(records.requests)
    found = [_of_part(columns, part) for part in _parts(told)]
    order = ("saturated", "unclear", "steady")
    return min(found, key=lambda each: order.index(each.state))


def _parts(told: Mapping[str, Any]) -> list[Window]:
    windows = told.get("windows") or [told["window"]]
    return [Window(int(each["start_ns"]), int(each["end_ns"])) for each in windows]


def _of_part(columns: RequestColumns, window: Window) -> Saturation:
    latency = (columns.end - columns.sent)[columns.ok & window.holds(columns.sent)]
    if not latency.size:
        return Saturation("unclear", "no request of the window was answered")
    start_ns = window.start_ns + min(float(latency.mean()), (window.end_ns - window.start_ns) / 2)
    span_s = (window.end_ns - start_ns) / 1e9
    edges = np.linspace(start_ns, window.end_ns, BATCHES + 1)
    flying = trend(_mean_in_flight(columns, edges), span_s)
    waits = trend(_mean_by(columns.sent, (columns.first_token - columns.sent) / 1e6, edges), span_s)
    inside = (columns.scheduled >= start_ns) & (columns.scheduled < window.end_ns)
    ended = columns.ok & (columns.end >= start_ns) & (columns.end < window.end_ns)
    offered, answered = float(inside.sum()) / span_s, float(ended.sum()) / span_s
    return judge(flying, waits, offered, answered, span_s=span_s, latency_s=float(latency.mean()) / 1e9)


def judge(
    flying: Trend | None,
    waits: Trend | None,
    offered: float,
    answered: float,
    *,
    span_s: float,
    latency_s: float,
) -> Saturation:
    """The verdict on two trends.

    Args:
        flying: of the requests in flight.
        waits: of the time to first token.
        offered: requests due per second.
        answered: requests answered per second.
        span_s: the tested time.
        latency_s: mean latency of a request.
    """
    facts = (flying, waits, offered, answered)
    grows = flying is not None and _grows(flying) and flying.slope_per_s * span_s > QUEUE
    slower = waits is not None and _grows(waits)
    behind = offered > 0 and answered < BEHIND * offered
    enough = offered * span_s >= _REQUESTS
    if flying is not None and enough and grows and (slower or behind):
        what = f"requests in flight grew by {100 * flying.growth:.0f} % over the window"
        how = f"TTFT by {100 * waits.growth:.0f} %" if slower and waits is not None else ""
        less = f"{answered:.3g} of {offered:.3g} requests/s were answered" if behind else ""
        return Saturation("saturated", " and ".join(filter(None, (what, how, less))), *facts)
    if flying is None or offered * span_s < _REQUESTS:
        why = f"{offered * span_s:.0f} requests came while it was watched; {_REQUESTS} are needed to see a trend"
        return Saturation("unclear", why, *facts)
    latencies = span_s / latency_s
    if latencies < _LEAST_LATENCIES:
        why = (
            f"the window holds {latencies:.1f} mean latencies; {_LEAST_LATENCIES:g} are needed to see a trend"
        )
        return Saturation("unclear", why, *facts)
    return Saturation("steady", "no growth of requests in flight together with that of TTFT", *facts)


def _grows(line: Trend) -> bool:
    return line.p < ALPHA and line.growth > GROWTH


def _mean_in_flight(columns: RequestColumns, edges: Floats) -> Floats:
    """Mean number of requests under way in each batch of time, weighted by time."""
    sent = ~np.isnan(columns.sent)
    began = columns.sent[sent]
    ended = np.where(np.isnan(columns.end[sent]), edges[-1], columns.end[sent])
    # The time that all requests together were under way until an edge.
    until = np.array([np.clip(np.minimum(ended, edge) - began, 0.0, None).sum() for edge in edges])
    return np.diff(until) / np.diff(edges)


def _mean_by(at: Floats, values: Floats, edges: Floats) -> Floats:
    """Mean of the known values by batch of time; NaN where a batch has none."""
    known = ~np.isnan(values) & (at >= edges[0]) & (at < edges[-1])
    batch = np.searchsorted(edges, at[known], side="right") - 1
    sums = np.bincount(batch, weights=values[known], minlength=len(edges) - 1)
    counts = np.bincount(batch, minlength=len(edges) - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Floats = sums / counts
    return means
