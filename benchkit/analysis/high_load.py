"""Whether a load is so high that one run cannot tell how sure its queueing times are."""

from __future__ import annotations

from typing import Final

import pandas as pd

from benchkit.analysis.server_said import WAITING, said_by_server, totals
from benchkit.analysis.window import Window

MOST_WAITING: Final = 0.1
"""Share of the server's readings with requests that wait for a place, above which repeats are needed."""


def repeats_needed(telemetry: pd.DataFrame | None, window: Window) -> str:
    """Why only repeats tell how sure TTFT's mean and tail are; empty where one run may do, or the server said nothing.

    A queue that forms has a memory much longer than a request, and a run that saw few of its swings underestimates it:
    at 80 % of what a server carries, intervals of TTFT's mean from 20,000 requests cover 75 %, whatever the method
    (docs/methodology.md). The server's own count of waiting requests shows where that begins, for any number of seats.
    """
    if telemetry is None or not len(telemetry):
        return ""
    said = said_by_server(telemetry, window)
    waiting = None if said is None else totals(said, WAITING)
    if waiting is None or not len(waiting):
        return ""
    share = float((waiting > 0).mean())
    if share < MOST_WAITING:
        return ""
    return (
        f"requests waited for a place in {100 * share:.0f} % of the server's own readings; such a queue swings more "
        "slowly than one run shows, so that intervals of TTFT may be too narrow (`repeats: 5` measures it)"
    )
