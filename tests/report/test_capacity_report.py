"""What a reader sees of a capacity analysis: text, tables, charts, JSON, and the notebook as a whole."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

from benchkit.analysis.points import LoadPoint
from benchkit.errors import InvalidParameter, RunNotFound
from benchkit.parameters import CapacityParameters, load_file, resolve
from benchkit.records.project import project_root
from benchkit.report import capacity_charts as charts
from benchkit.report import capacity_sections as sections
from benchkit.report import renderer
from benchkit.report.capacity_report import capacity, capacity_of
from benchkit.report.execute import report_from_notebook

ROOT = project_root(Path(__file__).parent)
ARTICLE = {"sources": [str(ROOT / "params" / "article_sweep.csv")], "slo": "p99 ttft < 80ms"}
SECTIONS = ("answer", "loads", "cells", "limits", "over_time", "assumptions", "again")


@pytest.fixture(scope="module")
def article():
    """The article's question, with a day and a price."""
    return capacity(
        {**ARTICLE, "target_rps": 50, "profile": "office_day", "price_per_hour": 4, "start_up_s": 240}
    )


@pytest.fixture(scope="module")
def refused():
    """A question without an answer."""
    return capacity({**ARTICLE, "slo": "p99 ttft < 2ms", "target_rps": 50, "profile": "office_day"})


def _point(rate, p99, **more):
    whole = {
        "metrics": {"ttft_ms": {"p99": p99, "count": 500}},
        "rates": {"requests_per_s": {"value": rate}},
    }
    summary = {"requests": {"ok": 500, "failed": 0, "shed": 0}, "windows": {"whole": whole}, "slo": []}
    return LoadPoint(f"<b>{rate}</b>", "poisson", summary, rate=rate, **more)


def test_the_answer_is_said_first(article):
    """Both numbers, the objective, and what speaks against them."""
    text = str(article)
    assert text.startswith("A peak of 50 requests/s needs 12 servers as measured and 11 servers estimated.")
    assert "133 of 368 requests" in text
    assert "without an interval" in text
    assert (
        "The limit is the objective, at 4.60 requests/s; saturation stands 17 % higher; memory: not known."
        in text
    )
    for assumption in ("independent", "at random", "cache", "conversation", "One class of work"):
        assert assumption in text


def test_without_a_target_one_server_is_the_answer():
    """No number of servers is made up."""
    found = capacity(ARTICLE)
    assert str(found).startswith(
        "One server carries 4.43 requests/s as measured and 4.60 requests/s estimated"
    )
    assert "servers that the load needs" not in str(found)


def test_a_refusal_is_said_first_and_has_its_exit_code(refused):
    """With the reason and the remedy, and no number of servers anywhere."""
    assert str(refused).startswith("No number of servers. No measured load meets the objectives")
    assert (refused.refused, refused.exit_code) == (True, 1)
    assert not re.search(r"\d+ servers?\b", str(refused))


@pytest.mark.parametrize("name", SECTIONS)
def test_sections_have_both_forms(article, refused, name):
    """Each says the same as HTML and as text, with an answer and without."""
    for found in (article, refused):
        section = getattr(sections, name)(found)
        assert section.html.startswith("<")
        assert section.text


@pytest.mark.parametrize("name", charts.__all__)
def test_charts_state_what_they_found(article, refused, name):
    """Each is drawn, small, and has a statement for its title; without an answer it says why there is none."""
    for found in (article, refused):
        chart = getattr(charts, name)(found)
        spec = renderer.vega_lite(chart)
        assert not renderer.title_of(spec).endswith(("?", "."))
        assert len(renderer.title_of(spec)) <= 161
        assert len(json.dumps(spec)) < 60_000
        assert renderer.png(chart, scale=0.5).startswith(b"\x89PNG")


def test_the_titles_of_the_articles_answer(article):
    """Both numbers of servers, the boundary, the limit, what other objectives would cost, and the day."""
    found = {
        name: renderer.title_of(renderer.vega_lite(getattr(charts, name)(article))) for name in charts.__all__
    }
    assert found["servers"] == (
        "A peak of 50 requests/s needs 12 servers as measured and 11 servers estimated"
    )
    assert found["boundary"] == (
        "One server meets p99 ttft < 80ms up to 4.43 requests/s as measured, 4.60 estimated"
    )
    assert found["limits"].startswith(
        "The limit is the objective, at 4.60 requests/s; saturation stands 17 %"
    )
    assert found["sensitivity"].startswith("11 servers as asked, ")
    assert "fewer server-hours than 12 servers all the time" in found["over_time"]
    assert "of the requests inside the objective, " in found["smaller"]


def _values(spec):
    return [row for table in spec.get("datasets", {}).values() for row in table]


def test_the_chart_for_managers_marks_the_load(article):
    """The two fleets at 50 requests/s, and steps that rise by one server."""
    rows = _values(renderer.vega_lite(charts.servers(article)))
    marked = {row["basis"]: row["servers"] for row in rows if "text" in row}
    assert marked == {"as measured": 12, "estimated": 11}
    steps = [row["servers"] for row in rows if row["basis"] == "as measured" and "text" not in row]
    assert {later - earlier for earlier, later in pairwise(steps)} == {0, 1}


def test_the_chart_for_engineers_tells_loads_apart(article):
    """Those that meet, the one that misses, and full throughput, which is no steady state."""
    rows = _values(renderer.vega_lite(charts.boundary(article)))
    states = {row["load"]: row["state"] for row in rows if "state" in row}
    assert [load for load, state in states.items() if state == "misses"] == ["5.37 requests/s (constant)"]
    assert states.pop("throughput") == "saturated, or full throughput"
    assert list(states.values()).count("meets") == 8
    assert any(row.get("at") == pytest.approx(4.598, abs=1e-3) for row in rows)


def test_json_is_whole(article, refused):
    """It holds both answers and has no number that JSON lacks."""
    told = json.loads(json.dumps(article.as_dict(), allow_nan=False))
    (answer,) = told["answers"]
    assert answer["as_measured"]["fleet"]["servers"] == 12
    assert answer["estimated"]["fleet"]["servers"] == 11
    assert answer["limited_by"] == "objective"
    assert told["over_time"][0]["fixed"]["share_of_requests_inside"] == 1
    assert json.loads(json.dumps(refused.as_dict(), allow_nan=False))["answers"][0]["as_measured"] is None


def test_what_if_keeps_the_day(article):
    """Half of the load is followed over the same curve, at half of its peak."""
    half = article.what_if(target_rps=25)
    assert half.days[0][1].profile.peak == pytest.approx(25)
    assert half.answer.measured.fleet.servers == 6
    assert half.days[0][1].fixed.most == 6


def test_text_of_sources_is_escaped():
    """What a file calls itself, and a setting's name, are never markup."""
    points = [_point(rate, p99, cell={"<i>": 1}, notes=("<script>",)) for rate, p99 in ((2, 50), (4, 90))]
    asked = resolve({"slo": "p99 ttft < 80ms"}, CapacityParameters)
    found = capacity_of([*points, _point(3, 60, cell={"<i>": 2})], asked)
    for name in SECTIONS:
        html = getattr(sections, name)(found).html
        assert "<script>" not in html
        assert "<i>" not in html


def test_cells_of_a_grid_are_answered_apart():
    """The setting that carries most is the answer; the table has all."""
    points = [
        _point(rate, p99, cell={"seqs": seqs})
        for seqs, rate, p99 in ((64, 2, 50), (64, 4, 90), (128, 3, 50), (128, 6, 90))
    ]
    found = capacity_of(points, resolve({"slo": "p99 ttft < 80ms", "target_rps": 9}, CapacityParameters))
    assert [dict(answer.cell) for answer in found.answers] == [{"seqs": 128}, {"seqs": 64}]
    assert found.answer.measured.fleet.servers == 3
    table = sections.cells(found).text
    assert table.index("seqs 128") < table.index("seqs 64")


def test_objectives_default_to_those_of_the_sources():
    """And where these have none either, one is asked for."""
    from types import SimpleNamespace

    with pytest.raises(InvalidParameter, match="'slo' is empty"):
        capacity({"sources": ARTICLE["sources"]})
    told = SimpleNamespace(manifest={"parameters": {"slo": ["p99 ttft < 70ms"]}})
    from benchkit.report.capacity_report import _objectives_of

    assert _objectives_of([_point(1, 1, records=told)]) == ("p99 ttft < 70ms",)


@pytest.mark.parametrize("source", ["guidellm/benchmarks.json", "vllm_bench/detailed.json"])
def test_other_tools_files_are_enough(source):
    """A number of servers from a file that GuideLLM or vLLM wrote, with no server involved."""
    found = capacity(
        {"sources": [str(ROOT / "tests" / "data" / source)], "slo": "mean ttft < 10s", "target_rps": 1000}
    )
    measured = found.answer.measured
    assert measured.rate > 0
    assert measured.fleet.servers == -(-1000 // measured.rate)


def test_a_missing_source_is_named(tmp_path):
    """It is an error of its own."""
    with pytest.raises(RunNotFound):
        capacity({**ARTICLE, "sources": [str(tmp_path / "nothing")]})


@pytest.mark.slow
def test_the_notebook_answers_the_articles_question(tmp_path):
    """By its params file through papermill: 4.43 and 12 as measured; every chart stored for every reader; one page."""
    asked = load_file(ROOT / "params" / "article_capacity.yaml")
    page = report_from_notebook("capacity_analysis", asked, tmp_path)
    executed = nbformat.read(page.with_suffix(".ipynb"), as_version=4)
    outputs = {cell.id: cell.get("outputs", []) for cell in executed.cells}
    answer = outputs["answer"][0]["data"]["text/plain"]
    assert answer.startswith("50 requests/s need 12 servers as measured and 11 servers estimated.")
    assert re.search(r"one server carries \(requests/s\) +4\.43 +4\.60", answer)
    assert re.search(r"servers that the load needs +12 +11", answer)
    bundles = [
        output["data"]
        for found in outputs.values()
        for output in found
        if renderer.MIME in output.get("data", {})
    ]
    assert len(bundles) == len(charts.__all__)
    assert all("image/png" in bundle and "text/html" not in bundle for bundle in bundles)
    assert "13 servers as measured" in outputs["what-if"][0]["text"]
    html = page.read_text("utf-8")
    assert "12 servers as measured" in html
    assert html.count('class="bk-chart"') == len(bundles)
    assert "What if" not in html


@pytest.mark.parametrize("verdict", ["suspect", "invalid"])
def test_measurements_that_cannot_be_believed_are_named_first(verdict):
    """The loads' own verdicts come before all other remarks; with an invalid one the answer is not shown as sure."""
    reason = {"level": verdict, "what": "the client was late"}
    judged = _point(8.0, 60.0)
    judged.summary["validity"] = {"verdict": verdict, "reasons": [reason]}
    good = _point(2.0, 30.0)
    good.summary["validity"] = {"verdict": "valid", "reasons": []}
    missing = _point(12.0, 120.0)
    found = capacity_of(
        [good, judged, missing], resolve({"slo": "p99 ttft < 80ms", "target_rps": 50.0}, CapacityParameters)
    )
    said = f"! the measurement is {verdict} at 8 requests/s (poisson): the client was late"
    remarks = [line for line in str(found).splitlines() if line.startswith("! ")]
    assert remarks[0] == said
    assert ("bk-valid" in sections.answer(found).html) == (verdict == "suspect")
    assert [row.split("  ")[-1].strip() for row in sections.loads(found).text.splitlines()[1:4]] == [
        "valid",
        verdict,
        "–",
    ]
