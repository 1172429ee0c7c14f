"""`benchkit compare` as a user types it."""

import json
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from benchkit.cli import main


def invoke(*arguments):
    """`benchkit compare …` in this process."""
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def test_a_failed_gate_exits_with_4_and_leaves_its_files(make_sides, tmp_path):
    """Text on stdout, JUnit and Markdown where they were asked for."""
    base, new = make_sides(3, factor=1.2, spread=0.003)
    junit, markdown = tmp_path / "made" / "junit.xml", tmp_path / "made" / "told.md"
    done = invoke(*base, "vs", *new, "--fail-on", "mean itl +5%", "--junit", junit, "--markdown", markdown)
    assert done.exit_code == 4
    assert done.stdout.startswith("Fails: mean itl +5%")
    assert ET.parse(junit).getroot().get("failures") == "1"
    assert markdown.read_text("utf-8").startswith("## ❌")


def test_without_gates_it_only_tells(make_sides):
    """Exit code 0, whatever differs; as JSON for programs."""
    base, new = make_sides(3, factor=1.2)
    done = invoke(*base, "vs", *new, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["outcome"] is None


def test_an_undecided_gate_warns_and_fails_only_if_strict(make_sides):
    """Two single runs need no `vs`."""
    base, new = make_sides(1)
    done = invoke(*base, *new, "--fail-on", "mean itl +5%")
    assert (done.exit_code, "could not be decided" in done.stderr) == (0, True)
    done = invoke(*base, *new, "--fail-on", "mean itl +5%", "--strict")
    assert done.exit_code == 4
    assert "passes without" not in done.stderr


def test_an_invalid_measurement_exits_with_3(make_run):
    """Though a gate would fail."""
    sides = [make_run("base"), make_run("new", contents=2, verdict="invalid", factor=2.0)]
    assert invoke(*sides, "--fail-on", "mean itl +5%").exit_code == 3


def test_the_folder_of_a_comparison_is_one_source(ab_folder):
    """What `benchkit ab` left is compared again."""
    done = invoke(ab_folder)
    assert done.exit_code == 0
    assert "simulated fixed with gap_ms 10.8" in done.stdout
    assert "4 pairs" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("a", "b", "c"), "Write `vs` between the sides"),
        (("a", "vs"), "the runs of one side, `vs`"),
        (("vs", "a"), "the runs of one side, `vs`"),
        (("a", "vs", "b", "vs", "c"), "the runs of one side, `vs`"),
        (("a", "b", "--fail-on", "fast"), "is no gate"),
        (("a", "b", "--differs", "weather"), "'differs' must be a list of model"),
        (("-p", "bse", "a"), "did you mean 'base'"),
    ],
)
def test_what_cannot_be_compared_is_one_line(arguments, told):
    """With the remedy, and exit code 2."""
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert told in done.stderr
    assert done.stdout == ""


def test_unlike_runs_exit_with_2(make_run):
    """The line says how to compare them all the same."""
    base, new = make_run("base"), make_run("new", model="other")
    done = invoke(base, new)
    assert done.exit_code == 2
    assert "UnlikeRuns" in done.stderr
    assert "--differs model" in done.stderr
    assert invoke(base, new, "--differs", "model").exit_code == 0


@pytest.mark.slow
def test_a_report_is_the_notebook_and_its_page(make_sides, tmp_path):
    """Executed by papermill on the same question, with every chart, and no path of this machine in it."""
    base, new = make_sides(3, factor=1.2, spread=0.003)
    done = invoke(*base, "vs", *new, "--fail-on", "mean itl +5%", "--report", tmp_path / "report")
    assert done.exit_code == 4
    page = (tmp_path / "report" / "compare_runs.html").read_text("utf-8")
    assert "Fails: mean itl +5%" in page
    executed = json.loads((tmp_path / "report" / "compare_runs.ipynb").read_text("utf-8"))
    pictures = [
        output
        for cell in executed["cells"]
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 8
