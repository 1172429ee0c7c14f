"""What this machine's client can hold: loads of rising pace against a paced server, and the map that they make."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from benchkit.experiments.selftest_load import Loaded, loaded
from benchkit.parameters.selftest import SelftestParameters
from benchkit.serving import paced
from benchkit.serving.paced.pace import Stage

if TYPE_CHECKING:
    from benchkit.analysis.client_map import Cell, ClientMap

_SETTLED_S = 0.1
"""Left out at the start of each stage: what still waits of the one before."""
_LOOK_S = 0.3
_SHORT_ANSWER, _SHORT_TTFT_MS, _SHORT_GAP_MS = 4, 20.0, 5.0
_REQUESTS_WARMUP_S, _REQUESTS_STAGES = 0.4, 1.5


async def client_map(
    parameters: SelftestParameters, on_stage: Callable[[str], None] | None = None
) -> ClientMap:
    """Measures the map of this machine's client.

    Args:
        parameters: which loads.
        on_stage: told in words which load begins.

    Raises:
        LoadError: a load could not be sent.
        ServerStartError: a paced server did not start.
    """
    from benchkit.analysis.client_map import ClientMap
    from benchkit.records import environment

    began = time.monotonic()
    busy = await _busy_percent()
    facts = await asyncio.to_thread(environment.collect)
    cells: list[Cell] = []
    async for found in _cells(parameters, on_stage or (lambda _: None)):
        cells += found
    return ClientMap(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        workers=max(1, parameters.workers),
        arrive=parameters.arrive,
        answer_tokens=parameters.answer_tokens,
        seconds=time.monotonic() - began,
        busy_percent=busy,
        environment=facts,
        cells=tuple(cells),
    )


async def _busy_percent() -> float:
    """How busy the processors are before anything of ours runs on them."""
    from benchkit.telemetry.host import HostReader

    host = HostReader()
    list(host())
    await asyncio.sleep(_LOOK_S)
    return next((each.value for each in host() if each.name == "cpu_percent" and each.labels == "{}"), 0.0)


async def _cells(p: SelftestParameters, tell: Callable[[str], None]) -> AsyncIterator[list[Cell]]:
    lowest, highest = p.tokens_per_s[0], p.tokens_per_s[-1]
    for streams in p.streams:
        tell(f"{streams:,} streams, {lowest:,} to {highest:,} tokens/s")
        yield _of_stages(p, streams, await _streams_loaded(p, streams))
    for rate in p.requests_per_s:
        tell(f"{rate:,} requests/s")
        yield [_of_rate(rate, await _requests_loaded(p, rate))]


async def _streams_loaded(p: SelftestParameters, streams: int) -> Loaded:
    """A closed loop through all stages; what is under way at its end stays incomplete."""
    ramp_s = 0.3 + streams / 2000
    stages = [Stage(float(rate), p.stage_s) for rate in p.tokens_per_s]
    server = await asyncio.to_thread(
        paced.start_stages,
        stages,
        ramp_s=ramp_s,
        answer_tokens=p.answer_tokens,
        bursts=p.arrive == "in_steps",
    )
    with server:
        return await loaded(
            server,
            {
                "load": "concurrent",
                "concurrency": streams,
                "warmup_s": ramp_s,
                "duration_s": p.stage_s * len(stages),
                "output_tokens": p.answer_tokens,
                "workers": p.workers,
            },
        )


async def _requests_loaded(p: SelftestParameters, rate: int) -> Loaded:
    server = await asyncio.to_thread(
        paced.start_fixed, ttft_ms=_SHORT_TTFT_MS, gap_ms=_SHORT_GAP_MS, answer_tokens=_SHORT_ANSWER
    )
    with server:
        return await loaded(
            server,
            {
                "load": "poisson",
                "rate": float(rate),
                "warmup_s": _REQUESTS_WARMUP_S,
                "duration_s": _REQUESTS_STAGES * p.stage_s,
                "output_tokens": _SHORT_ANSWER,
                "workers": p.workers,
            },
        )


def _of_stages(p: SelftestParameters, streams: int, load: Loaded) -> list[Cell]:
    return [
        _cell("streams", streams, float(rate), load, begun_ns + _ns(_SETTLED_S), begun_ns + _ns(p.stage_s))
        for rate, begun_ns in zip(p.tokens_per_s, load.log.stages_ns, strict=True)
    ]


def _of_rate(rate: int, load: Loaded) -> Cell:
    from benchkit.analysis.columns import read_columns
    from benchkit.analysis.occupancy import in_flight
    from benchkit.analysis.window import Window

    begin_ns, end_ns = load.window_ns
    window = Window(begin_ns - load.start_ns, end_ns - load.start_ns)
    most = in_flight(read_columns(load.requests), window)["max"]
    return _cell("requests", int(most or 0), float(rate), load, begin_ns, end_ns)


def _cell(kind: str, streams: int, asked: float, load: Loaded, begin_ns: int, end_ns: int) -> Cell:
    from benchkit.analysis.client_error import Spread
    from benchkit.analysis.client_map import Cell

    beside, seconds = load.beside, (end_ns - begin_ns) / 1e9
    kernel = beside.errors_ms("kernel", begin_ns, end_ns)
    late = beside.lateness_ms(begin_ns, end_ns)
    return Cell(
        kind="streams" if kind == "streams" else "requests",
        streams=streams,
        asked_per_s=asked,
        events_per_s=kernel.size / seconds,
        requests_per_s=late.size / seconds,
        kernel=Spread.of(kernel),
        loop=Spread.of(beside.errors_ms("loop", begin_ns, end_ns)),
        lateness=Spread.of(late),
        server=Spread.of(beside.server_ms(begin_ns, end_ns)),
        steal_percent=load.steal_percent,
    )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
