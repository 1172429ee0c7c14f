"""Where a run lies on the map of its machine's client, as a chart and as words."""

from __future__ import annotations

from html import escape
from typing import Final, NamedTuple

from benchkit.analysis.client_map import BOUNDS_MS, ClientMap
from benchkit.analysis.client_placement import Placement, RunLoad, place, run_load
from benchkit.analysis.recorded import window_of
from benchkit.errors import BenchkitError
from benchkit.experiments import selftest_store
from benchkit.report import charts_client_map, frames, titles_client
from benchkit.report.drawing import Drawing, nothing
from benchkit.report.frames import RunLike
from benchkit.report.section import Section

_NOWHERE: Final = "How near this run was to what its client holds is not known"
_MAKE: Final = "`benchkit selftest` makes one in a minute."


class Placed(NamedTuple):
    """A run beside the map of its client; without a map, why there is none."""

    found: ClientMap | None
    load: RunLoad
    placements: tuple[Placement, ...]
    """One for each bound."""
    why: str = ""


def placed(run: RunLike) -> Placed:
    """Where a run lies on the latest map, if that is one of the machine and the software that it was measured with."""
    records = frames.stored(run)
    manifest, requests = records.manifest, records.requests
    peak = records.summary["windows"]["whole"]["metrics"]["in_flight"].get("max") or 0.0
    parts = window_of(manifest, requests).parts
    load = run_load(manifest, float(peak), records.chunks.ns, frames.column(requests, "sent_ns"), parts)
    if not (manifest.get("load") or {}).get("workers"):
        return Placed(None, load, (), "The run was not measured by benchkit's own client.")
    try:
        found = selftest_store.stored()
    except BenchkitError:
        return Placed(None, load, (), f"No map of this machine's client is stored: {_MAKE}")
    differs = found.foreign(manifest.get("environment") or {})
    if differs:
        why = f"The stored map differs from this run in {', '.join(differs)}: {_MAKE}"
        return Placed(None, load, (), why)
    return Placed(found, load, tuple(place(load, found, bound_ms) for bound_ms in BOUNDS_MS))


def client_map(run: RunLike) -> Drawing:
    """How near was this run to what its client holds? The run as a ring on the machine's map."""
    at = placed(run)
    if at.found is None:
        return nothing(_NOWHERE, at.why)
    if at.load.transport != "stamped":
        return nothing(_NOWHERE, str(at.placements[0]))
    return charts_client_map.of_map(
        at.found, at.load.view, at.load, titles_client.placed(at.placements, at.load)
    )


def placement(run: RunLike) -> Section:
    """How near was this run to what its client holds? In words."""
    at = placed(run)
    if at.found is None:
        return Section(f"<p>{escape(at.why)}</p>", at.why)
    told = [f"This run is {each}." for each in at.placements]
    made = f"By the map of {at.found.made}; the run's busiest second counts."
    html = "".join(f"<li>{escape(each)}</li>" for each in told)
    return Section(f'<ul>{html}</ul><p class="bk-quiet">{escape(made)}</p>', "\n".join([*told, made]))
