"""How often the 95 % intervals hold the truth, and how wide they are: the table of docs/methodology.md.

    python tests/benchmarks/coverage.py [--runs 2000] [--only NAME] [--seed 1] [--processes 2] [--write]

Everything is in virtual time; the whole of it takes some minutes on two cores.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Arrays here are small, and two processes with two threads each would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from coverage_cells import NAIVE, PUBLISHED_SEED, SHARE_OF, STATISTICS, Cell, Truth, series_cells
from coverage_servers import server_cells
from published import write_between

from benchkit.analysis.estimate import Estimate
from benchkit.analysis.intervals import Depth
from benchkit.analysis.repeats import needed

PAGE = Path(__file__).parents[2] / "docs" / "methodology.md"
GOALS = {"p99": 90.0}
GOAL, WIDEST = 93.0, 1.25
SHOWN_FROM = 0.02
"""Share of runs with an interval from which its coverage is shown."""


@dataclass
class Tally:
    """What became of one statistic over all runs of a cell."""

    covered: int = 0
    widths: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def count(self, told: Estimate, truth: float) -> None:
        """Takes in what one run said."""
        if told.value is not None:
            self.values.append(told.value)
        if told.interval is not None:
            self.covered += told.interval[0] <= truth <= told.interval[1]
            self.widths.append(told.interval[1] - told.interval[0])

    def add(self, other: Tally) -> None:
        """Takes in some more runs."""
        self.covered += other.covered
        self.widths += other.widths
        self.values += other.values


Tallies = dict[str, dict[str, Tally]]
"""Number -> statistic -> tally."""


def cells() -> list[Cell]:
    """The declared list."""
    return series_cells() + server_cells()


def truth_of(index: int) -> Truth:
    """What the statistics of a cell would be without chance."""
    return cells()[index].truth()


def chunk(task: tuple[int, int, int, Truth]) -> Tallies:
    """Some runs of a cell."""
    index, seed, runs, truth = task
    found: Tallies = {name: {} for name in truth.numbers}
    for run in cells()[index].outcomes(seed, runs):
        for name, told in run.items():
            for key in told.keys() & {*STATISTICS, NAIVE}:
                tally = found[name].setdefault(key, Tally())
                tally.count(told[key], truth.numbers[name]["mean" if key == NAIVE else key])
    return found


@dataclass(frozen=True)
class Result:
    """One statistic of one cell."""

    coverage: float | None
    refused: float
    width: float | None
    """Median width over that of an oracle's interval: from the 2.5th to the 97.5th percentile of the statistic over all
    runs."""
    admitted: bool
    """Whether a run of this length is worth the statistic, by the true memory and the rule that refuses."""
    between_runs: bool

    @property
    def given(self) -> bool:
        """Whether enough runs had an interval to speak of it."""
        return self.coverage is not None and 1 - self.refused >= SHOWN_FROM

    def fails(self, key: str) -> bool:
        """Whether it misses a goal; between few runs an interval is as wide as Student's t makes it."""
        if not self.admitted or self.coverage is None or self.width is None:
            return False
        too_wide = self.width > WIDEST and not self.between_runs
        return self.coverage < GOALS.get(key, GOAL) or too_wide

    def shown(self, key: str) -> str:
        """As the table has it."""
        if not self.given or self.width is None:
            return "refused"
        text = f"{self.coverage:.1f} · {self.width:.2f}"
        if self.refused >= 0.005:
            text += f" · {100 * self.refused:.0f} %"
        return f"**{text}**" if self.fails(key) else text if self.admitted else f"({text})"


def result(key: str, tally: Tally, runs: int, cell: Cell, worth: float) -> Result:
    """What a tally comes to."""
    given = len(tally.widths)
    low, high = np.quantile(tally.values, [0.025, 0.975]) if tally.values else (math.nan, math.nan)
    return Result(
        100 * tally.covered / given if given else None,
        1 - given / runs,
        float(np.median(tally.widths)) / float(high - low) if given and high > low else None,
        worth >= _needed(SHARE_OF[key], cell.repeats),
        cell.repeats > 1,
    )


def _needed(share: float | None, runs: int) -> float:
    """Independent values that the rule asks for, of one run or of several."""
    if runs == 1:
        return Depth(1.0, 1.0).needed(share)
    return 0.0 if share is None else needed(share, runs)


@dataclass(frozen=True)
class Row:
    """One number of one cell."""

    cell: Cell
    number: str
    worth: float
    """Independent values that a run is worth, by the true memory."""
    results: dict[str, Result]
    naive: float | None
    """Coverage of the mean by limits that take requests as independent; None where that was not tried."""

    def text(self) -> str:
        """As a line of the table."""
        name = f"{self.cell.name}, {self.number}" if self.number else self.cell.name
        shown = [self.results[key].shown(key) if key in self.results else "" for key in STATISTICS]
        naive = "" if self.naive is None else f"{self.naive:.0f}"
        return "| " + " | ".join([name, f"{self.cell.count:,}", f"{self.worth:,.0f}", naive, *shown]) + " |"


def measured(chosen: list[int], runs: int, seed: int, pool: multiprocessing.pool.Pool) -> Iterator[Row]:
    """The cells, one after the other, a row for each of their numbers."""
    every = cells()
    kinds = {(every[index].name, every[index].repeats): index for index in chosen}
    truths = dict(zip(kinds, pool.map(truth_of, kinds.values(), chunksize=1), strict=True))
    for index in chosen:
        began, cell = time.monotonic(), every[index]
        truth = truths[cell.name, cell.repeats]
        parts = max(1, runs // cell.batch)
        tasks = [(index, seed + at, cell.batch, truth) for at in range(parts)]
        whole: Tallies = {name: {} for name in truth.numbers}
        for part in pool.imap_unordered(chunk, tasks):
            for name, tallies in part.items():
                for key, tally in tallies.items():
                    whole[name].setdefault(key, Tally()).add(tally)
        print(f"{cell.name}, {cell.count:,} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
        worth = cell.repeats * max(1.0, cell.count / truth.memory)
        for name, tallies in whole.items():
            told = {
                key: result(key, tally, parts * cell.batch, cell, worth)
                for key, tally in tallies.items()
                if key != NAIVE
            }
            independent = tallies.get(NAIVE)
            yield Row(
                cell, name, worth, told, independent and 100 * independent.covered / len(independent.widths)
            )


def table(rows: list[Row]) -> str:
    """Markdown."""
    admitted = [(key, each) for row in rows for key, each in row.results.items() if each.admitted]
    missing = sum(each.fails(key) for key, each in admitted)
    silent = sum(not each.given for _, each in admitted)
    return "\n".join(
        [
            "| series | requests | n/τ | naive | " + " | ".join(STATISTICS) + " |",
            "|---|---|---|---|" + "---|" * len(STATISTICS),
            *(row.text() for row in rows),
            "",
            (
                f"Of {len(admitted)} admitted entries {len(admitted) - missing - silent} reach their goals, "
                f"{silent} are refused all the same, and {missing} fail: those are **bold**."
            ),
        ]
    )


def main() -> None:
    """Prints the table, or writes it into its page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000, help="runs a cell")
    parser.add_argument("--only", default="", help="cells whose name holds this")
    parser.add_argument("--seed", type=int, default=PUBLISHED_SEED, help="another one to choose a method by")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--write", action="store_true", help="put the table into docs/methodology.md")
    asked = parser.parse_args()
    chosen = [index for index, cell in enumerate(cells()) if asked.only in f"{cell.name} {cell.count}"]
    began = time.monotonic()
    with multiprocessing.Pool(asked.processes) as pool:
        text = table(list(measured(chosen, asked.runs, asked.seed, pool)))
    text += (
        f"\n\nAbout {asked.runs:,} runs a row, {time.monotonic() - began:.0f} s on {asked.processes} cores."
    )
    if asked.write:
        write_between(PAGE, "coverage", text)
    print(text)


if __name__ == "__main__":
    main()
