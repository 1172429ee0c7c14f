"""How often runs at rest are said to drift, how often those that drift are found, and what MSER-5 would cut.

Prints the table of docs/verdict.md; with ``--write`` puts it there.

    python tests/benchmarks/steady_rates.py [--runs 1000] [--write]

Runs are queues with one seat (M/G/1, lognormal service of CV 1) in virtual time. A run is as long as it says in
requests; its drift is a service time that grows in a straight line, by this share from its beginning to its end.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from published import write_between
from queue_runs import measured_of_times, queue_of
from scipy import stats

from benchkit.analysis.drift import LEVEL, METRICS, drifts
from benchkit.analysis.steady_state import mser5
from benchkit.analysis.thresholds import BY_NAME

Floats = NDArray[np.float64]

PAGE = Path(__file__).parents[2] / "docs" / "verdict.md"
CELLS = ((0.2, 500), (0.2, 2_000), (0.2, 10_000), (0.5, 2_000), (0.5, 10_000), (0.8, 10_000))
"""Load and requests of a run."""
GROWTHS = (0.1, 0.2, 0.4)
MOST_ALARMS = 0.02
"""Twice the level: what a verdict may say wrongly of runs at rest."""


class Counted(NamedTuple):
    """Shares of runs."""

    judged: float
    """Long enough against their memory."""
    alarms: float
    """Of the judged ones at rest, said to drift by more than the verdict lets pass."""
    line: float
    """Of the same, with a straight line through all latencies that differs from a level at the same error."""
    found: tuple[float, ...]
    """Of the judged ones that drift, for each growth."""
    cut: float
    """Of all at rest, those of which MSER-5 would cut more than a tenth."""


def count(load: float, requests: int, runs: int, rng: np.random.Generator) -> Counted:
    """One row of the table."""
    judged = alarms = lines = cuts = 0
    for _ in range(runs):
        at, waits, latency = queue_of(rng, requests, load)
        cuts += mser5(latency) > requests / 10
        said = _says(at, waits, latency)
        if said is not None:
            judged += 1
            alarms += said
            lines += float(stats.linregress(at, latency).pvalue) < LEVEL / len(METRICS)
    found = []
    for growth in GROWTHS:
        services = np.linspace(1 - growth / 2, 1 + growth / 2, requests)
        told = [_says(*queue_of(rng, requests, load, services)) for _ in range(runs // 4)]
        known = [each for each in told if each is not None]
        found.append(sum(known) / max(len(known), 1))
    least = max(judged, 1)
    return Counted(judged / runs, alarms / least, lines / least, tuple(found), cuts / runs)


def _says(at: Floats, waits: Floats, latency: Floats) -> bool | None:
    told = drifts(measured_of_times([(at, waits, latency)]))
    limit = BY_NAME["drift"].suspect or 0.0
    return None if told is None else any(each.is_sure and abs(each.change) > limit for each in told)


def table(rows: list[tuple[tuple[float, int], Counted]], runs: int) -> str:
    """Markdown."""
    header = (
        "load",
        "requests",
        "judged",
        "at rest, said to drift",
        "by a line through all",
        *(f"+{100 * growth:.0f} % found" for growth in GROWTHS),
        "MSER-5 cuts > 10 %",
    )
    lines = [header, ("---",) * len(header)]
    for (load, requests), found in rows:
        shares = (found.judged, found.alarms, found.line, *found.found, found.cut)
        words = (f"{100 * share:.1f} %" for share in shares)
        if not found.judged:
            words = (f"{100 * found.judged:.1f} %", *("—",) * (len(shares) - 2), f"{100 * found.cut:.1f} %")
        lines.append((f"{load:g}", f"{requests:,}", *words))
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"{runs:,} runs a row at rest, {runs // 4:,} for each drift.\n\n{text}"


def main() -> int:
    """Counts, prints, perhaps writes; 1 where runs at rest are said to drift too often."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=20_261_124)
    parser.add_argument("--write", action="store_true", help="put the table into docs/verdict.md")
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    rows = [((load, requests), count(load, requests, asked.runs, rng)) for load, requests in CELLS]
    text = table(rows, asked.runs)
    print(text)
    if asked.write:
        write_between(PAGE, "steady-rates", text)
    chance = 3 * (MOST_ALARMS / asked.runs) ** 0.5
    return int(any(found.alarms > MOST_ALARMS + chance for _, found in rows))


if __name__ == "__main__":
    raise SystemExit(main())
