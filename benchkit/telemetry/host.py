"""What the machine did beside a run: processor, memory and scheduler, as seen from the client's side."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import psutil

from benchkit.telemetry.sample import Reading
from benchkit.telemetry.sampler import Sampler

_NO_LABELS = "{}"
_NOT_BUSY = ("idle", "iowait", "steal", "guest", "guest_nice")
"""Waiting; other machines' time; and guests' time, which ``user`` and ``nice`` have already."""


def host_sampler(*, started_ns: int, interval_s: float = 0.5) -> Sampler:
    """A sampler of this machine; ``started_ns`` is the run's start on CLOCK_MONOTONIC."""
    return Sampler(HostReader(), "host", started_ns=started_ns, interval_s=interval_s)


class HostReader:
    """Gives, at each call, what happened since the call before; the first call gives states only.

    Names: ``cpu_percent`` (all cores, and each with the label ``core``), ``steal_percent``,
    ``context_switches_per_s``, ``memory_available_bytes``, ``memory_percent``, ``load_1min``.
    """

    def __init__(self) -> None:
        self._times: list[Any] = []
        self._switches = 0
        self._at = 0.0

    def __call__(self) -> Iterator[Reading]:
        """The readings of now."""
        now = time.monotonic()
        times, switches = psutil.cpu_times(percpu=True), psutil.cpu_stats().ctx_switches
        if self._at:
            yield from self._since(times, switches, now - self._at)
        self._times, self._switches, self._at = times, switches, now
        memory = psutil.virtual_memory()
        yield Reading("memory_available_bytes", _NO_LABELS, float(memory.available))
        yield Reading("memory_percent", _NO_LABELS, float(memory.percent))
        yield Reading("load_1min", _NO_LABELS, psutil.getloadavg()[0])

    def _since(self, times: list[Any], switches: int, elapsed_s: float) -> Iterator[Reading]:
        busy_all = steal_all = total_all = 0.0
        for core, (before, after) in enumerate(zip(self._times, times, strict=False)):
            spent = {name: getattr(after, name) - getattr(before, name) for name in after._fields}
            total = sum(value for name, value in spent.items() if not name.startswith("guest"))
            busy = sum(value for name, value in spent.items() if name not in _NOT_BUSY)
            busy_all, total_all = busy_all + busy, total_all + total
            steal_all += spent.get("steal", 0.0)
            if total > 0:
                yield Reading("cpu_percent", json.dumps({"core": str(core)}), 100 * busy / total)
        if total_all > 0:
            yield Reading("cpu_percent", _NO_LABELS, 100 * busy_all / total_all)
            yield Reading("steal_percent", _NO_LABELS, 100 * steal_all / total_all)
        if elapsed_s > 0:
            yield Reading("context_switches_per_s", _NO_LABELS, (switches - self._switches) / elapsed_s)
