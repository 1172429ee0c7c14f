"""A server's ``/metrics``: readings for the sampler, and what the server itself says of a window."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from benchkit.telemetry.sample import Reading, Sample
from benchkit.telemetry.sampler import Sampler

_LEFT_OUT = ("#", "python_", "http_")
"""Comments, and what a web framework and an interpreter say of themselves."""


PROCESS_START = "process_start_time_seconds"


class ServerMean(NamedTuple):
    """A histogram's mean between two samples."""

    mean: float
    """In the histogram's unit (vLLM: seconds)."""
    observations: int
    """How many there were in between."""
    start_ns: int
    """Time of the first sample; observations count from there."""
    end_ns: int
    """Time of the last sample."""


def metrics_sampler(fetch: Callable[[], str], *, started_ns: int, interval_s: float = 0.5) -> Sampler:
    """A sampler of a server's page.

    Args:
        fetch: Gives the text of ``/metrics`` (``ControlClient.metrics``).
        started_ns: The run's start on CLOCK_MONOTONIC.
        interval_s: Seconds between samples.
    """
    return Sampler(lambda: parse(fetch()), "server", started_ns=started_ns, interval_s=interval_s)


def parse(text: str) -> Iterator[Reading]:
    """The readings of a page: gauges, counters, and the sums and counts of histograms.

    Buckets and creation times are dropped before parsing: they are most of a page, and too coarse to use.
    """
    from prometheus_client.parser import text_string_to_metric_families

    kept = "\n".join(line for line in text.splitlines() if _is_kept(line)) + "\n"
    for family in text_string_to_metric_families(kept):
        for sample in family.samples:
            yield Reading(sample.name, json.dumps(sample.labels, sort_keys=True), float(sample.value))


def start_in(readings: Iterable[Reading | Sample]) -> float | None:
    """When the server's process began, in seconds since 1970; None where it does not say.

    It tells one start of a server from another: what a start brings (addresses, clocks, tuning) its runs share.
    """
    found = [each.value for each in readings if each.name == PROCESS_START and each.value > 0]
    return min(found) if found else None


def window_mean(samples: Sequence[Sample], name: str, start_ns: int, end_ns: int) -> ServerMean | None:
    """Mean of a histogram over a window, from the server: change of its sum / change of its count.

    The window is widened to the samples around it (the last at or before its start, the first at or after
    its end), or to the outermost ones. ``None`` if the histogram is not there, nothing was observed in
    between, or the counts went back (the server was restarted). Series that differ in labels are added up.

    Args:
        samples: As a sampler took them.
        name: The histogram's name, such as ``vllm:time_to_first_token_seconds``.
        start_ns: Start of the window, ns since the run's start.
        end_ns: Its end.
    """
    counts, sums = series(samples, f"{name}_count"), series(samples, f"{name}_sum")
    if not counts or counts.keys() != sums.keys():
        return None
    first, last = _edges(list(counts), start_ns, end_ns)
    count = round(counts[last] - counts[first])
    if count <= 0:
        return None
    return ServerMean((sums[last] - sums[first]) / count, count, first, last)


def window_increase(samples: Sequence[Sample], name: str, start_ns: int, end_ns: int) -> float | None:
    """How much a counter grew over a window, widened as in ``window_mean``; ``None`` if it is missing."""
    values = series(samples, name)
    if not values:
        return None
    first, last = _edges(list(values), start_ns, end_ns)
    return values[last] - values[first]


def series(samples: Iterable[Sample], name: str) -> dict[int, float]:
    """A metric over time, added up over its labels: ns since the run's start -> value, oldest first."""
    values: dict[int, float] = {}
    for sample in samples:
        if sample.name == name and sample.source == "server":
            values[sample.time_ns] = values.get(sample.time_ns, 0.0) + sample.value
    return dict(sorted(values.items()))


def _edges(times: Sequence[int], start_ns: int, end_ns: int) -> tuple[int, int]:
    before = [time for time in times if time <= start_ns]
    after = [time for time in times if time >= end_ns]
    return (before[-1] if before else times[0], after[0] if after else times[-1])


def _is_kept(line: str) -> bool:
    if not line or line.startswith(_LEFT_OUT):
        return False
    name = line[: line.index("{")] if "{" in line else line.partition(" ")[0]
    return not name.endswith(("_bucket", "_created"))
