"""How much two sets of runs differ in one number, and whether that is more than is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchkit.analysis import student
from benchkit.analysis.log_ratio import SEES, SINGLE, Difference
from benchkit.analysis.permutation import permutation_p

__all__ = [
    "CLIENT_FLOOR",
    "SEES",
    "SINGLE",
    "Difference",
    "Direction",
    "Outcome",
    "decide",
    "difference",
    "holm",
    "limit_of",
    "p_beyond",
    "p_within",
]

Floats = NDArray[np.float64]
Outcome = Literal["pass", "fail", "inconclusive"]
Direction = Literal["rise", "drop"]

CLIENT_FLOOR = 0.001
"""Least relative spread of a run's value: what the client's own error moves a mean over a window by (0.1 %)."""
CHECKED_FROM = 6
"""Runs a side from which a permutation test can find anything at 5 % whatever the pairing."""
_ONE_START = "each side is one start of its server: another start may differ by more than the interval says"


def difference(
    base: Sequence[float | None],
    new: Sequence[float | None],
    *,
    paired: bool,
    higher_is_worse: bool = True,
    starts: tuple[Sequence[int], Sequence[int]] | None = None,
    floor: float = 0.0,
    alpha: float = 0.05,
) -> Difference:
    """The difference of one number between two sets of runs.

    Paired: Student's t on the log ratios of the pairs. Not paired: Welch's t on the logarithms (equal variances are not
    assumed). Where runs of a side come from several starts of the server, the mean over a start is one value: runs of
    one start share what that start brought (addresses, clocks, autotuning).

    Args:
        base: the number of each run of the base.
        new: of each run of the new side; paired: in the same order, of the same plan.
        paired: whether ``base[i]`` and ``new[i]`` belong together.
        higher_is_worse: whether a rise is a change for the worse.
        starts: for each run of both sides the start of the server that it belongs to.
        floor: the least relative standard deviation that a run's value can have, the client's own error: a simulated
            server repeats itself exactly, and no interval is narrower than what measures it.
        alpha: error of the interval; less than 0.05 at one of several looks, see ``looks.spent``.

    Raises:
        ValueError: paired sides of unequal length, or starts that do not belong to the runs.
    """
    runs = len(base), len(new)
    if paired and runs[0] != runs[1]:
        raise ValueError(f"pairs need as many runs on both sides, not {runs[0]} and {runs[1]}")
    if starts is not None and (len(starts[0]), len(starts[1])) != runs:
        raise ValueError("there is not one server start for each run")
    empty = Difference(
        None, None, None, None, 0.0, None, runs, runs, paired, higher_is_worse, "", alpha=alpha
    )
    told = [
        np.asarray([math.nan if value is None else value for value in side], dtype=float)
        for side in (base, new)
    ]
    if not all(side.size for side in told):
        return replace(empty, note="a side has no runs")
    if any(np.isnan(side).any() for side in told):
        return replace(empty, note="not every run has this number")
    if any((side <= 0).any() for side in told):
        return replace(empty, note="a value is not above zero, so there is no ratio")
    logs = [np.log(side) for side in told]
    means = [float(np.exp(side.mean())) for side in logs]
    values, note = _units(logs, starts, paired=paired)
    units = (values[0].size, values[0].size) if paired else (values[0].size, values[1].size)
    log_ratio = float(values[0].mean()) if paired else float(values[1].mean() - values[0].mean())
    known = replace(empty, base=means[0], new=means[1], log_ratio=log_ratio, units=units, note=note)
    if min(units) < 2:
        return replace(known, note=SINGLE if min(runs) < 2 else note or SINGLE)
    spread = student.paired(values[0], floor) if paired else student.welch(values[0], values[1], floor)
    return replace(
        known,
        standard_error=float(spread.error),
        freedom=float(spread.freedom),
        sd_log=float(spread.sd),
        method=f"{'paired' if paired else 'Welch'} t on log ratios",
        permutation_p=permutation_p(values) if min(units) >= CHECKED_FROM else None,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p as if it alone were looked at, so that any falls below a level by chance at that rate (Holm 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def limit_of(threshold: float, direction: Direction) -> float:
    """The ratio at which a change of that share begins: 1.1 for a rise by 0.1, 0.9 for a drop."""
    return 1 + threshold if direction == "rise" else 1 - threshold


def p_beyond(found: Difference, threshold: float, direction: Direction) -> float | None:
    """One-sided p of "the change is not beyond the threshold": small when it is. For ``holm`` over several gates."""
    limit = limit_of(threshold, direction)
    return found.p_above(limit) if direction == "rise" else found.p_below(limit)


def p_within(found: Difference, threshold: float, direction: Direction) -> float | None:
    """One-sided p of "the change is beyond the threshold": small when it is not."""
    limit = limit_of(threshold, direction)
    return found.p_below(limit) if direction == "rise" else found.p_above(limit)


def decide(found: Difference, threshold: float, direction: Direction, alpha: float = 0.05) -> Outcome:
    """Whether a change is beyond a threshold: fail and pass each err in at most that share of all cases.

    The 90 % interval of the ratio lies wholly beyond the threshold (fail), wholly short of it (pass), or has it inside
    (inconclusive, with a single run a side always).

    Args:
        found: the difference.
        threshold: the change that is still allowed, as a share.
        direction: whether a rise or a drop is the change for the worse.
        alpha: the share of errors.
    """
    beyond, within = p_beyond(found, threshold, direction), p_within(found, threshold, direction)
    if beyond is None or within is None:
        return "inconclusive"
    return "fail" if beyond < alpha else "pass" if within < alpha else "inconclusive"


def _units(
    logs: list[Floats], starts: tuple[Sequence[int], Sequence[int]] | None, *, paired: bool
) -> tuple[list[Floats], str]:
    """What is independent (paired: the differences alone), and what to say of it."""
    values = [logs[1] - logs[0]] if paired else logs
    if starts is None:
        return values, ""
    labels = (
        [[str(pair) for pair in zip(*starts, strict=True)]]
        if paired
        else [[*map(str, side)] for side in starts]
    )
    several = [len(set(each)) > 1 for each in labels]
    if not any(several):
        # Where both sides are one and the same start, it is in both and drops out.
        return values, "" if set(starts[0]) == set(starts[1]) else _ONE_START
    if not all(several):
        return values, f"{_ONE_START}, while the other side has several"
    return [_means(each, label) for each, label in zip(values, labels, strict=True)], ""


def _means(values: Floats, labels: list[str]) -> Floats:
    """The mean over each label, in order of appearance."""
    found = list(dict.fromkeys(labels))
    return np.asarray([values[[label == each for label in labels]].mean() for each in found])
