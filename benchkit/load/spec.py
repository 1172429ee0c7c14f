"""What a load process is told: one frozen value that travels as JSON, without a secret in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

SPEC_FILE = "load.json"
TAPE_FOLDER = "tape"
PARTS_FOLDER = "parts"
TICK_NS = 20_000_000
"""How often a worker proves that its loop is alive, re-reads the clocks' offset and flushes its tape."""


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """One load: where to, how, for how long, and the plan's inputs.

    Attributes:
        scheme, host, port, path: of the endpoint that is posted to.
        target: base URL as records name it.
        model: as records name it, where the plan names none.
        api_key_env: name of the environment variable that holds the key; "" for none.
        load: one of the kinds of load of the vocabulary.
        concurrency: streams of a closed loop, over all workers; 0 in an open loop.
        max_in_flight: cap of an open loop over all workers, 0 for none.
        warmup_ns, duration_ns, drain_ns, timeout_ns: lengths in ns; a duration of 0 is no limit.
        max_error_rate: share of failed requests that stops the run, judged from 20 requests on.
        workers: number of load processes.
        repeat: which repeat of the run.
        origin_ns: the run's start, CLOCK_MONOTONIC, when this is not its first repeat; else 0.
        transport: ``stamped`` or ``httpx``.
        reuse: whether connections are kept between requests.
        verify_tls: whether the server's certificate is checked.
        keep_text: whether prompts and answers are kept.
        exact_length: whether an answer shorter than wanted is a failure.
        plan: ``PlanSpec`` as JSON.
        run_id: prefix of the request ids that are sent.
    """

    scheme: str
    host: str
    port: int
    path: str
    target: str
    model: str
    api_key_env: str
    load: str
    concurrency: int
    max_in_flight: int
    warmup_ns: int
    duration_ns: int
    drain_ns: int
    timeout_ns: int
    max_error_rate: float
    workers: int
    repeat: int
    origin_ns: int
    transport: str
    reuse: bool
    verify_tls: bool
    keep_text: bool
    exact_length: bool
    run_id: str
    plan: dict[str, Any] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """Whether the next request waits for an earlier one."""
        return self.load in {"synchronous", "concurrent", "throughput"}

    @property
    def bounded(self) -> bool:
        """Whether a number of requests limits the window."""
        return bool(self.plan.get("requests"))

    def tape_folder(self, folder: Path) -> Path:
        """Where the tapes of this repeat lie in a run's folder."""
        return folder / TAPE_FOLDER / f"r{self.repeat}"

    def streams_of(self, worker: int) -> range:
        """Which of the closed loop's streams a worker runs."""
        return range(worker, self.concurrency, self.workers)

    def cap_of(self, worker: int) -> int:
        """A worker's part of ``max_in_flight``; 0 for none. Every worker gets at least one."""
        if not self.max_in_flight:
            return 0
        return max(1, len(range(worker, self.max_in_flight, self.workers)))

    def write(self, folder: Path) -> None:
        """Writes the file that the processes of this load read."""
        (folder / SPEC_FILE).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads it back."""
        values: Mapping[str, Any] = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
        return cls(**values)
