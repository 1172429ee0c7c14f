"""A sweep that searches: the highest rate that meets the objectives, each load measured as a point of the sweep."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from benchkit.analysis.boundary import Boundary
from benchkit.analysis.points import LoadPoint, point_of
from benchkit.errors import SweepFailed
from benchkit.experiments.search import Probe, SearchAsk, SearchResult, forecast, search, search_async
from benchkit.experiments.search_simulated import SimulatedServer
from benchkit.experiments.sweep_points import SweepPoint, first_points, numbered_point
from benchkit.parameters import RunParameters, SweepParameters, resolve
from benchkit.records.stored import StoredRun
from benchkit.serving.simulated.settings import settings_for

if TYPE_CHECKING:
    from benchkit.experiments.sweeping import Sweeping

_BESIDE_S = 4.0
"""What a point takes beside warm-up and window: the look before it, records, numbers."""
_TRIES = 2
_STEP = 1.4
"""From one load to the next until one fails: from half of what the server takes at most, that is soon."""


async def search_sweep(sweep: Sweeping, url: str) -> dict[str, Any]:
    """Searches on a server, after its twin where there is one, and gives the result for ``sweep.json``.

    The first two points send one request at a time and as many as the server takes: the search begins at half of what
    it takes at most. One that goes on after a kill takes the same steps, and finds the points that it has measured.

    Args:
        sweep: the sweep under way.
        url: of the server.

    Raises:
        SweepFailed: a load could not be measured.
    """
    p = sweep.parameters
    rates = []
    for place, point in enumerate(first_points(p, {}, 0)):
        run = await _measured(sweep, _known(sweep, place) or point, url)
        rates.append(run.summary["windows"]["whole"]["rates"]["requests_per_s"]["value"] or 0.0)
    if not max(rates):
        raise SweepFailed(
            "no request ended in the windows of the first two points: raise 'duration_s', or lower 'output_tokens'"
        )
    ask = SearchAsk.of(
        p.slo,
        max(rates) / 2,
        step=_STEP,
        lowest=min(rates) / 20,
        highest=2 * max(rates),
        budget_s=p.budget_s,
        probe_s=p.duration_s or SweepParameters.model_fields["duration_s"].default,
        overhead_s=p.warmup_s + _BESIDE_S,
        seed=p.seed,
    )
    twin = await asyncio.to_thread(search_twin, p, ask) if p.twin else None
    sweep.say(f"searching; it takes {forecast(ask, twin_s=twin.spent_s if twin else None)}")
    count = len(rates) - 1

    async def measure(load: float, duration_s: float, seed: int) -> LoadPoint:
        nonlocal count
        count += 1
        point = _known(sweep, count) or numbered_point(p, count, load, duration_s=duration_s)
        del seed
        found = await _measured(sweep, point, url)
        return point_of(found, point.folder, saturated=point.saturated)

    def step(probe: Probe, so_far: Boundary | None) -> None:
        sweep.say(f"{probe.load:g} requests/s for {probe.duration_s:.0f} s ({probe.why})")
        if so_far is not None:
            sweep.say(f"so far: {so_far}")

    result = await search_async(measure, ask, on_step=step, twin=twin)
    return {**result.as_dict(), "text": str(result)}


def search_twin(sweep: SweepParameters, ask: SearchAsk) -> SearchResult:
    """The same search on the server's twin, in virtual time.

    Args:
        sweep: names the twin's preset file, and the work.
        ask: as for the server.
    """
    work: RunParameters = resolve(sweep.run_values)
    events = any("gap" in str(objective) or "itl" in str(objective) for objective in ask.objectives)
    server = SimulatedServer(settings_for(sweep.twin, {}), work, arrivals=sweep.arrivals, keep_events=events)
    return search(server, ask)


def _known(sweep: Sweeping, number: int) -> SweepPoint | None:
    """The point of a search that this step measured before the sweep was broken off."""
    return sweep.points[number] if number < len(sweep.points) else None


async def _measured(sweep: Sweeping, point: SweepPoint, url: str) -> StoredRun:
    """A point's run, measured unless it is complete; a failure is tried once more."""
    if point.status == "complete":
        return StoredRun(sweep.folder / point.folder)
    for _ in range(_TRIES):
        run = await sweep.measure_point(point, url)
        if run is not None:
            return run
    raise SweepFailed(f"{point.label} could not be measured: {point.error}")
