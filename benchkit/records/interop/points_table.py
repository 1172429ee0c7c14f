"""Reads a points table: a CSV with one row a measured load, written by hand or by a spreadsheet."""

from __future__ import annotations

import csv
import difflib
import math
import re
from collections.abc import Mapping
from pathlib import Path

from benchkit.errors import ForeignFileError
from benchkit.objectives import METRICS, RATES
from benchkit.records.interop.documents import read_text
from benchkit.records.interop.imported_point import COUNTS, ImportedPoint, Stated

__all__ = ["read", "recognises"]

_LARGEST_BYTES = 16 << 20
_TEXTS = ("name", "load", "model")
_NUMBERS = ("rate", "concurrency", "requests", "duration_s", *COUNTS[1:])
_RATES = tuple(name for name, unit in RATES.items() if unit != "share")
_STATISTIC = re.compile(r"mean|std|min|max|count|p\d{1,2}(_\d+)?")
_LOADS = ("concurrent", "synchronous", "throughput", "constant", "poisson", "gamma")


def recognises(path: Path) -> bool:
    """Whether the file's name or its first line is that of a points table."""
    if path.suffix.lower() != ".csv":
        return False
    header = _rows(path)[:1]
    return bool(header) and any(_is_known(name.strip()) for name in header[0].cells)


def read(path: Path) -> list[ImportedPoint]:
    """Give the table's points, in its order.

    Columns, in any order and all optional but one rate or statistic: ``name``, ``load``, ``model``; ``rate`` (asked
    for, requests/s), ``concurrency``, ``requests`` (that ended well), ``failed``, ``shed``, ``incomplete``,
    ``duration_s``; rates by name (``requests_per_s``); statistics as ``metric.statistic`` (``ttft_ms.p99``). Empty
    cells are unknown. Lines that begin with ``#`` are comments.

    Raises:
        ForeignFileError: The file is no such table, or a cell is no number; names line and column.
    """
    rows = _rows(path)
    if not rows:
        raise ForeignFileError(f"{path} holds no line but comments; the first one names the columns")
    names = [name.strip() for name in rows[0].cells]
    _check(path, names)
    points: list[ImportedPoint] = []
    for row in rows[1:]:
        if len(row.cells) != len(names):
            raise ForeignFileError(
                f"{path}, line {row.line}: {len(row.cells)} cells, and the table has {len(names)} columns; "
                "leave a cell empty where a value is not known"
            )
        cells = {name: cell.strip() for name, cell in zip(names, row.cells, strict=True)}
        points.append(_point(path, row.line, len(points) + 1, cells))
    if not points:
        raise ForeignFileError(f"{path} has columns and no row; add one a measured load")
    return points


class _Row:
    __slots__ = ("cells", "line")

    def __init__(self, line: int, cells: list[str]) -> None:
        self.line, self.cells = line, cells


def _rows(path: Path) -> list[_Row]:
    rows = []
    for line, text in enumerate(read_text(path, largest=_LARGEST_BYTES).splitlines(), start=1):
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        try:
            rows.append(_Row(line, next(csv.reader([text], strict=True), [])))
        except csv.Error as error:
            raise ForeignFileError(f"{path}, line {line}: not CSV: {error}") from error
    return rows


def _check(path: Path, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ForeignFileError(f"{path}: two columns are called {name!r}")
        if not _is_known(name):
            known = [*_TEXTS, *_NUMBERS, *_RATES, *(f"{metric}.p99" for metric in METRICS)]
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see docs/interop.md for the columns"
            raise ForeignFileError(f"{path}: {name!r} is no column of a points table; {hint}")
    if not any(name in _RATES or "." in name for name in names):
        raise ForeignFileError(
            f"{path} has neither a rate (requests_per_s) nor a statistic (ttft_ms.p99); "
            "add a column with what was measured"
        )


def _is_known(name: str) -> bool:
    metric, dot, statistic = name.partition(".")
    if dot:
        return metric in METRICS and _STATISTIC.fullmatch(statistic) is not None
    return name in _TEXTS or name in _NUMBERS or name in _RATES


def _point(path: Path, line: int, number: int, cells: Mapping[str, str]) -> ImportedPoint:
    load = cells.get("load", "")
    if load and load not in _LOADS:
        raise ForeignFileError(f"{path}, line {line}: load {load!r} is none of {', '.join(_LOADS)}")
    values = {
        name: _number(path, line, name, cell) for name, cell in cells.items() if cell and name not in _TEXTS
    }
    metrics: dict[str, dict[str, float | None]] = {}
    for name, value in values.items():
        metric, dot, statistic = name.partition(".")
        if dot:
            metrics.setdefault(metric, {})[statistic] = value
    whole = {
        name: round(value) for name, value in values.items() if name in ("concurrency", "requests", *COUNTS)
    }
    stated = Stated(
        metrics=metrics,
        rates={name: values[name] for name in _RATES if name in values},
        counts={"ok": whole.get("requests"), **{name: whole.get(name) for name in COUNTS[1:]}},
        length_s=values.get("duration_s"),
    )
    return ImportedPoint(
        name=cells.get("name", "")[:200] or f"{path.name}#{number}",
        tool="points table",
        stated=stated,
        load=load,
        rate=values.get("rate"),
        concurrency=whole.get("concurrency", 1 if load == "synchronous" else None),
        model=cells.get("model", ""),
        notes=("Numbers of a table, without the requests behind them: no interval can be given.",),
    )


def _number(path: Path, line: int, name: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or abs(value) > 1e15:
        raise ForeignFileError(
            f"{path}, line {line}: {name} is {cell[:40]!r}, not a number of 0 or more; "
            "write 12.5, and nothing where it is not known"
        )
    return value
