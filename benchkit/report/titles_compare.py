"""What the charts of a comparison found, each in a sentence for its title."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from benchkit.analysis.comparison import LoadCompared, NumberCompared
from benchkit.analysis.difference import holm
from benchkit.report.compare_rows import change_of
from benchkit.report.titles import counted, first_up, joined, ms, short

if TYPE_CHECKING:
    from benchkit.report.compare import Comparison

METRICS: Final = {
    "ttft_ms": "time to first token",
    "itl_ms": "time between tokens",
    "tpot_ms": "time per output token",
    "latency_ms": "latency",
    "max_gap_ms": "longest gap of a request",
}
"""What the metrics of distributions are called."""
Pairs = Sequence[tuple[LoadCompared, NumberCompared]]


def changes(found: Comparison) -> str:
    """Which numbers changed, and most of all which."""
    base, new = map(short, found.names)
    if found.untrusted:
        return f"Nothing is decided about {new} against {base}: a measurement cannot be believed"
    if found.is_single:
        return f"A single run a side: whether {new} differs from {base} cannot be told"
    every = [(load, each) for load in found.loads for each in load.numbers]
    out = [(load, each) for load, each in every if each.stands_out]
    if out:
        told = [
            f"{'is ' if not at else ''}{word} in {_which(own, len(every))}"
            for at, (word, own) in enumerate(_by_side(out))
        ]
        return f"{new} {joined(told)}"
    open_ = [each for _, each in every if not _within(each, found.parameters.change)]
    percent = f"{100 * found.parameters.change:g} %"
    if not open_:
        return f"No number of {new} differs from {base} by {percent} or more"
    if len(open_) == len(every):
        return f"Whether any number of {new} differs from {base} cannot be told yet"
    return f"No number of {new} is known to differ from {base}; of {len(open_)} of {len(every)} it cannot be told"


def _by_side(out: Pairs) -> list[tuple[str, Pairs]]:
    worse = [pair for pair in out if pair[1].difference.is_worse]
    better = [pair for pair in out if not pair[1].difference.is_worse]
    return [(word, own) for word, own in (("worse", worse), ("better", better)) if own]


def _which(own: Pairs, every: int) -> str:
    load, most = max(own, key=lambda pair: abs(math.log(pair[1].difference.ratio or 1.0)))
    name = most.number.text + (f" under {short(load.label)}" if load.label else "")
    if len(own) == 1:
        return f"{name}, {change_of(most)}"
    return f"{len(own)} of {every} numbers, most in {name}, {change_of(most)}"


def _within(each: NumberCompared, change: float) -> bool:
    largest = each.difference.largest()
    return largest is not None and largest <= change and not each.difference.differs()


def runs(found: Comparison, chosen: Pairs) -> str:
    """Whether the runs of the sides lie apart, or among each other.

    Args:
        found: the comparison.
        chosen: the numbers that are drawn, at least one.
    """
    base, new = map(short, found.names)
    if found.is_single:
        return "One run a side: how much runs differ by themselves cannot be seen"
    split = [each for _, each in chosen if _is_split(each)]
    if not split:
        which = "the number" if len(chosen) == 1 else f"all {len(chosen)} numbers"
        return f"Runs of {base} and {new} lie among each other in {which} shown"
    if len(chosen) == 1:
        return f"Every run of {new} lies apart from every run of {base} in {split[0].number.text}"
    return f"In {len(split)} of {len(chosen)} numbers every run of {new} lies apart from every run of {base}"


def _is_split(each: NumberCompared) -> bool:
    base, new = ([value for value in side if value is not None] for side in each.by_run)
    return bool(base and new) and (max(base) < min(new) or max(new) < min(base))


def distributions(
    metric: str, load: str, names: tuple[str, str], curves: tuple[pd.DataFrame, pd.DataFrame], *, tail: bool
) -> str:
    """The median on both sides and, where the runs have enough values, the p99.

    Args:
        metric: by summary.json's name.
        load: in words, where there are several.
        names: of both sides.
        curves: of all runs of either side together, ``share`` and ``value``, ascending.
        tail: whether p99 may be stated.
    """
    base, new = map(short, names)
    low, high = (ms(_at(curve, 0.5)) for curve in curves)
    under = f"under {short(load)}, " if load else ""
    told = f"{under}median {METRICS.get(metric, metric)} {low} ({base}), {high} ({new})"
    if tail:
        low, high = (ms(_at(curve, 0.99)) for curve in curves)
        told += f"; p99 {low} and {high}"
    return first_up(told)


def _at(curve: pd.DataFrame, share: float) -> float:
    row: Any = curve.iloc[(curve["share"] - share).abs().argmin()]
    return float(row["value"])


def shift(metric: str, load: str, table: pd.DataFrame, alpha: float) -> str:
    """Which quantiles moved, each judged beside all others that are drawn (Holm).

    Args:
        metric: by summary.json's name.
        load: in words, where there are several.
        table: from the fastest to the slowest ``quantile``, ``change`` in per cent, and its ``p``.
        alpha: of all quantiles together.
    """
    noun = METRICS.get(metric, metric)
    under = f"under {short(load)}, " if load else ""
    first, last = table.iloc[0], table.iloc[-1]
    ends = (
        f"{_signed(first['change'])} at {first['quantile']}, {_signed(last['change'])} at {last['quantile']}"
    )
    if table["p"].isna().any():
        return first_up(f"{under}nothing is decided of the {noun}: {ends}")
    moved = table[[p < alpha for p in holm(table["p"].tolist())]]
    if not len(moved):
        return first_up(f"{under}no quantile of the {noun} has clearly changed: {ends}")
    if moved["change"].min() < 0 < moved["change"].max():
        return first_up(f"{under}some quantiles of the {noun} rose and some fell: {ends}")
    word = "rose" if moved["change"].iloc[0] > 0 else "fell"
    sizes = moved["change"].abs()
    by = " to ".join(dict.fromkeys(map(_sized, (float(sizes.min()), float(sizes.max())))))
    return first_up(f"{under}the {noun} {word} {_where(table, moved)}, by {by} %")


def _where(table: pd.DataFrame, moved: pd.DataFrame) -> str:
    """Which of the quantiles moved, as far as these lie side by side."""
    if len(moved) == len(table):
        return f"at every quantile up to {table['quantile'].iloc[-1]}"
    if moved.index[-1] - moved.index[0] + 1 != len(moved):
        return f"at {counted(len(moved), 'quantile')} of {len(table)}"
    if moved.index[-1] == table.index[-1]:
        return f"from {moved['quantile'].iloc[0]} on"
    if moved.index[0] == table.index[0]:
        return f"up to {moved['quantile'].iloc[-1]}"
    return f"between {moved['quantile'].iloc[0]} and {moved['quantile'].iloc[-1]}"


def _signed(percent: float) -> str:
    return f"{percent:+.1f} %"


def _sized(percent: float) -> str:
    return f"{percent:.1f}" if percent < 10 else f"{percent:.0f}"
