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
from coverage_cells import PUBLISHED_SEED, SHARE_OF, STATISTICS, Cell, cells

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


def truth_of(index: int) -> dict[str, float]:
    """What the statistics of a cell would be without chance."""
    told = cells()[index].long()
    if isinstance(told, np.ndarray):
        return {"mean": float(told.mean())} | {
            key: float(np.quantile(told, share)) for key, share in SHARE_OF.items() if share is not None
        }
    return dict(told)


def chunk(task: tuple[int, int, int, dict[str, float]]) -> dict[str, Tally]:
    """Some runs of a cell."""
    index, seed, runs, truth = task
    found = {key: Tally() for key in truth}
    for run in cells()[index].outcomes(seed, runs):
        for key, tally in found.items():
            each = run.estimates[key]
            if each.value is not None:
                tally.values.append(each.value)
            if each.interval is not None:
                tally.covered += each.interval[0] <= truth[key] <= each.interval[1]
                tally.widths.append(each.interval[1] - each.interval[0])
            if run.values is not None:
                tally.at_truth.append(float((run.values <= truth[key]).mean()))
                tally.variances.append(float(run.values.var()))
    return found


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

    def fails(self, key: str) -> bool:
        """Whether an admitted cell misses a goal."""
        if not self.admitted or self.coverage is None or self.width is None:
            return False
        return self.coverage < GOALS.get(key, GOAL) or self.width > WIDEST

    def shown(self, key: str) -> str:
        """As the table has it."""
        if self.coverage is None or self.width is None or self.refused > 0.98:
            return "refused"
        text = f"{self.coverage:.1f} · {self.width:.2f}"
        if self.refused >= 0.005:
            text += f" · {100 * self.refused:.0f} %"
        return f"**{text}**" if self.fails(key) else text if self.admitted else f"({text})"


def result(key: str, tally: Tally, runs: int, *, repeats: bool) -> Result:
    """What a tally comes to."""
    given = len(tally.widths)
    spread = float(np.std(tally.values))
    share = SHARE_OF[key]
    worth = None
    if tally.at_truth:
        if share is None:
            worth = float(np.mean(tally.variances)) / spread**2
        else:
            worth = share * (1 - share) / float(np.mean((np.array(tally.at_truth) - share) ** 2))
    needed = ENOUGH if share is None or share < 0.9 else max(ENOUGH, MARGIN**2 * least(share))
    refused = 1 - given / runs
    admitted = repeats or (worth >= needed if worth is not None else refused < 0.25)
    return Result(
        100 * tally.covered / given if given else None,
        refused,
        float(np.median(tally.widths)) / (2 * 1.96 * spread) if given and spread else None,
        worth,
        admitted,
    )


def measured(
    chosen: list[int], runs: int, pool: multiprocessing.pool.Pool
) -> Iterator[tuple[Cell, dict[str, Result]]]:
    """The cells, one after the other."""
    every = cells()
    truths = dict(zip(chosen, pool.map(truth_of, chosen, chunksize=1), strict=True))
    for index in chosen:
        began = time.monotonic()
        tasks = [(index, PUBLISHED_SEED + at, _CHUNK, truths[index]) for at in range(max(1, runs // _CHUNK))]
        whole = {key: Tally() for key in truths[index]}
        for part in pool.imap_unordered(chunk, tasks):
            for key, tally in part.items():
                into = whole[key]
                into.covered += tally.covered
                for name in ("widths", "values", "at_truth", "variances"):
                    getattr(into, name).extend(getattr(tally, name))
        cell = every[index]
        done = len(tasks) * _CHUNK
        repeats = "repeats" in cell.name
        found = {key: result(key, tally, done, repeats=repeats) for key, tally in whole.items()}
        print(f"{cell.name} {cell.metric} {cell.count:,} ({time.monotonic() - began:.0f} s)", file=sys.stderr)
        yield cell, found


def table(found: list[tuple[Cell, dict[str, Result]]]) -> str:
    """Markdown."""
    lines = [
        "| series | requests | worth | " + " | ".join(STATISTICS) + " |",
        "|---|---|---|" + "---|" * len(STATISTICS),
    ]
    for cell, results in found:
        name = f"{cell.name}, {cell.metric.removesuffix('_ms')}" if cell.metric else cell.name
        worth = results["mean"].worth
        row = [name, f"{cell.count:,}", "" if worth is None else f"{worth:,.0f}"]
        row += [results[key].shown(key) if key in results else "" for key in STATISTICS]
        lines.append("| " + " | ".join(row) + " |")
    every = [(key, each) for _, results in found for key, each in results.items() if each.admitted]
    failing = sum(each.fails(key) for key, each in every)
    lines += [
        "",
        f"{len(every) - failing} of {len(every)} admitted entries reach their goals; the others are **bold**.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Prints the table, or writes it into its page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000, help="runs a cell")
    parser.add_argument("--only", default="", help="cells whose name holds this")
    parser.add_argument("--write", action="store_true", help="put the table into docs/methodology.md")
    asked = parser.parse_args()
    chosen = [
        index for index, cell in enumerate(cells()) if asked.only in f"{cell.name} {cell.metric} {cell.count}"
    ]
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
