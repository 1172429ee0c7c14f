"""How often the 95 % intervals hold the truth, and how wide they are: the table of docs/methodology.md.

    python tests/benchmarks/coverage.py [--runs 2000] [--only NAME] [--write]

Everything is in virtual time; the whole of it takes some minutes on two cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from coverage_cells import PUBLISHED_SEED, SHARE_OF, STATISTICS, Cell, Outcome, cells

from benchkit.analysis.intervals import ENOUGH, MARGIN, least

PAGE = Path(__file__).parents[2] / "docs" / "methodology.md"
BEGIN, END = "<!-- coverage -->", "<!-- end of coverage -->"
GOALS = {"p99": 90.0}
GOAL, WIDEST = 93.0, 1.25
_CHUNK = 100


@dataclass
class Tally:
    """What became of one statistic over all runs of a cell."""

    covered: int = 0
    widths: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    at_truth: list[float] = field(default_factory=list)
    """Share of a run's values that are not above the truth."""
    variances: list[float] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Takes in some more runs."""
        self.covered += other.covered
        for name in ("widths", "values", "at_truth", "variances"):
            getattr(self, name).extend(getattr(other, name))


Tallies = dict[str, dict[str, Tally]]
"""Number -> statistic -> tally."""


def truth_of(index: int) -> dict[str, dict[str, float]]:
    """What the statistics of a cell would be without chance."""
    return {name: dict(each) for name, each in cells()[index].truth().items()}


def chunk(task: tuple[int, int, int, dict[str, dict[str, float]]]) -> Tallies:
    """Some runs of a cell."""
    index, seed, runs, truth = task
    found = {name: {key: Tally() for key in each} for name, each in truth.items()}
    for run in cells()[index].outcomes(seed, runs):
        for name, outcome in run.items():
            for key, tally in found[name].items():
                _count(tally, outcome, key, truth[name][key])
    return found


def _count(tally: Tally, outcome: Outcome, key: str, truth: float) -> None:
    each = outcome.estimates[key]
    if each.value is not None:
        tally.values.append(each.value)
    if each.interval is not None:
        tally.covered += each.interval[0] <= truth <= each.interval[1]
        tally.widths.append(each.interval[1] - each.interval[0])
    if outcome.variance is not None:
        tally.at_truth.append(outcome.share_below(truth))
        tally.variances.append(outcome.variance)


@dataclass(frozen=True)
class Result:
    """One statistic of one cell."""

    coverage: float | None
    refused: float
    width: float | None
    """Median width over that of an oracle's interval: 2 x 1.96 true standard errors."""
    worth: float | None
    """Independent values that a run is worth for this statistic, by the truth; None where not known."""
    admitted: bool
    between_runs: bool

    def fails(self, key: str) -> bool:
        """Whether an admitted cell misses a goal."""
        if not self.admitted or self.coverage is None or self.width is None:
            return False
        too_wide = self.width > WIDEST and not self.between_runs
        return self.coverage < GOALS.get(key, GOAL) or too_wide

    def shown(self, key: str) -> str:
        """As the table has it."""
        if self.coverage is None or self.width is None or self.refused > 0.98:
            return "refused"
        text = f"{self.coverage:.1f} · {self.width:.2f}"
        if self.refused >= 0.005:
            text += f" · {100 * self.refused:.0f} %"
        return f"**{text}**" if self.fails(key) else text if self.admitted else f"({text})"


def result(key: str, tally: Tally, runs: int, *, between_runs: bool) -> Result:
    """What a tally comes to."""
    given = len(tally.widths)
    spread = float(np.std(tally.values))
    share = SHARE_OF[key]
    worth = None
    if tally.at_truth and share is None:
        worth = float(np.mean(tally.variances)) / spread**2
    elif tally.at_truth and share is not None:
        worth = share * (1 - share) / float(np.mean((np.array(tally.at_truth) - share) ** 2))
    # By the square of the margin: a run's own estimate scatters by about that much.
    needed = ENOUGH if share is None or share < 0.9 else max(ENOUGH, MARGIN**2 * least(share))
    return Result(
        100 * tally.covered / given if given else None,
        1 - given / runs,
        float(np.median(tally.widths)) / (2 * 1.96 * spread) if given and spread else None,
        worth,
        worth is None or worth >= needed,
        between_runs,
    )


Row = tuple[Cell, str, dict[str, Result]]


def measured(chosen: list[int], runs: int, pool: multiprocessing.pool.Pool) -> Iterator[Row]:
    """The cells, one after the other, a row for each of their numbers."""
    every = cells()
    truths = dict(zip(chosen, pool.map(truth_of, chosen, chunksize=1), strict=True))
    for index in chosen:
        began = time.monotonic()
        tasks = [(index, PUBLISHED_SEED + at, _CHUNK, truths[index]) for at in range(max(1, runs // _CHUNK))]
        whole = {name: {key: Tally() for key in each} for name, each in truths[index].items()}
        for part in pool.imap_unordered(chunk, tasks):
            for name, tallies in part.items():
                for key, tally in tallies.items():
                    whole[name][key].add(tally)
        cell = every[index]
        print(f"{cell.name}, {cell.count:,} ({time.monotonic() - began:.0f} s)", file=sys.stderr)
        for name, tallies in whole.items():
            yield (
                cell,
                name,
                {
                    key: result(key, tally, len(tasks) * _CHUNK, between_runs=cell.between_runs)
                    for key, tally in tallies.items()
                },
            )


def table(found: list[Row]) -> str:
    """Markdown."""
    lines = [
        "| series | requests | worth | " + " | ".join(STATISTICS) + " |",
        "|---|---|---|" + "---|" * len(STATISTICS),
    ]
    for cell, name, results in found:
        worth = results["mean"].worth
        row = [f"{cell.name}, {name}" if name else cell.name, f"{cell.count:,}"]
        row += ["" if worth is None else f"{worth:,.0f}"]
        row += [results[key].shown(key) if key in results else "" for key in STATISTICS]
        lines.append("| " + " | ".join(row) + " |")
    every = [
        (key, each)
        for _, _, results in found
        for key, each in results.items()
        if each.admitted and each.shown(key) != "refused"
    ]
    missing = sum(each.fails(key) for key, each in every)
    return "\n".join(
        [
            *lines,
            "",
            f"{len(every) - missing} of {len(every)} admitted entries reach their goals; others are **bold**.",
        ]
    )


def main() -> None:
    """Prints the table, or writes it into its page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000, help="runs a cell")
    parser.add_argument("--only", default="", help="cells whose name holds this")
    parser.add_argument("--write", action="store_true", help="put the table into docs/methodology.md")
    asked = parser.parse_args()
    chosen = [index for index, cell in enumerate(cells()) if asked.only in f"{cell.name} {cell.count}"]
    began = time.monotonic()
    with multiprocessing.Pool(min(2, os.cpu_count() or 1)) as pool:
        text = table(list(measured(chosen, asked.runs, pool)))
    runs = max(1, asked.runs // _CHUNK) * _CHUNK
    text += (
        f"\n\n{runs:,} runs a row, {time.monotonic() - began:.0f} s on {min(2, os.cpu_count() or 1)} cores."
    )
    if asked.write:
        page = PAGE.read_text(encoding="utf-8")
        head, rest = page.split(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
