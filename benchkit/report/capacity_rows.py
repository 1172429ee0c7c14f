"""What a capacity analysis says, as sentences and as rows of text: the tables and the plain text are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchkit.analysis.capacity import CapacityAnswer, Option
from benchkit.analysis.fleet import FleetRun, OverTime
from benchkit.analysis.limits_of_load import Wall
from benchkit.analysis.load_levels import Judged, Level
from benchkit.report.amounts import NONE, amount
from benchkit.report.precision import between, measured
from benchkit.report.rows import Rows

if TYPE_CHECKING:
    from benchkit.report.capacity_report import Capacity


def headline(found: Capacity) -> str:
    """The answer in a sentence."""
    answer = found.answer
    if answer.refused:
        return f"No number of servers. {answer.refusals[0]}"
    sized = [option for option in answer.options if option.fleet]
    if sized:
        what = f"{target(found)} need" if not found.profile else f"A peak of {target(found)} needs"
        return f"{what} {_joined([f'{servers(option)} {option.basis}' for option in sized])}."
    carries = [f"{amount(option.sized_on)} requests/s {option.basis}" for option in answer.options]
    return f"One server carries {_joined(carries)}; no target was given."


def target(found: Capacity) -> str:
    """The load that is asked for, as a person says it."""
    if found.ask.target_users:
        return f"{found.ask.target_users:,} people at once"
    return f"{found.ask.target_rps:,.6g} requests/s"


def servers(option: Option) -> str:
    """``12 servers``."""
    count = option.fleet.servers if option.fleet else 0
    return f"{count:,} server{'' if count == 1 else 's'}"


def limit(answer: CapacityAnswer) -> str:
    """What sets the limit, in a sentence, and how far the others are."""
    lowest = answer.carried.limit
    if lowest is None:
        return "No limit was reached by the measured loads."
    if lowest.rate is None:
        return f"The limit is {_WALLS[lowest.kind]}: {lowest.evidence}."
    told = f"The limit is {_WALLS[lowest.kind]}, at {amount(lowest.rate)} requests/s"
    others = [_distance(wall, lowest.rate) for wall in answer.carried.walls if wall is not lowest]
    return f"{told}; {'; '.join(others)}."


_SAME = 0.005
"""Walls that are nearer to each other than this share are said to stand together."""
_WALLS = {"saturation": "saturation", "objective": "the objective", "memory": "memory"}


def _distance(wall: Wall, rate: float) -> str:
    distance = wall.distance_from(rate)
    if distance is None:
        return f"{_WALLS[wall.kind]}: not known"
    if not wall.reached:
        return f"{_WALLS[wall.kind]} was not reached"
    if distance < _SAME:
        return f"{_WALLS[wall.kind]} stands at the same load"
    return f"{_WALLS[wall.kind]} stands {100 * distance:.0f} % higher"


def answers(found: Capacity) -> Rows:
    """The two answers side by side."""
    options = found.answer.options
    lines: list[tuple[str, Callable[[Option], str]]] = [
        ("one server carries (requests/s)", _carries),
        ("95 % interval", lambda option: interval(option.low, option.high)),
        ("counted with (requests/s)", lambda option: amount(option.sized_on)),
    ]
    if found.ask.target_users:
        lines.append(("people at once, one server", lambda option: amount(option.users)))
    if any(option.fleet for option in options):
        lines += [
            ("load to serve (requests/s)", lambda option: amount(option.load)),
            ("servers that the load needs", lambda option: _of_fleet(option, "carrying")),
            ("servers with spares and zones", lambda option: _of_fleet(option, "servers")),
            (
                "in use while none has failed",
                lambda option: _share(option.fleet.utilisation if option.fleet else None),
            ),
            (
                "one more is due at (requests/s)",
                lambda option: amount(option.fleet.next_server_at if option.fleet else None),
            ),
        ]
        if any(option.redundancy.headroom for option in options):
            lines.insert(4, ("headroom", lambda option: _share(option.redundancy.headroom)))
        if found.ask.gpus_per_server:
            lines.append(("GPUs", lambda option: _gpus(option, found.ask.gpus_per_server)))
    if any(option.cost for option in options):
        lines += [
            ("cost per hour", lambda option: amount(option.cost.per_hour if option.cost else None)),
            (
                "cost per 1,000 requests",
                lambda option: _money(option.cost.per_1000_requests if option.cost else None),
            ),
            (
                "cost per million output tokens",
                lambda option: _money(option.cost.per_million_output_tokens if option.cost else None),
            ),
            (
                "the same with every server full",
                lambda option: _money(option.cost.per_million_output_tokens_full if option.cost else None),
            ),
        ]
    rows = [(name, *(tell(option) for option in options)) for name, tell in lines]
    return Rows(("", *(option.basis for option in options)), rows)


def remarks(answer: CapacityAnswer) -> list[str]:
    """What speaks against the numbers: the measurements' own verdicts, then answer by answer."""
    return [
        *measurements(answer),
        *(f"{option.basis}: {note}" for option in answer.options for note in option.notes),
    ]


def measurements(answer: CapacityAnswer) -> list[str]:
    """Which of the measurements cannot be believed, or not without reserve, and why."""
    told = []
    for verdict in ("invalid", "suspect"):
        found = [
            level
            for level in answer.carried.levels
            if any(point.verdict == verdict for point in level.points)
        ]
        reasons = dict.fromkeys(
            str(reason["what"])
            for level in found
            for point in level.points
            for reason in (point.summary.get("validity") or {}).get("reasons") or ()
            if reason["level"] == verdict
        )
        if found:
            labels = (
                "all loads"
                if len(found) == len(answer.carried.levels)
                else ", ".join(each.label for each in found)
            )
            why = f": {'; '.join(reasons)}" if reasons else ""
            told.append(f"the measurement is {verdict} at {labels}{why}")
    return told


def loads(answer: CapacityAnswer) -> Rows:
    """Each measured load and whether it meets the objectives."""
    names = [judged.objective for judged in answer.carried.levels[0].judged]
    header = ("load", "answered/s", "requests", *names, "meets", "measurement")
    return Rows(header, [_load(level, answer) for level in answer.carried.levels])


def _load(level: Level, answer: CapacityAnswer) -> tuple[str, ...]:
    best = answer.carried.measured is level
    says = "saturated" if level.saturated else "yes" if level.meets else "no"
    requests = NONE if level.requests is None else f"{level.requests:,}"
    values = (_judged(judged) for judged in level.judged)
    return (
        level.label,
        amount(level.requests_per_s),
        requests,
        *values,
        f"{says}, the highest" if best else says,
        ", ".join(dict.fromkeys(point.verdict or NONE for point in level.points)),
    )


def _judged(judged: Judged) -> str:
    star = "" if judged.resolved else " *"
    return with_unit(judged.value, judged.unit) + star if judged.value is not None else NONE + star


def has_unresolved(answer: CapacityAnswer) -> bool:
    """Whether a value of the loads is not resolved by its sample, and has a star."""
    return any(not judged.resolved for level in answer.carried.levels for judged in level.judged)


def walls(answer: CapacityAnswer) -> Rows:
    """The three limits of a server."""
    lowest = answer.carried.limit
    return Rows(
        ("limit", "requests/s", "lies between", "reached", "what it rests on"),
        [
            (
                _WALLS[wall.kind] + (" (sets the limit)" if wall is lowest else ""),
                amount(wall.rate),
                interval(wall.low, wall.high),
                "yes" if wall.reached else "no",
                wall.evidence,
            )
            for wall in answer.carried.walls
        ],
    )


def cells(found: Capacity) -> Rows:
    """Each setting of the server and what it carries."""
    return Rows(
        ("setting", "as measured (requests/s)", "estimated (requests/s)", "servers", "limited by"),
        [
            (
                ", ".join(f"{name} {value}" for name, value in answer.cell.items()) or "as it is",
                amount(answer.measured.rate if answer.measured else None),
                amount(answer.estimated.rate if answer.estimated else None),
                servers(answer.planned) if answer.planned and answer.planned.fleet else NONE,
                answer.carried.limit.kind if answer.carried.limit else NONE,
            )
            for answer in found.answers
        ],
    )


def fleets(found: Capacity) -> Rows:
    """A fixed and a scaling fleet over the profile, by each answer."""
    price = found.ask.price_per_hour
    header = ("fleet", "servers at most", "server-hours", "requests inside", "minutes inside")
    rows = [
        (f"{fleet.kind}, {option.basis}", *_fleet(fleet), *((_money(fleet.cost(price)),) if price else ()))
        for option, day in found.days
        for fleet in (day.fixed, day.scaling)
    ]
    return Rows((*header, *(("cost",) if price else ())), rows)


def _fleet(fleet: FleetRun) -> tuple[str, ...]:
    return (
        f"{fleet.most:,}",
        f"{fleet.server_hours:,.1f}",
        _share(fleet.share_of_requests, exact=True),
        _share(fleet.share_of_minutes, exact=True),
    )


def start_up(day: OverTime) -> str:
    """With what start-up time the scaling fleet was counted."""
    if day.start_up_s:
        return f"A new server serves {amount(day.start_up_s)} s after it is ordered."
    return (
        "How long a new server takes to start is not known and was taken as 0 s: the scaling fleet looks better "
        "than it is; set start_up_s."
    )


def interval(low: float | None, high: float | None) -> str:
    """``4.41 to 4.79``; a dash without one."""
    if low is None or high is None:
        return NONE if low is None else f"{amount(low)} to {NONE}"
    return between(low, high)


def with_unit(value: float, unit: str) -> str:
    """``80.0 ms``, ``99.1 %``."""
    return f"{100 * value:.3g} %" if unit == "share" else f"{amount(value)} {unit}".strip()


def _carries(option: Option) -> str:
    if option.low is None or option.high is None:
        return amount(option.rate)
    return measured(option.rate, (option.low, option.high))


def _of_fleet(option: Option, name: str) -> str:
    return NONE if option.fleet is None else f"{getattr(option.fleet, name):,}"


def _gpus(option: Option, per_server: int) -> str:
    return NONE if option.fleet is None else f"{option.fleet.servers * per_server:,}"


def _share(value: float | None, *, exact: bool = False) -> str:
    if value is None:
        return NONE
    return f"{100 * value:.2f} %" if exact else f"{100 * value:.0f} %"


def _money(value: float | None) -> str:
    return NONE if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _joined(parts: Sequence[str]) -> str:
    return " and ".join(parts)
