"""What a map of a client says, as rows and sentences: its limits, its cells, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from benchkit.analysis.client_error import Spread
from benchkit.analysis.client_map import BOUNDS_MS, VIEWS, Cell, ClientMap, Limit
from benchkit.report.amounts import NONE, amount
from benchkit.report.rows import Rows

_BUSY: Final = 20.0
_STEAL: Final = 3.0
"""Percent of the machine from which a map is that of a disturbed machine."""


def limits(found: ClientMap) -> Rows:
    """The highest rates within each bound: events/s by streams, and requests/s."""
    columns = found.columns
    last = ("requests/s",) if found.of_requests else ()
    header = ("client's error, p99", *(f"{streams:,} streams" for streams in columns), *last)
    rows = []
    for view, words in VIEWS.items():
        for bound_ms in BOUNDS_MS:
            row = [f"below {bound_ms:g} ms, {words}"]
            row += [_told(found.events_limit(streams, bound_ms, view)) for streams in columns]
            row += [_told(found.requests_limit(bound_ms, view))] if found.of_requests else []
            rows.append(tuple(row))
    return Rows(header, rows)


def limits_told(found: ClientMap) -> list[dict[str, Any]]:
    """The same for programs: one entry a view, bound and number of streams (null for the rate of requests)."""
    told = []
    for view in VIEWS:
        for bound_ms in BOUNDS_MS:
            for streams in (*found.columns, *([None] if found.of_requests else [])):
                limit = (
                    found.requests_limit(bound_ms, view)
                    if streams is None
                    else found.events_limit(streams, bound_ms, view)
                )
                if limit is not None:
                    told.append(
                        {
                            "times": view,
                            "bound_ms": bound_ms,
                            "streams": streams,
                            "per_s": limit.rate,
                            "at_least": limit.open,
                            "less_than": limit.below,
                        }
                    )
    return told


def headline(found: ClientMap) -> str:
    """What the client holds, in one sentence."""
    bound_ms = BOUNDS_MS[0]
    held = [
        f"{streams:,} streams of {limit} tokens/s"
        for streams in found.columns
        if (limit := found.events_limit(streams, bound_ms)) is not None and not limit.below
    ]
    requests = found.requests_limit(bound_ms)
    if requests is not None and not requests.below:
        held.append(f"{requests} requests/s")
    if not held:
        return f"Under none of these loads is the client's own error (p99) below {bound_ms:g} ms"
    return f"This client's own error (p99) stays below {bound_ms:g} ms with {', '.join(held)}"


def cells(found: ClientMap) -> Rows:
    """Every load with what was seen."""
    header = (
        *(
            "load",
            "tokens/s",
            "requests/s",
            "error by kernel p99 (ms)",
            "by loop p99 (ms)",
            "lateness p99 (ms)",
        ),
        *("events", "server late p99 (ms)", "steal"),
    )
    ordered = [cell for streams in found.columns for cell in found.of_streams(streams)]
    return Rows(header, [_row(cell) for cell in [*ordered, *found.of_requests]])


def remarks(found: ClientMap) -> list[str]:
    """What speaks against the map."""
    return list(_remarks(found))


def machine(found: ClientMap) -> Rows:
    """Which machine, with what."""
    facts = found.environment
    packages = ", ".join(
        f"{name} {version}" for name, version in (facts.get("client_packages") or {}).items()
    )
    rows: list[tuple[str, ...]] = [
        ("made", f"{found.made}, in {found.seconds:.0f} s"),
        ("processor", f"{facts.get('cpu_model') or NONE}, {facts.get('cpu_count') or NONE} logical"),
        ("may use", _list(facts.get("cpu_affinity"))),
        ("system", f"{facts.get('os') or NONE}, {facts.get('kernel') or NONE}"),
        ("container", str(facts.get("container") or "none seen")),
        ("Python", f"{facts.get('python') or NONE}; {packages}"),
        ("benchkit", f"{facts.get('benchkit') or NONE}, {found.workers} load process(es)"),
        ("others' processor time before", f"{found.busy_percent:.0f} %"),
    ]
    return Rows(("what", "value"), rows)


def _remarks(found: ClientMap) -> Iterator[str]:
    if found.busy_percent > _BUSY:
        yield (
            f"Others used {found.busy_percent:.0f} % of the processors just before: a machine of its own holds more."
        )
    stolen = [cell for cell in found.cells if (cell.steal_percent or 0.0) > _STEAL]
    if stolen:
        most = max(cell.steal_percent or 0.0 for cell in stolen)
        yield f"The host took up to {most:.0f} % of the machine's time away (steal) during {len(stolen)} of the loads."
    for cell in found.cells:
        if not cell.kept_pace:
            yield (
                f"At {cell.streams:,} streams the paced server sent {cell.rate:,.0f} of {cell.asked_per_s:,.0f} "
                "tokens/s: the cell stands for what it sent, and what the client holds beyond is not known."
            )
    unsure = [cell for cell in found.cells if cell.state("kernel", BOUNDS_MS[0]) == "unsure"]
    if unsure:
        yield (
            f"In {len(unsure)} of {len(found.cells)} loads the 99th percentile is not sure to lie on one side of "
            f"{BOUNDS_MS[0]:g} ms: longer stages (stage_s) tell."
        )
    yield (
        "One token an event, prompts of 16 tokens, no TLS, client and server on one machine: they share its "
        "processors, and a client that is alone holds more."
    )


def _row(cell: Cell) -> tuple[str, ...]:
    streams = cell.kind == "streams"
    label = f"{cell.streams:,} streams" if streams else f"{cell.asked_per_s:,.0f} requests/s"
    return (
        label,
        amount(cell.events_per_s),
        amount(cell.requests_per_s),
        _p99(cell.kernel),
        _p99(cell.loop),
        _p99(cell.lateness),
        f"{cell.kernel.n:,}" if cell.kernel else "0",
        _p99(cell.server),
        NONE if cell.steal_percent is None else f"{cell.steal_percent:.0f} %",
    )


def _p99(spread: Spread | None) -> str:
    if spread is None:
        return NONE
    if spread.p99 is None:
        return "never read"
    if spread.low is None:
        return amount(spread.p99)
    return f"{amount(spread.p99)} ({amount(spread.low)} to {amount(spread.high) if spread.high else '?'})"


def _told(limit: Limit | None) -> str:
    return NONE if limit is None else str(limit)


def _list(values: Any) -> str:
    return NONE if not values else f"processors {', '.join(map(str, values))}"
