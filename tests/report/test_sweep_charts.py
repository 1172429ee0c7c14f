"""Every chart of every kind of sweep: small, drawable by old Vega-Lite, and honest about what it leaves out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import vl_convert

from benchkit.analysis.points import LoadPoint
from benchkit.objectives import parse, singles
from benchkit.report import charts_sweep, renderer
from benchkit.report.charts_sweep_goodput import goodput_of, terms_of
from benchkit.report.sweep_loads import loads

BUILDERS = [getattr(charts_sweep, name) for name in charts_sweep.__all__]
TIMES = [charts_sweep.ttft, charts_sweep.latency, charts_sweep.itl]


@pytest.fixture(params=["sweep", "grid", "article", "one", "saturated", "none"])
def points(
    request: pytest.FixtureRequest, sweep_points: Any, grid_points: Any, article: Any
) -> list[LoadPoint]:
    """Sweeps of each kind."""
    return {
        "sweep": sweep_points,
        "grid": grid_points,
        "article": article,
        "one": sweep_points[2:3],
        "saturated": [replace(one, saturated=True) for one in sweep_points],
        "none": [],
    }[request.param]


def _titles(spec: dict[str, Any]) -> list[str]:
    return [renderer.title_of(spec), *spec["title"].get("subtitle", [])]


def _rows(spec: dict[str, Any], *columns: str) -> list[dict[str, Any]]:
    """The rows of all data of a chart that have these columns."""
    return [
        row
        for rows in spec.get("datasets", {}).values()
        for row in rows
        if all(name in row for name in columns)
    ]


def _marks(spec: Any, kind: str) -> list[Any]:
    """All layers of a chart with a mark."""
    if isinstance(spec, list):
        return [found for each in spec for found in _marks(each, kind)]
    own = [spec] if isinstance(spec.get("mark"), dict) and spec["mark"]["type"] == kind else []
    return own + [found for key in ("layer", "vconcat") for found in _marks(spec.get(key, []), kind)]


@pytest.mark.parametrize("build", BUILDERS, ids=charts_sweep.__all__)
def test_every_chart_is_drawn_of_every_sweep(build: Any, points: list[LoadPoint]) -> None:
    """It is compiled by the oldest Vega-Lite at hand, is small, and its title states what it found, with numbers."""
    spec = renderer.vega_lite(build(points))
    compiled = vl_convert.vegalite_to_vega(json.dumps(spec), vl_version=renderer.VEGA_LITE)
    assert compiled["marks"]
    assert len(json.dumps(spec)) < 100_000
    finding, *under = _titles(spec)
    assert not finding.endswith(("?", "."))
    assert len(finding) <= 161
    told = [finding, *under, *(row["text"] for row in _rows(spec, "text"))]
    assert any(character.isdigit() for line in told for character in line)


@pytest.mark.parametrize("build", TIMES)
def test_saturated_loads_are_no_part_of_a_curve(build: Any, sweep_points: list[LoadPoint]) -> None:
    """Neither are those that send all at once; both stand at the top edge, with what was measured in the tooltip."""
    spec = renderer.vega_lite(build(sweep_points, []))
    assert {row["load"] for row in _rows(spec, "piece")} == {
        "synchronous",
        "poisson 10/s",
        "poisson 30/s",
        "poisson 50/s",
    }
    apart = _rows(spec, "why")
    assert {row["load"]: row["why"].split(":")[0] for row in apart} == {
        "throughput": "as much as the server would take",
        "poisson 90/s": "saturated",
    }
    assert "triangles at the top: 1 saturated load and full throughput, no part of the curve" in _titles(spec)


def test_a_p99_that_is_not_resolved_is_hollow(sweep_points: list[LoadPoint]) -> None:
    """20 s of 10/s resolve no p99, and of 30/s the median."""
    spec = renderer.vega_lite(charts_sweep.ttft(sweep_points, []))
    known = {(row["load"], row["statistic"]): row["resolved"] for row in _rows(spec, "piece")}
    assert known["poisson 10/s", "p99"] is False
    assert known["poisson 30/s", "median"] is True
    assert {mark["mark"]["filled"] for mark in _marks(spec, "point")} == {True, False}
    assert "hollow: too few independent requests (a p99 needs 368)" in _titles(spec)


def test_bands_are_drawn_where_they_are_known_only(sweep_points: list[LoadPoint]) -> None:
    """A load without a band breaks the area: no band is drawn across it."""
    given = [*sweep_points[2:5]]
    entries = given[1].summary["windows"]["whole"]["metrics"]
    refused = entries["ttft_ms"] | {"ci95": None, "notes": {"p50": "not enough data"}}
    whole = given[1].summary["windows"]["whole"] | {"metrics": entries | {"ttft_ms": refused}}
    given[1] = replace(given[1], summary=given[1].summary | {"windows": {"whole": whole}})
    spec = renderer.vega_lite(charts_sweep.ttft(given, []))
    pieces = {row["load"]: row["piece"] for row in _rows(spec, "piece") if row["statistic"] == "median"}
    assert pieces["poisson 10/s"] != pieces["poisson 50/s"]
    assert any("95 % intervals of the runs" in line for line in _titles(spec))


def test_the_bands_of_repeats_are_told_as_such(make_point: Any) -> None:
    """A chart of repeats says that its bands come from them."""
    spec = renderer.vega_lite(charts_sweep.latency([make_point(rate=20.0, repeats=3)], []))
    assert "bands: 95 % intervals from the spread between repeats" in _titles(spec)


def test_objectives_are_drawn_and_their_percentiles_with_them(article: Any, sweep_points: Any) -> None:
    """A bound is a line, the statistic that it is about is drawn, and the subtitle says how far it held."""
    spec = renderer.vega_lite(charts_sweep.ttft(article, ["p99 ttft < 80ms"]))
    assert _titles(spec)[1] == (
        "p99 ttft < 80ms: held as measured up to 4.43 requests/s (75.3 ms), not at 4.98 (90.7 ms)"
    )
    assert [row["value"] for row in _rows(spec, "text")] == [80]
    asked = renderer.vega_lite(charts_sweep.ttft(sweep_points, ["p90 ttft < 30ms", "mean ttft < 20ms"]))
    assert {row["statistic"] for row in _rows(asked, "piece")} == {"median", "p90", "mean"}
    other = renderer.vega_lite(charts_sweep.itl(sweep_points, ["p90 ttft < 30ms"]))
    assert not _rows(other, "text")


def test_a_grid_has_a_curve_for_each_setting(grid_points: list[LoadPoint]) -> None:
    """One panel a statistic, one colour a setting, told in the legend; and a sentence for each."""
    spec = renderer.vega_lite(charts_sweep.ttft(grid_points, []))
    assert len(spec["vconcat"]) == 2
    assert {row["series"] for row in _rows(spec, "piece")} == {"max_num_seqs 8", "max_num_seqs 32"}
    assert [line.split(":")[0] for line in _titles(spec)[1:3]] == ["max_num_seqs 8", "max_num_seqs 32"]


def test_the_knee_is_marked(article: list[LoadPoint]) -> None:
    """Where the subtitle says that it is; without the plateau it says that the knee was not reached."""
    spec = renderer.vega_lite(charts_sweep.throughput(article))
    (mark,) = _rows(spec, "most")
    assert (mark["in_flight"], mark["most"], mark["text"]) == (15.34, 1374.0, "knee: 15.3 in flight")
    assert "knee at about 15.3 in flight (between 12.8 and 141), with 93 % of that" in _titles(spec)[1]
    early = renderer.vega_lite(charts_sweep.throughput([one for one in article if one.load != "throughput"]))
    assert "the knee lies at 15.3 in flight or beyond" in _titles(early)[1]


def test_goodput_is_the_summarys(sweep_points: list[LoadPoint]) -> None:
    """Counted from requests, it is what summary.json has; its limits hold it."""
    for load in loads(sweep_points):
        terms = terms_of(singles([parse("p99 ttft < 100ms"), parse("attainment(ttft < 80ms) > 95%")]))
        found = goodput_of(load, terms)
        assert found.per_s == pytest.approx(load.rate_of("goodput_per_s"))
        assert found.low <= found.per_s <= found.high
    spec = renderer.vega_lite(charts_sweep.goodput(sweep_points))
    assert "good: ttft < 80 ms; thin dashes: if all were good" in _titles(spec)
    assert {row["load"] for row in _rows(spec, "apart") if row["apart"]} == {"throughput", "poisson 90/s"}


def test_the_bounds_of_percentiles_are_what_is_good_where_nothing_else_is() -> None:
    """Means and lower bounds say nothing of one request."""
    asked = singles([parse(text) for text in ("p99 ttft < 80ms", "mean latency < 2s", "p95 itl < 20ms")])
    assert [(term.metric, term.bound) for term in terms_of(asked)] == [("ttft_ms", 80)]


def test_goodput_that_a_file_states_is_drawn(article: list[LoadPoint]) -> None:
    """A source without requests has the goodput that it states, and no band."""
    whole = article[3].summary["windows"]["whole"]
    rates = whole["rates"] | {"goodput_per_s": {"value": 1.5}}
    stated = replace(article[3], summary={"windows": {"whole": whole | {"rates": rates}}})
    spec = renderer.vega_lite(charts_sweep.goodput([stated], []))
    assert [(row["good"], row["low"]) for row in _rows(spec, "apart")] == [(1.5, None)]


def test_the_front_is_per_gpu_where_gpus_are_known(grid_points: list[LoadPoint]) -> None:
    """Of a server of two GPUs one gives half; settings that spread a server count for themselves."""
    spec, halved = (renderer.vega_lite(charts_sweep.pareto(grid_points, gpus)) for gpus in (0, 2))
    outputs, halves = ([row["output"] for row in _rows(one, "speed")] for one in (spec, halved))
    assert halves == pytest.approx([output / 2 for output in outputs])
    axes = {layer["encoding"]["y"]["title"] for layer in _marks(halved, "line")}
    assert axes == {"output tokens per second and GPU"}
    spread = [replace(one, cell={"tensor_parallel_size": 4}) for one in grid_points[:3]]
    quarters = [row["output"] for row in _rows(renderer.vega_lite(charts_sweep.pareto(spread, 2)), "speed")]
    assert max(quarters) == pytest.approx(max(one.rate_of("output_tokens_per_s") for one in spread) / 4)


def test_a_saturated_load_is_not_on_the_front(sweep_points: list[LoadPoint]) -> None:
    """Whatever it gave, it could not go on."""
    rows = _rows(renderer.vega_lite(charts_sweep.pareto(sweep_points)), "best")
    assert not any(row["best"] for row in rows if row["saturated"])
    assert any(row["best"] for row in rows)


def _found(chart: Any) -> str:
    return renderer.title_of(renderer.vega_lite(chart))


def test_the_title_says_up_to_where_a_bound_holds(article: Any, sweep_points: Any) -> None:
    """As measured where requests are too few to be sure; of several bounds the one that is missed first."""
    assert _found(charts_sweep.ttft(article, ["p99 ttft < 80ms"])) == (
        "As measured, p99 TTFT stays below 80 ms up to 4.43 requests/s"
    )
    assert _found(charts_sweep.ttft(article, ["p99 ttft < 500ms", "p99 ttft < 80ms"])) == (
        "As measured, p99 TTFT stays below 80 ms up to 4.43 requests/s"
    )
    never = _found(charts_sweep.ttft(article, ["p99 ttft < 2ms"]))
    assert never == "p99 TTFT is not below 2 ms even at 0.47 requests/s: 25.2 ms"
    everywhere = _found(charts_sweep.ttft(sweep_points, ["p50 ttft <= 10s"]))
    assert everywhere.startswith("Median TTFT stays within 10 s at every steady load, up to")


def test_the_title_says_how_a_time_grows(sweep_points: list[LoadPoint], article: list[LoadPoint]) -> None:
    """From the lightest to the heaviest load; of one load, that it is the only one."""
    # No load of the article resolves its p99.
    assert _found(charts_sweep.ttft(article, [])) == (
        "Median TTFT grows from 24.8 ms at 0.47 to 35.9 ms at 4.98 requests/s"
    )
    one = _found(charts_sweep.latency(sweep_points[2:3], []))
    assert one.endswith("requests/s, the only steady load")


def test_curves_are_compared_at_a_load_that_they_share(grid_points: list[LoadPoint]) -> None:
    """At the heaviest of these; a bound is told for the curve that holds furthest and for the one that does least."""
    assert " at poisson 20/s" in _found(charts_sweep.ttft(grid_points, []))
    alike = _found(charts_sweep.ttft(grid_points, ["p50 ttft < 100ms"]))
    assert alike.endswith("requests/s on both curves")
    slow = [replace(one, cell={"max_num_seqs": 1}) for one in grid_points[:2]]
    apart = _found(charts_sweep.ttft([*grid_points[3:], *slow], ["p50 ttft < 100ms"]))
    assert "requests/s (max_num_seqs 32), with max_num_seqs 1 to " in apart


def test_the_titles_of_output_goodput_and_front(article: Any, sweep_points: Any, grid_points: Any) -> None:
    """Where more at once mostly waits; how much is good; what one user's speed costs."""
    assert _found(charts_sweep.throughput(article)) == (
        "Beyond about 15.3 in flight, requests mostly wait: 93 % of the most comes out there"
    )
    early = [one for one in article if one.load != "throughput"]
    assert _found(charts_sweep.throughput(early)).endswith("no knee was reached")
    assert "good requests/s" in _found(charts_sweep.goodput(sweep_points))
    assert _found(charts_sweep.pareto(article)).startswith("Output for all grows from")
    assert "best loads are of max_num_seqs" in _found(charts_sweep.pareto(grid_points))
