"""What is shown of a client's map: its limits and doubts in words, its charts, and a run's place on it."""

import itertools
import json
from types import SimpleNamespace

import pandas as pd
import pytest
from click.testing import CliRunner

from benchkit.analysis.client_error import Spread
from benchkit.analysis.client_map import Cell, ClientMap
from benchkit.analysis.client_placement import RunLoad
from benchkit.cli import main
from benchkit.errors import ParameterError, RunNotFound
from benchkit.experiments import selftest_store
from benchkit.parameters import SelftestParameters
from benchkit.records import environment
from benchkit.report import charts_client_map, client_place, renderer, selftest_rows, selftest_sections
from benchkit.report.selftest import Selftest, selftest


def spread(p99):
    """A spread of that 99th percentile, 10 % sure."""
    return Spread(5000, p99 / 4, p99, 0.9 * p99, 1.1 * p99, 3 * p99)


def cell(kind, streams, rate, kernel, *, loop=None, asked=None, steal=0.0):
    """A cell of these errors."""
    events, requests = (rate, rate / 200) if kind == "streams" else (4 * rate, rate)
    return Cell(
        kind=kind,
        streams=streams,
        asked_per_s=asked or rate,
        events_per_s=events,
        requests_per_s=requests,
        kernel=spread(kernel),
        loop=spread(loop or 10 * kernel),
        lateness=spread(kernel),
        server=spread(0.5),
        steal_percent=steal,
    )


CELLS = (
    cell("streams", 10, 1000.0, 0.02),
    cell("streams", 10, 4000.0, 0.25),
    cell("streams", 10, 15000.0, 4.0, asked=16000.0),
    cell("streams", 100, 1000.0, 0.02),
    cell("streams", 100, 4000.0, 0.02),
    cell("streams", 100, 15000.0, 0.02, asked=20000.0),
    cell("requests", 20, 500.0, 0.25),
    cell("requests", 80, 2000.0, 4.0),
)


def a_map(cells=CELLS, *, facts=None, busy=2.0):
    """A map of this machine."""
    return ClientMap(
        "2026-01-01T00:00:00+00:00", 1, "evenly", 200, 40.0, busy, facts or environment.collect(), cells
    )


@pytest.fixture
def found(tmp_path):
    """A finished test."""
    return Selftest(SelftestParameters(), a_map(), tmp_path / "map.json")


def test_the_headline_says_what_is_held_at_1_ms(found):
    """By hand: 10 streams pass 1 ms half way (logarithmically) between 4,000 and 15,000; 100 never did."""
    said = selftest_rows.headline(found.map)
    assert said == (
        "This client's own error (p99) stays below 1 ms with 10 streams of 7,750 tokens/s, "
        "100 streams of at least 15,000 tokens/s, 1,000 requests/s"
    )


def test_nothing_held_is_said_so():
    """A client that errs more than 1 ms everywhere holds nothing."""
    bad = a_map((cell("streams", 10, 1000.0, 2.0), cell("requests", 5, 100.0, 3.0)))
    assert selftest_rows.headline(bad).startswith("Under none of these loads")


def test_programs_get_the_same_limits(found):
    """Every limit of the table is in the JSON, with what is only known of one side."""
    told = json.loads(json.dumps(found.as_dict()))["limits"]
    assert len(told) == 2 * 2 * 3
    by = {(each["times"], each["bound_ms"], each["streams"]): each for each in told}
    assert by["kernel", 1.0, 10]["per_s"] == pytest.approx(7746, abs=1)
    assert by["kernel", 1.0, 100]["at_least"]
    assert by["loop", 1.0, 10]["per_s"] < by["kernel", 1.0, 10]["per_s"]
    assert by["kernel", 5.0, None]["at_least"]


def test_what_disturbed_the_test_is_said():
    """Others' work, steal and a server that could not keep its pace are named; a clean test names none of them."""
    clean = "\n".join(selftest_rows.remarks(a_map((CELLS[0], CELLS[6]))))
    for word in ("Others used", "steal", "paced server sent"):
        assert word not in clean
    stolen = cell("streams", 10, 900.0, 0.1, asked=1000.0, steal=9.0)
    bad = "\n".join(selftest_rows.remarks(a_map((stolen,), busy=60.0)))
    for words in ("Others used 60 %", "up to 9 %", "sent 900 of 1,000"):
        assert words in bad


def test_sections_escape_what_the_machine_is_called():
    """A processor's name is text, not markup."""
    named = a_map(facts={**environment.collect(), "cpu_model": "<script>x</script>"})
    shown = selftest_sections.machine(Selftest(SelftestParameters(), named, None))
    assert "&lt;script&gt;" in shown.html
    assert "<script>" not in shown.html


@pytest.mark.parametrize("view", ["kernel", "loop"])
def test_the_map_has_a_rectangle_for_each_stage_and_a_line_for_each_limit(found, view):
    """Six cells, coloured by the error of the view that was asked for; lines where 1 and 5 ms are passed."""
    spec = renderer.vega_lite(charts_client_map.client_map(found, view))
    sets = list(spec["datasets"].values())
    (cells,) = [rows for rows in sets if "x2" in rows[0]]
    assert len(cells) == 6
    assert {row["error"] for row in cells if row["streams"] == 100} == (
        {"below 0.1 ms"} if view == "kernel" else {"0.1 to 1 ms"}
    )
    # Rectangles of a row touch: no pace belongs to none.
    row = sorted((each["x"], each["x2"]) for each in cells if each["streams"] == 10)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(row))
    bounds = {row["bound"] for rows in sets if "bound" in rows[0] for row in rows}
    assert bounds == {"1 ms", "5 ms"}
    assert renderer.png(charts_client_map.client_map(found, view)).startswith(b"\x89PNG")


def test_the_curves_have_both_views_and_all_cells(found):
    """Each stage is drawn once by the kernel's times and once without; rates of requests have their lateness."""
    spec = renderer.vega_lite(charts_client_map.errors(found))
    rows = [row for rows in spec["datasets"].values() for row in rows if "p99" in row and row["events"]]
    assert len({(row["times"], row["streams"], row["rate"]) for row in rows}) == 12
    late = renderer.vega_lite(charts_client_map.requests(found))
    told = {row["what"] for rows in late["datasets"].values() for row in rows if "what" in row}
    assert "lateness of sends" in told
    for chart in (charts_client_map.errors(found), charts_client_map.requests(found)):
        assert renderer.png(chart).startswith(b"\x89PNG")


def test_the_axis_of_errors_names_only_what_lies_on_it(found):
    """No decade beyond the scale's ends is named: a clamped scale would put its name at the end."""
    for chart in (charts_client_map.errors(found), charts_client_map.requests(found)):
        axes = [
            layer["encoding"]["y"]
            for part in chart.to_dict()["hconcat"]
            for layer in part["layer"]
            if "axis" in layer["encoding"]["y"]
        ]
        assert axes
        for y in axes:
            low, high = y["scale"]["domain"]
            assert y["axis"]["values"]
            assert all(low <= value <= high for value in y["axis"]["values"])


def test_what_never_came_is_drawn_as_lost():
    """A cell without a 99th percentile is in the worst class, and says so."""
    lost = Cell("streams", 5, 1000.0, 900.0, 4.0, None, None, None, None, None)
    spec = renderer.vega_lite(charts_client_map.of_map(a_map((lost,))))
    (row,) = [row for rows in spec["datasets"].values() for row in rows if "x2" in row]
    assert (row["text"], row["error"]) == ("lost", "5 ms and more")


def test_titles_say_what_the_client_holds():
    """On the fewest and the most streams, by both clocks, and in requests; what was not reached is told as that."""

    def title(chart):
        return renderer.title_of(renderer.vega_lite(chart))

    found = Selftest(SelftestParameters(), a_map(), None)
    assert title(charts_client_map.client_map(found)) == (
        "By the kernel's times this client holds 7,750 tokens/s on 10 streams and "
        "at least 15,000 tokens/s on 100 streams, within 1 ms"
    )
    assert title(charts_client_map.errors(found)) == (
        "On 100 streams the error stays below 1 ms up to 15,000 tokens/s; "
        "by the event loop's times it stays below 1 ms up to 15,000 tokens/s"
    )
    assert title(charts_client_map.requests(found)) == (
        "The client sends 1,000 requests/s, on time and stamped within 1 ms"
    )


def test_a_map_without_streams_says_so():
    """There is no empty frame."""
    spec = renderer.vega_lite(charts_client_map.of_map(a_map((CELLS[6],))))
    assert "No streams were tried." in json.dumps(spec)


def _run(facts, *, workers=({"worker": 0, "kernel_times": True},), transport="stamped"):
    """A run of 20 streams, two seconds, 1,500 events and 4 requests in the busier one."""
    window = {"start_ns": 0, "end_ns": 2_000_000_000}
    return SimpleNamespace(
        manifest={
            "environment": facts,
            "parameters": {"transport": transport},
            "load": {"workers": list(workers), "window": window},
        },
        summary={"windows": {"whole": {"metrics": {"in_flight": {"max": 20.0}}}}},
        requests=pd.DataFrame({"sent_ns": pd.array([1, 2, 3, 4, 1_500_000_000], dtype="Int64")}),
        chunks=SimpleNamespace(ns=pd.Series([k * 600_000 for k in range(1500)] + [1_700_000_000]).to_numpy()),
    )


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own, without a map."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_placed_on_the_map_of_its_machine(project):
    """Its busiest second counts, as a share of what is held at each bound, in words and as a ring."""
    facts = environment.collect()
    assert "benchkit selftest" in client_place.placement(_run(facts)).text
    selftest_store.keep(a_map(facts=facts), "outputs")
    at = client_place.placed(_run(facts))
    assert at.load == RunLoad(20.0, 1500.0, 4.0)
    # Between 10 streams (7,746) and 100 (15,000), log 2 / log 10 of the way.
    assert at.placements[0].share == pytest.approx(1500 / (7746 * (15000 / 7746) ** 0.30103), rel=1e-3)
    assert (
        "This run is at 16 % or less of what this client holds at 1 ms"
        in client_place.placement(_run(facts)).text
    )
    spec = json.dumps(renderer.vega_lite(client_place.client_map(_run(facts))))
    assert "ring: this run" in spec
    assert "This run asked 16 % or less of what its client holds within 1 ms" in spec


def test_a_map_of_another_machine_places_nothing(project):
    """Another processor, or another transport, is named instead of a share; so is another tool's file."""
    facts = environment.collect()
    selftest_store.keep(a_map(facts=facts), "outputs")
    other = client_place.placement(_run({**facts, "cpu_model": "another"})).text
    assert "differs from this run in cpu_model" in other
    assert "another transport" in client_place.placement(_run(facts, transport="httpx")).text
    assert "own client" in client_place.placement(_run(facts, workers=())).text
    for run in (_run({**facts, "cpu_count": 99}), _run(facts, transport="httpx")):
        assert "ring" not in json.dumps(renderer.vega_lite(client_place.client_map(run)))


def test_a_stored_map_is_shown_without_load(project):
    """The command prints the stored map, as text and as JSON, in the place of a new one."""
    path = selftest_store.keep(a_map(), "outputs")
    shown = CliRunner().invoke(main, ["selftest", "--stored", "latest"])
    assert shown.exit_code == 0, shown.output
    assert "10 streams of 7,750 tokens/s" in shown.stdout
    assert "100 streams" in shown.stdout
    as_json = CliRunner().invoke(main, ["selftest", "--stored", str(path), "--json"])
    assert json.loads(as_json.stdout)["made"] == "2026-01-01T00:00:00+00:00"
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, "latest.json"]


def test_a_map_that_is_not_there_is_an_error(project):
    """It names the command that makes one."""
    with pytest.raises(RunNotFound, match="benchkit selftest"):
        selftest({"stored": "latest"})


@pytest.mark.parametrize(
    "values",
    [{"streams": [100, 10]}, {"streams": []}, {"tokens_per_s": [0]}, {"stage_s": 0.0}, {"arrive": "late"}],
)
def test_impossible_parameters_are_refused(values):
    """Lists rise, stages last, and the word for how tokens arrive is known."""
    with pytest.raises(ParameterError, match=next(iter(values))):
        selftest(values)
