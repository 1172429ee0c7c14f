"""How often a comparison errs: false alarms and missed changes, counted over simulated runs, beside inference-doctor's.

    python tests/benchmarks/error_rates.py [--trials 20000] [--write docs/comparing.md]

A trial draws the runs of both sides and judges them by the functions that ``benchkit compare`` and ``benchkit ab`` use
(``analysis.student`` under ``analysis.difference``). A run's value is its side's true value times lognormal noise with
the total coefficient of variation (CV) of the cell; runs of a pair are correlated. The gate allows a change of 10 %.
Everything is counted a second time with normal noise, of which the extremes are told.

inference-doctor 0.4.1 (its README and gate calibration): the 90 % interval of ln(mean new / mean base), standard error
by the delta method, Satterthwaite's degrees of freedom; FAIL where all of it is at or past the threshold.

Exits with 1 when a goal is missed: false alarms at most 5.5 % in every cell, in every unpaired cell at least
inference-doctor's power on the same trials, and five pairs at correlation 0.5 and CV 4 % find a drop of 15 % in 80 %.
(With normal noise: at most 0.2 points less power than inference-doctor, whose rule suits it; ours suits a product.)
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import NamedTuple

import look_rates
import numpy as np
from published import write_between
from scipy import stats

from benchkit.analysis import student
from benchkit.analysis.difference import limit_of

THRESHOLD = 0.10
ALPHA = 0.05
CVS = (0.01, 0.02, 0.04)
RUNS = (3, 5, 10)
CHANGES = (0.0, 0.05, 0.10, 0.15, 0.20)
DIRECTIONS = ("rise", "drop")
CORRELATIONS = (None, 0.0, 0.5, 0.8)
"""None: not paired."""
SEED = 20_261_124
MOST_ALARMS = 0.055
MARKER = "error-rates"
COMMAND = "python tests/benchmarks/error_rates.py --write docs/comparing.md"


class Cell(NamedTuple):
    correlation: float | None
    runs: int
    cv: float
    direction: str
    change: float

    @property
    def ratio(self) -> float:
        """The true new / base."""
        return limit_of(self.change, self.direction)


class Shares(NamedTuple):
    """Of the trials of a cell."""

    fail: float
    passed: float
    differs: float
    """A difference is found, two-sided at 5 %, with no threshold."""
    doctor_fail: float | None
    """By inference-doctor's rule; None where paired."""


class Uneven(NamedTuple):
    """A cell whose sides are not alike: how far the method may be trusted."""

    runs: tuple[int, int]
    spread: float
    """How much wider the new side scatters than the base."""


UNEVEN = tuple(
    Uneven(runs, spread)
    for runs in ((3, 3), (5, 5), (10, 10), (3, 10), (10, 3))
    for spread in (1.0, 2.0, 4.0)
    if runs[0] != runs[1] or spread != 1.0
)
"""Where runs scatter alike, false alarms must stay below the goal whatever the sizes; else it is only told."""


def cells():
    """The declared cells."""
    return [Cell(*each) for each in itertools.product(CORRELATIONS, RUNS, CVS, DIRECTIONS, CHANGES)]


def draw(cell, trials, rng, law):
    """Runs of both sides, (trials, runs) each."""
    shape = (trials, cell.runs)
    first, second = rng.standard_normal(shape), rng.standard_normal(shape)
    rho = cell.correlation or 0.0
    second = rho * first + np.sqrt(1 - rho**2) * second
    if law == "normal":
        return 1 + cell.cv * first, cell.ratio * (1 + cell.cv * second)
    sigma = np.sqrt(np.log1p(cell.cv**2))
    return np.exp(sigma * first), cell.ratio * np.exp(sigma * second)


def judge(base, new, *, paired, direction, threshold=THRESHOLD):
    """Which trials fail, which pass, and in which a difference is found."""
    logs = np.log(base), np.log(new)
    spread = student.paired(logs[1] - logs[0]) if paired else student.welch(*logs)
    away = (spread.estimate - np.log(limit_of(threshold, direction))) / spread.error
    above, below = stats.t.sf(away, spread.freedom), stats.t.cdf(away, spread.freedom)
    beyond, within = (above, below) if direction == "rise" else (below, above)
    two_sided = 2 * stats.t.sf(np.abs(spread.estimate / spread.error), spread.freedom)
    return beyond < ALPHA, within < ALPHA, two_sided < ALPHA


def doctor(base, new, direction, threshold=THRESHOLD):
    """Which trials inference-doctor's rule fails."""
    terms = [side.var(axis=-1, ddof=1) / (side.shape[-1] * side.mean(axis=-1) ** 2) for side in (base, new)]
    degrees = [side.shape[-1] - 1 for side in (base, new)]
    total = terms[0] + terms[1]
    freedom = total**2 / sum(term**2 / degree for term, degree in zip(terms, degrees, strict=True))
    half = stats.t.ppf(0.95, freedom) * np.sqrt(total)
    log_ratio = np.log(new.mean(axis=-1) / base.mean(axis=-1))
    limit = np.log(limit_of(threshold, direction))
    return log_ratio - half >= limit if direction == "rise" else log_ratio + half <= limit


def count(cell, trials, rng, law="lognormal"):
    """What became of a cell's trials."""
    base, new = draw(cell, trials, rng, law)
    paired = cell.correlation is not None
    fail, passed, differs = judge(base, new, paired=paired, direction=cell.direction)
    theirs = None if paired else float(doctor(base, new, cell.direction).mean())
    return Shares(float(fail.mean()), float(passed.mean()), float(differs.mean()), theirs)


def count_uneven(cell, trials, rng):
    """False alarms (of a gate whose threshold is the truth, and of "differs") where the sides are not alike."""
    base = 1 + 0.02 * rng.standard_normal((trials, cell.runs[0]))
    new = 1 + 0.02 * cell.spread * rng.standard_normal((trials, cell.runs[1]))
    fail, _, differs = judge(base, new, paired=False, direction="rise", threshold=0.0)
    return float(fail.mean()), float(differs.mean())


def worst_alarm(found):
    """The largest share of false alarms of any cell."""
    gates = [shares.fail for cell, shares in found.items() if cell.change <= THRESHOLD]
    gates += [shares.passed for cell, shares in found.items() if cell.change >= THRESHOLD]
    return max(gates + [shares.differs for cell, shares in found.items() if cell.change == 0])


def least_lead(found):
    """The least lead in power over inference-doctor of any unpaired cell."""
    return min(
        shares.fail - shares.doctor_fail
        for cell, shares in found.items()
        if shares.doctor_fail is not None and cell.change > THRESHOLD
    )


def missed_uneven(uneven):
    """The goals that sides of unequal size miss, in words."""
    return [
        f"{cell}: {max(shares):.2%} false alarms"
        for cell, shares in uneven.items()
        if cell.spread == 1.0 and max(shares) > MOST_ALARMS
    ]


def missed(found, most_behind=0.0):
    """The goals that were not met, in words.

    Args:
        found: shares by cell.
        most_behind: how much less power than inference-doctor's is let pass.
    """
    out = []
    for cell, shares in found.items():
        if cell.change <= THRESHOLD and shares.fail > MOST_ALARMS:
            out.append(f"{cell}: fails {shares.fail:.2%} of what is allowed")
        if cell.change >= THRESHOLD and shares.passed > MOST_ALARMS:
            out.append(f"{cell}: passes {shares.passed:.2%} of what is not allowed")
        if cell.change == 0 and shares.differs > MOST_ALARMS:
            out.append(f"{cell}: finds a difference in {shares.differs:.2%} where there is none")
        if (
            shares.doctor_fail is not None
            and cell.change > THRESHOLD
            and shares.fail < shares.doctor_fail - most_behind
        ):
            out.append(f"{cell}: finds {shares.fail:.2%}, inference-doctor {shares.doctor_fail:.2%}")
    five = found[Cell(0.5, 5, 0.04, "drop", 0.15)].fail
    if five < 0.8:
        out.append(f"five pairs at correlation 0.5 and CV 4 % find a drop of 15 % in {five:.2%}")
    return out


def as_markdown(found, normal, uneven, watched, numbers, trials):
    """The tables."""
    known = 196 * (ALPHA * (1 - ALPHA) / trials) ** 0.5
    lines = [
        f"`{COMMAND}` ({trials:,} trials a cell: a share of 5 % is known to ±{known:.1f} points)",
        "",
        "Share of trials (%) in which a gate that allows 10 % fails, by the true change; in brackets",
        "inference-doctor's rule on the same trials. *A/A*: a difference is found (two-sided, 5 %), and there is none.",
        "",
        "False alarms are a failure up to 10 %, a pass from 10 % on, a difference in A/A: in no cell more than",
        f"{100 * worst_alarm(found):.1f} %. With normal noise, not lognormal, {100 * worst_alarm(normal):.1f} %,",
        f"and power at most {100 * max(0, -least_lead(normal)):.2f} points behind inference-doctor's in any cell.",
        "",
    ]
    for direction in DIRECTIONS:
        lines += [
            f"**The new side is worse by a {direction}** ({'latency' if direction == 'rise' else 'throughput'})",
            "",
            "| sides | runs a side | CV % | A/A | " + " | ".join(f"{100 * c:g} %" for c in CHANGES) + " |",
            "|---|---|---|---|" + "---|" * len(CHANGES),
        ]
        for correlation, runs, cv in itertools.product(CORRELATIONS, RUNS, CVS):
            row = [found[Cell(correlation, runs, cv, direction, change)] for change in CHANGES]
            name = "unpaired" if correlation is None else f"pairs, correlation {correlation:g}"
            lines.append(
                f"| {name} | {runs} | {100 * cv:g} | {100 * row[0].differs:.1f} | "
                + " | ".join(map(_cell, row))
                + " |"
            )
        lines.append("")
    lines += [
        "**Where the sides are not alike** (unpaired, CV of the base 2 %, no true difference): false alarms (%) of a",
        "gate that allows 0 % and of a two-sided comparison, both at 5 %.",
        "",
        "| runs, base and new | the new side scatters | gate | comparison |",
        "|---|---|---|---|",
        *(
            f"| {cell.runs[0]}, {cell.runs[1]} | {cell.spread:g}x | {100 * shares[0]:.1f} | {100 * shares[1]:.1f} |"
            for cell, shares in uneven.items()
        ),
        "",
        *look_rates.lines(watched, numbers),
    ]
    return "\n".join(lines)


def _cell(shares):
    theirs = "" if shares.doctor_fail is None else f" ({100 * shares.doctor_fail:.1f})"
    return f"{100 * shares.fail:.1f}{theirs}"


def run(trials):
    """Everything, each cell with draws of its own: by lognormal and normal noise, uneven sides, looks, numbers."""
    declared = cells()
    seeds = np.random.SeedSequence(SEED).spawn(2 * len(declared) + len(UNEVEN) + len(look_rates.LOOKED) + 1)
    generators = map(np.random.default_rng, seeds)
    found, normal = (
        {cell: count(cell, trials, next(generators), law) for cell in declared}
        for law in ("lognormal", "normal")
    )
    uneven = {cell: count_uneven(cell, trials, next(generators)) for cell in UNEVEN}
    watched = look_rates.count_all_looks(trials, generators)
    return found, normal, uneven, watched, look_rates.count_numbers(trials, next(generators))


def main():
    """Counts, prints and, where asked, writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    asked = parser.parse_args()
    found, normal, uneven, watched, numbers = run(asked.trials)
    table = as_markdown(found, normal, uneven, watched, numbers, asked.trials)
    print(table)
    if asked.write:
        write_between(asked.write, MARKER, table)
    problems = (
        missed(found)
        + missed(normal, most_behind=0.002)
        + missed_uneven(uneven)
        + look_rates.missed(watched, numbers)
    )
    print("\n".join(problems) or "every goal is met", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
