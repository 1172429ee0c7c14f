"""The request table as flat float arrays, nulls as NaN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.records.kinds import Outcome, Phase

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_OUTCOMES = [str(outcome) for outcome in Outcome]


@dataclass(frozen=True, slots=True)
class RequestColumns:
    """One array a column, one element a request; times in ns, exact up to 104 days."""

    scheduled: Floats
    connect_start: Floats
    connected: Floats
    sent: Floats
    first_token: Floats
    first_text: Floats
    first_answer: Floats
    last_token: Floats
    end: Floats
    waited: Floats
    prompt_tokens: Floats
    output_tokens: Floats
    lag_max: Floats
    outcome: NDArray[np.int8]
    """Position in ``Outcome``; -1 for what is none."""
    in_phase: Flags
    """Scheduled in the window's phase, not in the warm-up."""

    @property
    def ok(self) -> Flags:
        """Requests that ended well."""
        return self.is_outcome(Outcome.OK)

    @property
    def censored(self) -> Flags:
        """Requests whose end was not seen, through no fault of theirs: incomplete or interrupted."""
        return self.is_outcome(Outcome.INCOMPLETE, Outcome.INTERRUPTED)

    @property
    def connecting(self) -> Floats:
        """Ns spent connecting before the request was sent, 0 on a kept connection.

        A second attempt connects after ``sent``, which is the first attempt's: that time is the server's.
        """
        spent = self.connected - self.connect_start
        return np.where(self.connected <= self.sent, spent, 0.0)

    def is_outcome(self, *outcomes: Outcome) -> Flags:
        """Which requests ended in one of these ways."""
        flags = np.zeros(self.outcome.shape, dtype=np.bool_)
        for outcome in outcomes:
            flags |= self.outcome == _OUTCOMES.index(str(outcome))
        return flags


def read_columns(requests: pd.DataFrame) -> RequestColumns:
    """The columns of a request table; one that is missing is null throughout."""

    def numbers(name: str) -> Floats:
        if name not in requests:
            return np.full(len(requests), np.nan)
        return requests[name].to_numpy(dtype=np.float64, na_value=np.nan)

    def codes(name: str, kinds: list[str]) -> NDArray[np.int8]:
        if name not in requests:
            return np.full(len(requests), -1, dtype=np.int8)
        positions = {kind: position for position, kind in enumerate(kinds)}
        found = requests[name].map(positions).to_numpy(dtype=np.float64, na_value=-1.0)
        return found.astype(np.int8)

    return RequestColumns(
        scheduled=numbers("scheduled_ns"),
        connect_start=numbers("connect_start_ns"),
        connected=numbers("connected_ns"),
        sent=numbers("sent_ns"),
        first_token=numbers("first_token_ns"),
        first_text=numbers("first_text_ns"),
        first_answer=numbers("first_answer_ns"),
        last_token=numbers("last_token_ns"),
        end=numbers("end_ns"),
        waited=np.nan_to_num(numbers("waited_ns")),
        prompt_tokens=numbers("prompt_tokens"),
        output_tokens=numbers("output_tokens"),
        lag_max=numbers("pickup_lag_max_ns"),
        outcome=codes("outcome", _OUTCOMES),
        in_phase=codes("phase", [str(Phase.WINDOW)]) == 0,
    )
