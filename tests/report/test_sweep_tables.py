"""The two tables of a sweep, and its words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchkit.analysis.points import LoadPoint
from benchkit.report import sweep_sections, sweep_tables

ARTICLE = """\
synchronous            0.47       1.00     122    608  2.11       –    –   24.7    24.8   25.2 *  8.20
throughput             5.37        141   1,374  6,876  26.4       –    –  1,713   1,608  3,794 *  96.4
constant 4.76/s        4.43       12.8   1,134  5,674  2.90       –    –   35.4    34.8   75.3 *  11.2
constant 5.37/s        4.98       15.3   1,275  6,380  3.08       –    –   37.3    35.9   90.7 *  11.9"""


def test_the_articles_stats_table(article: list[LoadPoint]) -> None:
    """Its rows, with what is unknown as a dash and each p99 marked as unresolved."""
    lines = sweep_tables.stats(article).text.splitlines()
    assert lines[0].split("  ")[-1] == "TPOT (ms)"
    assert lines[1].split()[:6] == ["load", "requests/s", "in", "flight", "output", "total"]
    for line in ARTICLE.splitlines():
        assert any(row.startswith(line) for row in lines), line
    assert lines[-2] == "* not resolved by its sample: a p99 needs 368 independent requests"
    assert lines[-1].startswith("Numbers of a table")


def test_the_info_table_says_what_was_run(make_point: Any) -> None:
    """When, how long, how many, how much; from records, where there are any."""
    one = make_point(rate=20.0)
    lines = sweep_tables.info([one]).text.splitlines()
    cells = lines[2].split()
    assert cells[:5] == ["poisson", "20/s", "00:00:01", "00:00:21", "20.0"]
    assert cells[5] == str(one.count)
    assert cells[8] == "200"
    assert cells[-1] == one.summary["validity"]["verdict"]


def test_settings_are_the_key_of_one_table(grid_points: list[LoadPoint]) -> None:
    """Every setting that varies is a column, and every load of every setting is a row."""
    for section in (sweep_tables.info(grid_points), sweep_tables.stats(grid_points)):
        lines = section.text.splitlines()
        assert lines[1].startswith("max_num_seqs  load")
        assert [line.split()[0] for line in lines[2:8]] == ["8", "8", "8", "32", "32", "32"]
        assert "<th>max_num_seqs</th>" in section.html


def test_a_saturated_load_says_so(sweep_points: list[LoadPoint]) -> None:
    """A dagger at its name and a line at the foot, and in no other row."""
    lines = sweep_tables.stats(sweep_points).text.splitlines()
    assert [line.split("  ")[0] for line in lines if "†" in line] == ["poisson 90/s †", lines[-1]]
    assert lines[-1].startswith("† saturated")


def test_the_frame_has_every_number_unrounded(sweep_points: list[LoadPoint]) -> None:
    """One row a point, in the order of the tables."""
    table = sweep_tables.frame(sweep_points)
    assert list(table["load"])[:2] == ["synchronous", "throughput"]
    assert list(table["ttft_ms.p99"]) == [one.statistic("ttft_ms", "p99") for one in sweep_points]
    assert list(table["requests_per_s"]) == [one.requests_per_s for one in sweep_points]


def test_notes_stand_once_with_the_loads_that_they_are_about(sweep_points: list[LoadPoint]) -> None:
    """A note of one load names it; one of all loads names none."""
    noted = [replace(one, notes=("for all",)) for one in sweep_points]
    noted[0] = replace(noted[0], notes=("for all", "for one"))
    lines = sweep_tables.stats(noted).text.splitlines()
    assert lines[-2:] == ["for all", "synchronous: for one"]


def test_what_others_wrote_is_shown_as_text(sweep_points: list[LoadPoint]) -> None:
    """Markup in a setting or a note is escaped, and no control character reaches a terminal."""
    evil = replace(sweep_points[2], cell={"<b>": "<script>\x1b[31m"}, notes=("<img src=x>\x07",))
    for section in (
        sweep_tables.info([evil]),
        sweep_tables.stats([evil]),
        sweep_sections.objectives([evil]),
        sweep_sections.found([evil, replace(evil, cell={})]),
    ):
        assert "<script>" not in section.html
        assert "<img" not in section.html
        assert "<b>" not in section.html
        assert "\x1b" not in section.text
        assert "\x07" not in section.text


def test_no_points_make_no_table() -> None:
    """An empty sweep says so everywhere."""
    assert sweep_tables.info([]).text == "0 points."
    assert sweep_tables.stats([]).html == "<p>0 points.</p>"
    assert sweep_sections.found([]).text == "0 loads were measured."
    assert "No objectives" in sweep_sections.objectives([]).text


def test_what_was_found_in_the_article(article: list[LoadPoint]) -> None:
    """The most, the knee, and up to where the objective held; no load resolves it."""
    lines = sweep_sections.found(article, ["p99 ttft < 80ms"]).text.splitlines()
    held = "held as measured up to 4.43 requests/s (75.3 ms), not at 4.98 (90.7 ms)"
    assert lines == [
        "at most 5.37 requests/s, 1,374 output tokens/s (throughput)",
        "knee at about 15.3 requests in flight and 4.98 requests/s: beyond it, waiting grows faster than output",
        f"p99 ttft < 80ms: {held}; undecided at 9 of 9 loads",
    ]


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ("1s", "held at every steady load, up to 4.98 requests/s (90.7 ms)"),
        ("20ms", "not held at the lowest of these loads"),
    ],
)
def test_an_objective_that_no_load_crosses(article: list[LoadPoint], bound: str, told: str) -> None:
    """Met by all or by none: then no crossing is told."""
    assert told in sweep_sections.found(article, [f"p99 ttft < {bound}"]).text


def test_each_load_is_judged_by_each_objective(sweep_points: list[LoadPoint]) -> None:
    """As the run itself was judged; why one is undecided stands below."""
    section = sweep_sections.objectives(sweep_points)
    rows = section.text.splitlines()[1 : 1 + len(sweep_points)]
    for row, one in zip(rows, sweep_points, strict=True):
        for judged in one.summary["slo"]:
            assert judged["verdict"] in row
    assert "p99 ttft < 100ms is undecided at" in section.text


def test_reasons_against_the_numbers_stand_once(sweep_points: list[LoadPoint]) -> None:
    """Each with all the loads that it is about."""
    text = sweep_sections.verdicts(sweep_points).text
    assert text.startswith("verdicts of 6 loads: ")
    whats = [reason["what"] for one in sweep_points for reason in one.summary["validity"]["reasons"]]
    for what in set(whats):
        assert text.count(f"- {what} (") <= 2


class _Sweep:
    """What the sections read of a sweep."""

    def __init__(self, points: list[LoadPoint]) -> None:
        self.points = points
        self.remarks = [("50 requests/s", "failed; <refused>")]
        self.manifest = {
            "created": "2026-01-01T00:00:00+00:00",
            "benchkit_version": "0.1.0",
            "parameters": {"url": "http://127.0.0.1:1", "rates": [10, 30], "api_key_env": "KEY"},
            "cells": [{"number": 0, "settings": {}}],
            "points": [{"label": "<i>"}],
        }


def test_a_sweep_says_how_to_run_it_again(sweep_points: list[LoadPoint]) -> None:
    """Parameters as YAML, and the two lines that take them."""
    text = sweep_sections.again(_Sweep(sweep_points)).text
    assert "# The sweep of 2026-01-01" in text
    assert "rates:\n- 10\n- 30\n" in text
    assert "benchkit sweep -f again.yaml" in text
    assert "papermill notebooks/sweep.ipynb outputs/again.ipynb -f again.yaml" in text


def test_a_sweeps_record_names_machine_and_server(sweep_points: list[LoadPoint]) -> None:
    """What each run's manifest knows of the machine stands in the sweep's once."""
    section = sweep_sections.manifest(_Sweep(sweep_points))
    assert "a processor" in section.html
    assert "<i>" not in section.html


def test_remarks_are_escaped(sweep_points: list[LoadPoint]) -> None:
    """A server's own words in an error stay words."""
    section = sweep_sections.remarks(_Sweep(sweep_points))
    assert section.text == "50 requests/s: failed; <refused>"
    assert "&lt;refused&gt;" in section.html
