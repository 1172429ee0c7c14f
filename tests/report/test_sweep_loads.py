"""Loads of a sweep: in order, named, repeats together, each with a band that says what it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchkit.analysis.binomial import quantile_ranks
from benchkit.analysis.points import LoadPoint
from benchkit.analysis.recorded import measured_of
from benchkit.analysis.repeats import between
from benchkit.report.sweep_bands import statistic
from benchkit.report.sweep_loads import in_order, label, loads


def point(
    load: str = "poisson", rate: float | None = None, streams: int | None = None, **more: Any
) -> LoadPoint:
    """A point of which only the load is known."""
    return LoadPoint(f"{load}-{rate or streams}", load, {"windows": {"whole": {}}}, rate, streams, **more)


def test_loads_come_in_the_order_of_tables() -> None:
    """Setting by setting: one at a time, everything at once, then arrivals and streams by how much they are."""
    given = [
        point(rate=9.0, cell={"seqs": 8}),
        point("concurrent", streams=4, cell={"seqs": 8}),
        point(rate=2.0, cell={"seqs": 8}),
        point("throughput", streams=512, cell={"seqs": 8}),
        point("synchronous", streams=1, cell={"seqs": 8}),
        point(rate=1.0, cell={"seqs": 4}),
    ]
    assert [label(one) for one in in_order(given)] == [
        "synchronous",
        "throughput",
        "poisson 2/s",
        "poisson 9/s",
        "4 streams",
        "poisson 1/s",
    ]


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (point("constant", rate=1.7049), "constant 1.7/s"),
        (point("", rate=1234.5), "1234/s"),
        (point("concurrent", streams=1), "1 stream"),
        (point("", streams=32), "32 streams"),
        (replace(point(""), name="file.json#2"), "file.json#2"),
    ],
)
def test_a_load_is_named_by_what_is_known_of_it(one: LoadPoint, told: str) -> None:
    """The kind of load and its size; the source's name where it does not say."""
    assert label(one) == told


def test_curves_are_told_apart_by_what_differs_only() -> None:
    """One curve has no name; settings, tools and kinds of loop come in where there are several."""
    assert {load.series for load in loads([point(rate=1.0), point("synchronous", streams=1)])} == {""}
    mixed = loads([point(rate=1.0), point("synchronous", streams=1), point("concurrent", streams=4)])
    assert {load.label: load.series for load in mixed} == {
        "poisson 1/s": "arrivals",
        "synchronous": "arrivals",
        "4 streams": "streams",
    }
    closed = loads([point("synchronous", streams=1), point("concurrent", streams=4)])
    assert {load.series for load in closed} == {""}
    tools = loads([point(rate=1.0), point(rate=1.0, tool="guidellm", cell={"tp": 2})])
    assert [load.series for load in tools] == ["benchkit", "tp 2, guidellm"]


def test_saturated_loads_and_full_throughput_are_on_no_curve() -> None:
    """Their times say how long the run was, or how much was sent."""
    given = [point(rate=1.0), point(rate=9.0, saturated=True), point("throughput", streams=512)]
    assert [load.on_curve for load in loads(given)] == [False, True, False]


def test_repeats_of_a_load_are_one(make_point: Any) -> None:
    """Rates are averaged; a percentile is that of all requests together; its band comes from the repeats."""
    given = [make_point(rate=20.0, seed=seed) for seed in (1, 2, 3)]
    (load,) = loads([replace(one, repeat=at) for at, one in enumerate(given)])
    assert load.requests_per_s == pytest.approx(np.mean([one.requests_per_s for one in given]))
    assert load.count == sum(one.count for one in given)
    found = statistic(load, "ttft_ms", "p99")
    samples = [measured_of(one.records) for one in given]
    pooled = np.concatenate([one.values["ttft_ms"][one.columns.in_phase] for one in samples])
    assert found.value == pytest.approx(np.percentile(pooled, 99), rel=0.02)
    runs = [one.values["ttft_ms"][one.columns.in_phase] for one in samples]
    median = statistic(load, "ttft_ms", "p50")
    limits = between(runs, None, "p50")
    assert (median.low, median.high, median.kind) == (limits.low, limits.high, "runs")
    assert median.low <= median.value <= median.high


def test_repeats_within_a_run_are_repeats(make_point: Any) -> None:
    """A run of three repeats has a band over its parts."""
    (load,) = loads([make_point(rate=20.0, repeats=3)])
    found = statistic(load, "latency_ms", "mean")
    assert found.kind == "runs"
    assert found.value == load.first.statistic("latency_ms", "mean")
    assert found.low < found.value < found.high


def test_a_file_without_intervals_has_the_limits_of_independent_requests(make_point: Any) -> None:
    """Order statistics bracket a percentile; a percentile that too few requests carry has none, and says so."""
    (load,) = loads([_without_intervals(make_point(rate=20.0))])
    measured = measured_of(load.first.records)
    values = np.sort(measured.values["ttft_ms"][measured.columns.in_phase])
    ranks = quantile_ranks(len(values), 0.5)
    found = statistic(load, "ttft_ms", "p50")
    assert (found.low, found.high, found.kind) == (values[ranks.low], values[ranks.high], "independent")
    few = statistic(loads([_without_intervals(make_point(rate=2.0))])[0], "ttft_ms", "p99")
    assert (few.resolved, few.high, few.kind) == (False, None, "")


def test_what_a_run_does_not_resolve_has_no_band(make_point: Any) -> None:
    """Where a run's summary refuses an interval, none is made up from the number of its requests."""
    found = statistic(loads([make_point(rate=2.0)])[0], "ttft_ms", "p50")
    assert (found.resolved, found.low, found.kind) == (False, None, "")


def _without_intervals(point: LoadPoint) -> LoadPoint:
    """The same point as from a file that states no intervals."""
    whole = point.summary["windows"]["whole"]
    entries = {
        name: {key: value for key, value in entry.items() if key not in ("ci95", "notes", "effective")}
        for name, entry in whole["metrics"].items()
    }
    bare = {name: value for name, value in whole.items() if name != "intervals"} | {"metrics": entries}
    return replace(point, summary=point.summary | {"windows": {"whole": bare}})


def test_an_interval_of_the_summary_is_the_band(make_point: Any) -> None:
    """Where a summary states an interval, nothing else is drawn."""
    one = make_point(rate=20.0)
    whole = one.summary["windows"]["whole"]
    entry = whole["metrics"]["ttft_ms"] | {"ci95": {"p99": [10.0, 90.0]}}
    summary = {
        "windows": {"whole": whole | {"metrics": {"ttft_ms": entry}}},
        "requests": one.summary["requests"],
    }
    found = statistic(loads([replace(one, summary=summary)])[0], "ttft_ms", "p99")
    assert (found.low, found.high, found.kind) == (10.0, 90.0, "interval")


def test_what_a_source_lacks_is_none(article: list[LoadPoint]) -> None:
    """A table without medians of latency gives none, and no band to what it states."""
    first = loads(article)[0]
    assert statistic(first, "latency_ms", "p50") is None
    found = statistic(first, "ttft_ms", "p99")
    assert (found.value, found.low, found.high, found.resolved) == (25.2, None, None, False)
