"""A few comparisons through real sockets: are the error rates of virtual time those of real measurements?

    python tests/benchmarks/ab_sockets.py [--comparisons 8] [--write docs/comparing.md]

Three embedded servers on this machine with a token each 10, 10 and 10.5 ms. Comparisons of five pairs by
`benchkit.report.ab.ab`, every run a whole run with preflight, load process, records and verdict: the first against the
second, where nothing differs, and the first against the third.

Exits with 1 when a true +5 % is not found, or when more than one comparison of a server with its like alarms.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from published import write_between

from benchkit.experiments.ab import SweepHooks
from benchkit.report.ab import ab
from benchkit.serving import simulated

GAPS_MS = (10.0, 10.0, 10.5)
PAIRS = 5
RUN = {
    "concurrency": 8,
    "warmup_s": 0.5,
    "duration_s": 1.5,
    "input_tokens": 32,
    "output_tokens": 16,
    "numbers": ["mean itl"],
    "resume": "never",
}
MARKER = "ab-sockets"
COMMAND = "python tests/benchmarks/ab_sockets.py --write docs/comparing.md"


class Found(NamedTuple):
    ratio: float
    low: float
    high: float
    differs: bool
    sd: float


def compare(base, new, seed, out):
    """One comparison of two servers."""
    done = ab(url=base.url, url_b=new.url, seed=seed, pairs=PAIRS, out=str(out), hooks=SweepHooks(), **RUN)
    told = done.look["numbers"]["mean itl"]
    return Found(told["ratio"], told["low"], told["high"], told["p"] < 0.05, told["sd_log"])


def run(comparisons, out):
    """Comparisons with the like and with the slower server, in turns."""
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(simulated.start(server_args={"ttft_ms": 20.0, "gap_ms": gap}))
            for gap in GAPS_MS
        ]
        like, slower = [], []
        for number in range(comparisons):
            like.append(compare(servers[0], servers[1], 2 * number, out))
            slower.append(compare(servers[0], servers[2], 2 * number + 1, out))
            print(f"{number + 1}: like {like[-1].ratio:.4f}, slower {slower[-1].ratio:.4f}", file=sys.stderr)
    return like, slower


def missed(like, slower):
    """The goals that were not met, in words."""
    unfound, alarms = (
        sum(not (each.differs and each.ratio > 1) for each in slower),
        sum(each.differs for each in like),
    )
    return ([f"{unfound} of {len(slower)} not found"] if unfound else []) + (
        [f"{alarms} alarms of {len(like)}"] if alarms > 1 else []
    )


def as_markdown(like, slower):
    """The table."""
    lines = [
        f"`{COMMAND}` ({len(like)} comparisons of {PAIRS} pairs each, embedded servers on the same machine)",
        "",
        "| true change of ITL | differs | measured, from | to | intervals that hold it | sd of a pair's log ratio |",
        "|---|---|---|---|---|---|",
    ]
    for true, each in ((1.0, like), (GAPS_MS[2] / GAPS_MS[0], slower)):
        ratios = [100 * (one.ratio - 1) for one in each]
        holds = sum(one.low <= true <= one.high for one in each)
        sd = 100 * np.sqrt(np.mean([one.sd**2 for one in each]))
        lines.append(
            f"| {100 * (true - 1):+.0f} % | {sum(one.differs for one in each)} of {len(each)} | {min(ratios):+.2f} % | "
            f"{max(ratios):+.2f} % | {holds} of {len(each)} | {sd:.2f} % |"
        )
    return "\n".join(lines)


def main():
    """Measures, prints and, where asked, writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=8)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as out:
        like, slower = run(asked.comparisons, Path(out))
    table = as_markdown(like, slower)
    print(table)
    if asked.write:
        write_between(asked.write, MARKER, table)
    problems = missed(like, slower)
    print("\n".join(problems) or "every goal is met", f"({time.monotonic() - began:.0f} s)", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
