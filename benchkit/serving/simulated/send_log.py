"""Remembers the true send times of the latest requests, within a bound of memory."""

from __future__ import annotations

from collections import deque
from typing import Any

from benchkit.serving.simulated.answers import SendRecord

MAX_STAMPS = 8_000_000
"""Events kept, 16 bytes each; the oldest requests go first."""


class SendLog:
    """Records of requests in the order of their arrival."""

    def __init__(self, max_stamps: int = MAX_STAMPS) -> None:
        self._max_stamps = max_stamps
        self._records: deque[tuple[SendRecord, int]] = deque()
        self._reserved = 0

    def open(self, request_id: str, arrived_ns: int, output_tokens: int) -> SendRecord:
        """A record for a request that may send that many events."""
        record = SendRecord(request_id, arrived_ns)
        self._records.append((record, output_tokens))
        self._reserved += output_tokens
        while self._reserved > self._max_stamps and len(self._records) > 1:
            self._reserved -= self._records.popleft()[1]
        return record

    def records(self) -> list[dict[str, Any]]:
        """All records: ``{"request_id", "arrived_ns", "scheduled_ns": […], "sent_ns": […]}``."""
        return [record.as_dict() for record, _ in self._records]

    def clear(self) -> None:
        """Forgets everything."""
        self._records.clear()
        self._reserved = 0
