"""What the charts of a capacity analysis found, each in a sentence for its title."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchkit.analysis.capacity import CapacityAnswer, Option
from benchkit.analysis.fleet import OverTime
from benchkit.objectives import Single
from benchkit.report import capacity_rows
from benchkit.report.amounts import amount
from benchkit.report.titles import counted, number, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchkit.analysis.capacity_sensitivity import Variation
    from benchkit.report.capacity_report import Capacity


def servers(found: Capacity) -> str:
    """How many servers the load needs; without a target, what one carries."""
    return capacity_rows.headline(found).removesuffix(".")


def boundary(answer: CapacityAnswer, objectives: Sequence[Single]) -> str:
    """Up to which load one server meets its objectives."""
    best, estimate = answer.carried.measured, answer.carried.estimated
    what = objectives[0].text if len(objectives) == 1 else f"all {len(objectives)} objectives"
    if best is None:
        return f"No measured load meets {what}"
    told = f"One server meets {what} up to {amount(best.requests_per_s)} requests/s as measured"
    if estimate is None:
        return told
    limits = None if estimate.low is None or estimate.high is None else (estimate.low, estimate.high)
    return f"{told}, {number(estimate.rate, limits)} estimated" + (
        " beyond all loads" if estimate.extrapolated else ""
    )


def limits(answer: CapacityAnswer) -> str:
    """What sets the limit of one server, and how far the others are."""
    return capacity_rows.limit(answer).removesuffix(".")


def sensitivity(variations: Sequence[Variation]) -> str:
    """How the servers move when all times in the objectives do, the target as asked."""
    at = {each.objective_factor: each for each in variations if each.target_factor == 1}
    asked = at.get(1.0)
    if asked is None or asked.servers is None:
        return "As asked, no measured load meets the objectives"
    told = [f"{_servers(asked)} as asked"]
    for factor, words in ((0.5, "half the time"), (2.0, "twice the time")):
        if factor in at:
            each = at[factor]
            count = "none can meet" if each.servers is None else f"{each.servers:,} for"
            told.append(f"{count} {words} in the objectives" if not told[1:] else f"{count} {words}")
    return ", ".join(told) + ("; too little was seen to rely on it" if asked.doubtful else "")


def over_time(option: Option, day: OverTime) -> str:
    """What scaling saves over the profile, and how much of it stays inside the objective."""
    saved = 1 - day.scaling.server_hours / day.fixed.server_hours
    fixed = f"{counted(day.fixed.most, 'server')} all the time"
    if saved <= 0:
        return f"Scaling saves nothing against {fixed} ({option.basis})"
    inside = _inside(day.scaling.share_of_requests)
    return f"Scaling takes {percent(saved)} fewer server-hours than {fixed}, {inside} of requests inside"


def smaller(day: OverTime) -> str:
    """What one server fewer costs in the objective."""
    whole = f"{_hold(day.fixed.most)} {_inside(day.fixed.share_of_requests)}"
    if len(day.smaller) < 2:
        return f"{whole} of the requests inside the objective, and there is no smaller fleet"
    fewer = day.smaller[-2]
    return f"{_hold(fewer.most)} {_inside(fewer.share_of_requests)} of the requests inside the objective, {whole}"


def _hold(count: int) -> str:
    return f"{counted(count, 'server')} hold{'s' if count == 1 else ''}"


def _inside(share: float) -> str:
    """A share of which the last tenth of a per cent matters, never rounded up to all."""
    if share >= 1:
        return "all"
    return f"{min(100 * share, 99.99):.4g} %"


def _servers(each: Variation) -> str:
    count = 0 if each.servers is None else each.servers
    return counted(count, "server")
