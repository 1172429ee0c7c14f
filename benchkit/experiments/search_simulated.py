"""Loads on a simulated server in virtual time, as points that were measured: what a search asks of a twin."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.analysis.metrics import build_summary
from benchkit.analysis.points import LoadPoint
from benchkit.analysis.window import Window
from benchkit.parameters import RunParameters
from benchkit.plan import arrivals
from benchkit.plan.lengths import UniformLengths
from benchkit.plan.randomness import Purpose, Stream
from benchkit.records.chunks import Chunks
from benchkit.records.schema import TELEMETRY
from benchkit.serving.simulated.settings import Settings
from benchkit.simulator.requests import Emission, Engine, EngineRequest
from benchkit.simulator.simulate import SimulatedRequest, SimulationResult, simulate

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SimulatedServer:
    """A server that answers a search's questions in virtual time; call it as a search's probe.

    Each call simulates a fresh server: warm-up and window at one load, then the drain.
    """

    settings: Settings
    """Of the engine ``vllm``: a preset's, or a twin's."""
    work: RunParameters
    """Lengths, ``prefix_tokens``, ``warmup_s``, and with ``arrivals`` gamma the burstiness."""
    arrivals: str = "poisson"
    """constant, poisson or gamma."""
    streams: bool = False
    """Whether a load is a number of streams of a closed loop, not a rate."""
    keep_events: bool = False
    """Whether the times of all tokens are kept, which objectives on gaps need; else of the first and the last."""

    def __call__(self, load: float, duration_s: float, seed: int) -> LoadPoint:
        """The point of one load.

        Args:
            load: requests per second, or streams.
            duration_s: of the window.
            seed: of arrivals, lengths and the engine's own chance.
        """
        engine = _Watched(self._engine(seed), keep_events=self.keep_events)
        start_ns = round(self.work.warmup_s * 1e9)
        window = Window(start_ns, start_ns + round(duration_s * 1e9))
        work = self._work(load, window.end_ns, seed, engine)
        result = simulate(engine, work, concurrency=round(load) if self.streams else 0)
        records = _records(result, engine, window, self._asked(load, seed))
        return LoadPoint(
            name=f"simulated {load:.4g}",
            load="concurrent" if self.streams else self.arrivals,
            summary=records.summary,
            rate=None if self.streams else load,
            concurrency=round(load) if self.streams else None,
            records=records,
            tool="benchkit's simulator",
        )

    def _engine(self, seed: int) -> Engine:
        return dataclasses.replace(self.settings, seed=seed).build_engine()

    def _asked(self, load: float, seed: int) -> dict[str, Any]:
        chosen = {"load": "concurrent", "concurrency": round(load)} if self.streams else {"rate": load}
        return self.work.model_dump() | {"load": self.arrivals, "seed": seed} | chosen

    def _work(self, load: float, end_ns: int, seed: int, engine: _Watched) -> Iterator[SimulatedRequest]:
        """Requests by their times; in a closed loop until the window's end."""
        work = self.work
        lengths = UniformLengths(
            work.input_tokens,
            work.input_tokens_spread,
            work.output_tokens,
            work.output_tokens_spread,
            Stream(seed, 0, "window", Purpose.LENGTHS),
        )
        shared = work.prefix_tokens // self.settings.block_size if engine.wants_hashes else 0
        due = None if self.streams else self._times(load, end_ns, seed).tolist()
        row = 0
        while engine.now_ns < end_ns if due is None else row < len(due):
            prompt, output = lengths.at(row)
            hashes: list[int] = []
            if shared:
                own, blocks = 1_000_000 * (row + 1), (prompt + output) // self.settings.block_size
                hashes = [*range(min(shared, blocks)), *range(own + shared, own + blocks)]
            yield SimulatedRequest(0 if due is None else due[row], prompt, output, hashes)
            row += 1

    def _times(self, rate: float, end_ns: int, seed: int) -> Ints:
        stream = Stream(seed, 0, "window", Purpose.TIMES)
        if self.arrivals == "constant":
            return arrivals.constant(rate, before_ns=end_ns, count=None)
        if self.arrivals == "gamma":
            return arrivals.gamma(rate, self.work.burstiness, stream, before_ns=end_ns, count=None)
        return arrivals.poisson(rate, stream, before_ns=end_ns, count=None)


class _Watched:
    """An engine of which the time is known and, if wanted, the events are kept."""

    def __init__(self, engine: Engine, *, keep_events: bool) -> None:
        self.now_ns = 0
        self.events: list[Emission] = []
        self.rows: dict[EngineRequest, int] = {}
        self._engine = engine
        self._keep = keep_events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def submit(self, request: EngineRequest, now_ns: int) -> None:
        """See ``Engine``."""
        if self._keep:
            self.rows[request] = len(self.rows)
        self._engine.submit(request, now_ns)

    def advance(self, now_ns: int) -> list[Emission]:
        """See ``Engine``."""
        self.now_ns = now_ns
        out = self._engine.advance(now_ns)
        if self._keep:
            self.events.extend(out)
        return out


@dataclass(slots=True)
class SimulatedRecords:
    """What a simulation gave, with the face of a stored run (``points.Records``)."""

    manifest: dict[str, Any]
    requests: pd.DataFrame
    chunks: Chunks
    telemetry: pd.DataFrame = field(default_factory=lambda: TELEMETRY.empty_table().to_pandas())
    summary: dict[str, Any] = field(default_factory=dict)


def _records(
    result: SimulationResult, engine: _Watched, window: Window, asked: dict[str, Any]
) -> SimulatedRecords:
    sent = result.arrived_ns
    phase = np.where(window.holds(sent), "window", "warmup")
    # A closed loop's streams begin a request each as long as others end: what began after the window is no part of it.
    kept = sent < window.end_ns
    requests = pd.DataFrame(
        {
            "repeat": 0,
            "phase": phase,
            "outcome": "ok",
            "scheduled_ns": sent,
            "sent_ns": sent,
            "first_token_ns": result.first_token_ns,
            "last_token_ns": result.end_ns,
            "end_ns": result.end_ns,
            "output_tokens": result.output_tokens,
        }
    )[kept]
    chunks = _all_events(engine, sent.size) if engine.events else _ends(result)
    if not kept.all():
        # They are the last ones that were sent.
        count = int(kept.sum())
        end = int(chunks.offsets[count])
        chunks = Chunks(
            chunks.offsets[: count + 1], chunks.ns[:end], chunks.loop_ns[:end], chunks.tokens[:end],
            chunks.known[:count], chunks.shared[:end],
        )  # fmt: skip
    facts = {"window": {"start_ns": window.start_ns, "end_ns": window.end_ns}}
    records = SimulatedRecords({"parameters": asked, "load": facts, "simulated": True}, requests, chunks)
    records.summary = build_summary(
        requests, chunks, window=window, objectives=(), load_facts=facts, parameters=asked
    )
    return records


def _ends(result: SimulationResult) -> Chunks:
    """The first token of each request, and all others together when the last one came."""
    counts = np.where(result.output_tokens > 1, 2, 1)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    ns = np.repeat(result.first_token_ns, counts)
    ns[offsets[1:] - 1] = result.end_ns
    tokens = np.ones(ns.size, dtype=np.int32)
    several = counts == 2
    tokens[offsets[1:][several] - 1] = result.output_tokens[several] - 1
    return _chunks(offsets, ns, tokens)


def _all_events(engine: _Watched, count: int) -> Chunks:
    rows = np.fromiter((engine.rows[event.request] for event in engine.events), np.int64)
    order = np.argsort(rows, kind="stable")
    ns = np.fromiter((event.due_ns for event in engine.events), np.int64)[order]
    tokens = np.fromiter((event.tokens for event in engine.events), np.int32)[order]
    offsets = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=count)))).astype(np.int64)
    return _chunks(offsets, ns, tokens)


def _chunks(offsets: Any, ns: Any, tokens: Any) -> Chunks:
    return Chunks(
        offsets, ns, ns, tokens, np.ones(offsets.size - 1, dtype=np.bool_), np.zeros(ns.size, dtype=np.bool_)
    )
