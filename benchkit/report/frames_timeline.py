"""The stages of single requests, laid out so that those under way together lie side by side."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.records.kinds import Outcome
from benchkit.report.frames import MS, Floats, RunLike, column, seconds, stored, window

STAGES: Final = (
    "held back by the client",
    "connecting",
    "waiting for the first token",
    "receiving the answer",
)
"""What a request goes through, in order."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Consecutive requests, laid out in lanes so that those under way together lie side by side."""

    stages: pd.DataFrame
    """One row a stage: `lane`, `stage`, `begin_s`, `end_s` (since the window began), `took_ms`; and of its
    request `request`, `outcome`, `output_tokens`."""
    ends: pd.DataFrame
    """One row a request that did not end well: `lane`, `end_s`, `outcome`."""
    shown: int
    total: int
    lanes: int


def timeline(run: RunLike, limit: int = 200) -> Timeline:
    """The stages of at most `limit` requests, consecutive by schedule, from the middle of the window."""
    span = window(run)
    requests = stored(run).requests.sort_values("scheduled_ns", kind="stable").reset_index(drop=True)
    total = len(requests)
    before = int((requests["scheduled_ns"] < (span.start_ns + span.end_ns) // 2).sum())
    first_row = min(max(before - limit // 2, 0), max(total - limit, 0))
    shown = requests.iloc[first_row : first_row + limit].reset_index(drop=True)

    last = float(np.nanmax(np.append(column(requests, "end_ns"), span.end_ns)))
    ended = np.where(np.isnan(column(shown, "end_ns")), last, column(shown, "end_ns"))
    scheduled, sent = column(shown, "scheduled_ns"), column(shown, "sent_ns")
    connect, connected = column(shown, "connect_start_ns"), column(shown, "connected_ns")
    first = column(shown, "first_token_ns")
    left = np.where(np.isnan(sent), ended, sent)
    borders = {
        STAGES[0]: (scheduled, np.where(np.isnan(connect), left, connect)),
        STAGES[1]: (connect, np.where(np.isnan(connected), left, connected)),
        STAGES[2]: (sent, np.where(np.isnan(first), ended, first)),
        STAGES[3]: (first, ended),
    }
    told = pd.DataFrame(
        {
            "lane": lanes(scheduled, ended),
            "outcome": shown["outcome"].astype(str),
            "output_tokens": column(shown, "output_tokens"),
            "request": [
                f"{phase} {index}" for phase, index in zip(shown["phase"], shown["index"], strict=True)
            ],
        }
    )
    stages = pd.concat(
        [
            told.assign(
                stage=stage,
                begin_s=seconds(span, begin),
                end_s=seconds(span, end),
                took_ms=(end - begin) / MS,
            )
            for stage, (begin, end) in borders.items()
        ],
        ignore_index=True,
    )
    ends = told.assign(end_s=seconds(span, ended))[told["outcome"] != Outcome.OK.value]
    count = int(told["lane"].max()) + 1 if len(told) else 0
    return Timeline(stages[stages["took_ms"] > 0], ends, len(shown), total, count)


def lanes(begin: Floats, end: Floats) -> NDArray[np.int64]:
    """A lane for each interval, the lowest that is free; `begin` ascends."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    found = np.empty(len(begin), dtype=np.int64)
    for i, (start, stop) in enumerate(zip(begin, end, strict=True)):
        while busy and busy[0][0] <= start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        found[i] = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (float(stop), int(found[i])))
    return found
