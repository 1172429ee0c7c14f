"""Turns what other tools measured into loads and runs like our own, with nothing invented."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from benchkit.analysis.catalogue import METRICS, RATES
from benchkit.analysis.metrics import SUMMARY_SCHEMA, build_summary
from benchkit.analysis.points import LoadPoint
from benchkit.analysis.window import Window
from benchkit.records.chunks import Chunks
from benchkit.records.interop import recognise
from benchkit.records.interop.imported_point import COUNTS, STATISTICS, ImportedPoint, Stated
from benchkit.records.schema import REQUESTS, TELEMETRY
from benchkit.records.stored import requests_frame
from benchkit.redaction import redact_url

__all__ = ["ImportedRun", "import_points", "is_foreign", "load_point", "stated_summary"]

_STATED = "stated"
"""Mark of a metric or rate that is the file's own number, by the tool's own definition."""
_OPEN_LOOPS = ("constant", "poisson", "gamma")
_HTTP = re.compile(r"https?://[^/\s]")
_BY_REQUEST = frozenset(metric.name for metric in METRICS if metric.weight == "request")


class ImportedRun:
    """Another tool's measurement, with the face of a stored run (``points.Records``).

    Its requests are empty where the file has none.
    """

    def __init__(self, point: ImportedPoint) -> None:
        self.point = point
        self.manifest: dict[str, Any] = {
            "name": point.name,
            "status": "complete",
            "created": point.created or None,
            "parameters": known_parameters(point),
            "imported": {
                "tool": point.tool,
                "version": point.version or None,
                "load": point.load or None,
                "rate": point.rate,
                "concurrency": point.concurrency,
                "requests": point.requests is not None,
                "facts": dict(point.facts),
                "notes": list(point.notes),
            },
            "load": {}
            if point.requests is None
            else {"window": {"start_ns": 0, "end_ns": point.requests.end_ns}},
            "notes": [],
        }

    def __repr__(self) -> str:
        return f"ImportedRun({self.point.name!r}, {self.point.tool})"

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row a request, as of a stored run."""
        return requests_frame(self._table)

    @cached_property
    def chunks(self) -> Chunks:
        """The events of the requests, none where the file has no times of them."""
        return Chunks.from_table(self._table)

    @property
    def telemetry(self) -> pd.DataFrame:
        """Empty: no tool's file holds samples on the run's clock."""
        frame: pd.DataFrame = TELEMETRY.empty_table().to_pandas()
        return frame

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The numbers: by our definitions from the requests where there are any, else as stated.

        Rates are the tool's own, by its own rule for the window, marked ``"source": "stated"``; so are metrics
        that no request gives.
        """
        return _from_requests(self) if self.point.requests is not None else stated_summary(self.point)

    @property
    def _table(self) -> Any:
        return REQUESTS.empty_table() if self.point.requests is None else self.point.requests.table


def is_foreign(path: Path) -> bool:
    """Whether the path holds another tool's results or a points table, for ``import_points``."""
    return recognise.is_foreign(path)


def import_points(path: Path) -> list[LoadPoint]:
    """The loads of another tool's file or of a points table, in its order.

    Raises:
        ForeignFileError: the file is of no known kind, damaged, or of a version that is not read.
    """
    return [load_point(point) for point in recognise.read(path)]


def load_point(point: ImportedPoint) -> LoadPoint:
    """One imported load as a point; it has records where the file has all its requests."""
    run = ImportedRun(point)
    return LoadPoint(
        name=point.name,
        load=point.load,
        summary=run.summary,
        rate=point.rate,
        concurrency=point.concurrency,
        records=None if point.requests is None else run,
        manifest=run.manifest,
        tool=point.tool,
        notes=point.notes,
    )


def known_parameters(point: ImportedPoint) -> dict[str, Any]:
    """The parameters by which benchkit would make the same load, as far as the file tells them; others are absent.

    Lengths are the means of the prompts and answers that were measured.
    """
    stated, ok = point.stated, point.stated.counts.get("ok")
    told: dict[str, Any] = {
        "model": point.model,
        "url": redact_url(point.url) if _HTTP.match(point.url) else "",
    }
    if point.load:
        told["load"] = point.load
        told |= {"rate": point.rate} if point.load in _OPEN_LOOPS else {}
        told |= {"concurrency": point.concurrency} if point.load == "concurrent" else {}
        told |= {"max_in_flight": point.concurrency} if point.load == "throughput" else {}
        told |= dict(point.parameters)
    if stated.length_s:
        told |= {"warmup_s": 0.0, "duration_s": stated.length_s}
    if ok:
        lengths = {"input_tokens": stated.prompt_tokens, "output_tokens": stated.output_tokens}
        told |= {name: max(1, round(total / ok)) for name, total in lengths.items() if total}
    return {name: value for name, value in told.items() if value not in (None, "")}


def stated_summary(point: ImportedPoint) -> dict[str, Any]:
    """The summary of a load of which only statistics are known; all else is null."""
    stated = point.stated
    length = stated.length_s
    return {
        "schema": SUMMARY_SCHEMA,
        "requests": {name: stated.counts.get(name) for name in COUNTS} | {"by_kind": {}},
        "windows": {
            "whole": {
                "start_s": None if length is None else 0.0,
                "end_s": length,
                "length_s": length,
                "metrics": {
                    metric.name: _stated_metric(metric.name, metric.unit, stated) for metric in METRICS
                },
                "rates": {rate.name: _rate(rate.unit, stated.rates.get(rate.name)) for rate in RATES},
                "totals": {
                    "requests": stated.counts.get("ok"),
                    "output_tokens": stated.output_tokens,
                    "prompt_tokens": stated.prompt_tokens,
                },
            },
            "steady": None,
        },
        "slo": [],
        "validity": {"verdict": "suspect", "reasons": [_reason(point)], "checked": []},
    }


def _stated_metric(name: str, unit: str, stated: Stated) -> dict[str, Any]:
    found = stated.metrics.get(name, {})
    entry: dict[str, Any] = {"unit": unit} | dict.fromkeys(STATISTICS) | {"ci95": None} | dict(found)
    if found and entry["count"] is None and name in _BY_REQUEST:
        entry["count"] = stated.counts.get("ok")
    if not found:
        entry["count"] = 0
    elif entry["count"] is not None:
        entry["count"] = int(entry["count"])
    return entry | ({"source": _STATED} if found else {})


def _rate(unit: str, value: float | None) -> dict[str, Any]:
    return {"unit": unit, "value": value, "ci95": None} | ({} if value is None else {"source": _STATED})


def _from_requests(run: ImportedRun) -> dict[str, Any]:
    point = run.point
    assert point.requests is not None
    summary = build_summary(
        run.requests,
        run.chunks,
        window=Window(0, point.requests.end_ns),
        objectives=(),
        load_facts=run.manifest["load"],
        parameters=run.manifest["parameters"],
    )
    whole = summary["windows"]["whole"]
    for name, entry in whole["metrics"].items():
        if not entry["count"] and point.stated.metrics.get(name):
            whole["metrics"][name] = _stated_metric(name, entry["unit"], point.stated)
    for name in point.not_measured:
        whole["metrics"][name] = _stated_metric(name, whole["metrics"][name]["unit"], Stated())
    for name, rate in whole["rates"].items():
        stated = point.stated.rates.get(name)
        if stated is not None:
            whole["rates"][name] = _rate(rate["unit"], stated)
    summary["validity"] = _judged(summary["validity"], point)
    return summary


def _judged(validity: Mapping[str, Any], point: ImportedPoint) -> dict[str, Any]:
    blank = tuple(name.removesuffix("ms") for name in point.not_measured)
    return {
        "verdict": "invalid" if validity["verdict"] == "invalid" else "suspect",
        "reasons": [*validity["reasons"], _reason(point)],
        "checked": [name for name in validity["checked"] if not name.startswith(blank)],
    }


def _reason(point: ImportedPoint) -> dict[str, Any]:
    return {
        "name": "other_client",
        "level": "suspect",
        "value": 1.0,
        "unit": "",
        "threshold": 0.0,
        "what": f"measured by another client ({point.tool})",
        "reason": "its sends, stamps and lags were not watched: what it adds to the times is unknown",
        "remedy": "measure the loads that matter with `benchkit run` too, and compare",
    }
