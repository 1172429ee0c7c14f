"""Writes the tables of docs/metrics.md and docs/verdict.md from the code.

``python -m benchkit.analysis.reference docs/metrics.md docs/verdict.md`` brings the documents up to date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchkit.analysis.catalogue import METRICS, RATES
from benchkit.analysis.threshold import Threshold
from benchkit.analysis.thresholds_client import OF_CLIENT
from benchkit.analysis.thresholds_load import OF_LOAD, OF_OUTCOMES
from benchkit.analysis.thresholds_server import OF_COUNTS, OF_TOKENS

_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str) -> str:
    """The document with its marked tables as the code has them now.

    A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``; NAME is metrics, rates, or a group of
    checks: outcomes, load, counts, client or tokens.

    Raises:
        KeyError: a marker names no table.
    """
    return _BLOCK.sub(lambda found: f"{found[1]}{_TABLES[found[2]]()}{found[3]}", text)


def _metrics() -> str:
    rows = [
        (f"`{m.name}`", m.unit, f"`{m.formula}`", m.weight, m.counted, _code_list(m.source)) for m in METRICS
    ]
    return _table(("metric", "unit", "formula", "one sample is a", "counted", "columns"), rows)


def _rates() -> str:
    rows = [(f"`{r.name}`", r.unit, r.formula, r.counted, _code_list(r.source)) for r in RATES]
    return _table(("rate", "unit", "formula", "counted", "columns"), rows)


def _checks(thresholds: Sequence[Threshold]) -> str:
    rows = [
        (
            f"`{t.name}`",
            t.means,
            _limit(t, t.suspect),
            _limit(t, t.invalid),
            t.reason,
            t.remedy,
            t.basis,
        )
        for t in thresholds
    ]
    header = ("check", "what is measured", "suspect", "invalid", "why it matters", "remedy", "why this limit")
    return _table(header, rows)


def _limit(threshold: Threshold, limit: float | None) -> str:
    if limit is None:
        return "never"
    mark = "<" if threshold.below else ">"
    if threshold.unit == "share":
        return f"{mark} {100 * limit:g} %"
    return f"{mark} {limit:g} {threshold.unit}"


def _code_list(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_TABLES: Mapping[str, Callable[[], str]] = {
    "metrics": _metrics,
    "rates": _rates,
    "outcomes": partial(_checks, OF_OUTCOMES),
    "load": partial(_checks, OF_LOAD),
    "counts": partial(_checks, OF_COUNTS),
    "client": partial(_checks, OF_CLIENT),
    "tokens": partial(_checks, OF_TOKENS),
}


def main() -> None:
    """Rewrites the files that are named."""
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
