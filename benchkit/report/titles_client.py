"""What the charts of a machine's client found, each in a sentence for its title."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchkit.analysis.client_map import BOUNDS_MS, ClientMap, Limit, View
from benchkit.analysis.client_placement import Placement, RunLoad
from benchkit.report.titles import counted, joined

_BOUND: Final = BOUNDS_MS[0]
_CLOCK: Final[dict[View, str]] = {"kernel": "By the kernel's times", "loop": "By the event loop's times"}


def holds(found: ClientMap, view: View) -> str:
    """How many tokens a second the client holds within the first bound, on the fewest and on the most streams."""
    told = []
    for streams in dict.fromkeys((found.columns[0], found.columns[-1])):
        limit = found.events_limit(streams, _BOUND, view)
        if limit is not None:
            told.append(f"{limit} tokens/s on {counted(streams, 'stream')}")
    return f"{_CLOCK[view]} this client holds {joined(told)}, within {_BOUND:g} ms"


def placed(at: Sequence[Placement], load: RunLoad) -> str:
    """How much of what its client holds a run asked for, by the first bound that can be judged."""
    for each in at:
        if each.share is not None:
            how = " or less" if each.at_most else " or more" if each.at_least else ""
            beyond = ": beyond it" if each.share > 1 and not each.at_most else ""
            return (
                f"This run asked {100 * each.share:.2g} %{how} of what its client holds "
                f"within {each.bound_ms:g} ms{beyond}"
            )
    return f"This run's {counted(round(load.streams), 'stream')} are beyond the map of its client"


def error_grows(found: ClientMap) -> str:
    """Where the error passes the first bound on the most streams, by both clocks."""
    streams = found.columns[-1]
    kernel, loop = (found.events_limit(streams, _BOUND, view) for view in ("kernel", "loop"))
    if kernel is None or loop is None:
        return f"{counted(streams, 'stream')} were tried, and no limit was found"
    told = f"On {counted(streams, 'stream')} the error {_passes(kernel)}"
    return f"{told}; by the event loop's times it {_passes(loop)}"


def sends(found: ClientMap) -> str:
    """How many requests a second the client sends within the first bound."""
    limit = found.requests_limit(_BOUND)
    if limit is None:
        return "No rate of requests was tried"
    if limit.below:
        return f"Already at {_rate(limit)} requests/s the client is wrong by more than {_BOUND:g} ms"
    return f"The client sends {limit} requests/s, on time and stamped within {_BOUND:g} ms"


def _passes(limit: Limit) -> str:
    if limit.below:
        return f"is over {_BOUND:g} ms already at {_rate(limit)} tokens/s"
    if limit.open:
        return f"stays below {_BOUND:g} ms up to {_rate(limit)} tokens/s"
    return f"passes {_BOUND:g} ms at {_rate(limit)} tokens/s"


def _rate(limit: Limit) -> str:
    return f"{float(f'{limit.rate:.3g}'):,.0f}"
