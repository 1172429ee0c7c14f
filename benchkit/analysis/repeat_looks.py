"""Whether a run's repeats are enough: are its objectives decided, or are its headline numbers as sharp as is wanted?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchkit.analysis.looks import spent

LOOKS = (5, 10, 20)
"""Numbers of repeats at which is looked; the last is the most that are made."""
SHARP = 0.05
"""Half-width of an interval, as a share of its value, that is sharp enough."""
_MEANS = ("ttft_ms", "tpot_ms", "latency_ms")
_RATE = "output_tokens_per_s"


class Sureness(NamedTuple):
    """What a look found."""

    sure: bool
    why: str
    """What is not sure yet; what is, where all is."""


def level() -> float:
    """Confidence of each look's intervals, so that all looks together err in 5 % (see ``looks``)."""
    return 1 - spent(LOOKS)


def sureness(summary: Mapping[str, Any]) -> Sureness:
    """Whether more repeats would answer anything that was asked.

    With objectives: whether each of them is met or missed beyond doubt. Without: whether the means of TTFT, TPOT and
    latency and the rate of output tokens are known to 5 %.

    Args:
        summary: of the repeats so far, with intervals of ``level()``.
    """
    objectives = summary["slo"]
    if objectives:
        open_ones = [each["text"] for each in objectives if each["verdict"] == "undecided"]
        return Sureness(
            not open_ones, f"undecided: {'; '.join(open_ones)}" if open_ones else "all objectives decided"
        )
    whole = summary["windows"]["whole"]
    widths = {f"mean {name.removesuffix('_ms')}": _width(whole["metrics"][name], "mean") for name in _MEANS}
    rate = whole["rates"][_RATE]
    widths[_RATE] = _share(rate.get("ci95"), rate["value"])
    wide = [
        f"{name} is known to {100 * width:.2g} %" if width is not None else f"{name} has no interval"
        for name, width in widths.items()
        if width is None or width > SHARP
    ]
    return Sureness(not wide, "; ".join(wide) or f"the headline numbers are known to {100 * SHARP:g} %")


def _width(metric: Mapping[str, Any], statistic: str) -> float | None:
    if not metric["count"]:
        # A run that streams nothing has no TPOT at all: nothing would make it surer.
        return 0.0
    return _share((metric.get("ci95") or {}).get(statistic), metric[statistic])


def _share(limits: list[float] | None, value: float | None) -> float | None:
    if limits is None or not value:
        return None
    return (limits[1] - limits[0]) / 2 / abs(value)
