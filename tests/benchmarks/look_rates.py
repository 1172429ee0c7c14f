"""How often a comparison that is looked at more than once, or at more than one number, finds what is not there."""

from __future__ import annotations

import numpy as np
from scipy import stats

from benchkit.analysis import student
from benchkit.analysis.difference import holm
from benchkit.analysis.looks import looks_of, spent

ALPHA = 0.05
MOST_ALARMS = 0.055
LOOKED = (
    ("once, at 5 pairs", (5,), 0.05),
    ("at 5 and 10 pairs", looks_of(10), None),
    ("at 5, 10 and 20 pairs", looks_of(20), None),
    ("at 5, 10, 20 and 40 pairs", looks_of(40), None),
    ("after each pair from the third to the 20th, at 5 %", tuple(range(3, 21)), 0.05),
)
"""How a comparison may be watched: words, pairs at which is looked, level of a look (None: the error is spent)."""
NUMBERS, ALIKE = 4, 0.5
"""Numbers of a run that are compared at once, and how they are correlated."""


def count_looks(looks, level, trials, rng):
    """The share of comparisons without a difference that end with one at some look."""
    pairs = rng.standard_normal((trials, looks[-1]))
    alarmed = np.zeros(trials, dtype=bool)
    for pairs_so_far in looks:
        alarmed |= _two_sided(student.paired(pairs[:, :pairs_so_far])) < level
    return float(alarmed.mean())


def count_numbers(trials, rng):
    """The shares in which any of several numbers differs where none does: each alone at 5 %, and by Holm."""
    common, own = rng.standard_normal((trials, 1, 5)), rng.standard_normal((trials, NUMBERS, 5))
    p = _two_sided(student.paired(np.sqrt(ALIKE) * common + np.sqrt(1 - ALIKE) * own))
    adjusted = np.array([holm(row) for row in p.tolist()])
    return float((p < ALPHA).any(axis=1).mean()), float((adjusted < ALPHA).any(axis=1).mean())


def _two_sided(spread):
    return 2 * stats.t.sf(np.abs(spread.estimate / spread.error), spread.freedom)


def missed(watched, numbers):
    """The goals that looks and several numbers miss, in words."""
    out = [
        f"looked {name}: {share:.2%} false alarms"
        for (name, _, level), share in zip(LOOKED, watched, strict=True)
        if level is None and share > MOST_ALARMS
    ]
    return out + ([f"{NUMBERS} numbers by Holm: {numbers[1]:.2%}"] if numbers[1] > MOST_ALARMS else [])


def count_all_looks(trials, generators):
    """The shares of all ways to watch."""
    return [count_looks(looks, level or spent(looks), trials, next(generators)) for _, looks, level in LOOKED]


def lines(watched, numbers):
    """The table."""
    return [
        "**Looking more than once, at more than one number** (pairs, no true difference): comparisons (%) that end",
        "with a difference.",
        "",
        "| what is looked at | when | alarms |",
        "|---|---|---|",
        *(
            f"| one number | {name} | {100 * share:.1f} |"
            for (name, _, _), share in zip(LOOKED, watched, strict=True)
        ),
        f"| {NUMBERS} numbers (correlation {ALIKE:g}), each alone | once, at 5 pairs | {100 * numbers[0]:.1f} |",
        f"| {NUMBERS} numbers by Holm | once, at 5 pairs | {100 * numbers[1]:.1f} |",
    ]
