"""What the charts of a sweep's output, goodput and front found, each in a sentence for its title."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from benchkit.analysis.knee import Knee
from benchkit.report.amounts import amount
from benchkit.report.titles import counted, number, percent, short

if TYPE_CHECKING:
    from benchkit.report.charts_sweep_goodput import Goodput

_ALL_GOOD: Final = 0.99
_SAME: Final = 0.02


def knee(found: Mapping[str, Knee | None], table: pd.DataFrame, unit: str) -> str:
    """Where more at once stops helping; of several curves, which gives the most.

    Args:
        found: each curve's knee.
        table: of the loads ``series``, ``per_s`` and ``in_flight``.
        unit: of the output.
    """
    if len(found) > 1:
        most = table.groupby("series", sort=False)["per_s"].max().sort_values()
        low, high = (f"{amount(float(most.iloc[at]))} ({short(str(most.index[at]))})" for at in (0, -1))
        if float(most.iloc[-1] - most.iloc[0]) <= _SAME * float(most.iloc[-1]):
            return (
                f"All {len(found)} curves give about the same at most: {amount(float(most.iloc[-1]))} {unit}"
            )
        return f"At most {high} {unit} come out; of {len(found)} curves the least give {low}"
    (one,) = found.values()
    if one is None:
        top = table.sort_values("per_s").iloc[-1]
        return (
            f"{amount(top['per_s'])} {unit} with {amount(top['in_flight'])} in flight, the only level tried"
        )
    where = f"{amount(one.in_flight)} in flight"
    if not one.reached:
        return f"Output still grows at {where}, to {amount(one.most)} {unit}: no knee was reached"
    return f"Beyond about {where}, requests mostly wait: {percent(one.share)} of the most comes out there"


def goodput(found: Sequence[Goodput]) -> str:
    """How much of the load is served as asked."""
    steady = [one for one in found if one.load.on_curve]
    if not steady:
        return f"None of {counted(len(found), 'load')} is in a steady state: no goodput can be told"
    best = max(steady, key=lambda one: one.per_s)
    whose = f" ({short(best.load.series)})" if len({one.load.series for one in found}) > 1 else ""
    most = f"{_most(best)} good requests/s"
    if best.per_s <= 0:
        return f"No request was good enough, under any of {counted(len(steady), 'steady load')}"
    shares = [one.share for one in steady]
    if all(share is not None and share >= _ALL_GOOD for share in shares):
        return f"At least 99 % of requests are good at every steady load, up to {most}{whose}"
    came = f"where {amount(best.offered_per_s)} came"
    fewer = [
        one
        for one in steady
        if one.load.series == best.load.series and one.offered_per_s > best.offered_per_s
    ]
    falls = any(one.high is not None and best.low is not None and one.high < best.low for one in fewer)
    then = ", and falls beyond" if falls else ""
    share = "" if best.share is None else f", {percent(best.share)} of those answered"
    return f"Goodput is highest at {most}{whose}{share}, {came}{then}"


def front(on: pd.DataFrame, names: Sequence[str], unit: str) -> str:
    """What speed for one user costs in output for all.

    Args:
        on: the loads that no other beats in both, by rising speed: ``speed``, ``output``, ``series``, ``load``.
        names: all curves.
        unit: of the output.
    """
    slow, fast = on.iloc[0], on.iloc[-1]
    if len(on) == 1:
        what = f"{amount(slow['speed'])} tokens/s for one user and {amount(slow['output'])} {unit} for all"
        return f"No other load beats {_named(slow)}: {what}"
    told = (
        f"Output for all grows from {amount(fast['output'])} to {amount(slow['output'])} {unit} "
        f"as one user's speed falls from {amount(fast['speed'])} to {amount(slow['speed'])}"
    )
    if len(names) == 1:
        return told
    counts = Counter(str(series) for series in on["series"])
    best, own = counts.most_common(1)[0]
    share = "all" if own == len(on) else f"{own} of {len(on)}"
    return f"{told}; {share} best loads are of {short(best)}"


def _most(best: Goodput) -> str:
    limits = None if best.low is None or best.high is None else (best.low, best.high)
    return number(best.per_s, limits)


def _named(row: pd.Series[Any]) -> str:
    return short(", ".join(filter(None, (str(row["load"]), str(row["series"])))))
