"""The charts of a comparison: what they draw of sides whose difference is known."""

import re

import altair as alt
import pytest

from benchkit import compare
from benchkit.report import compare_charts as charts
from benchkit.report import renderer

GATES = ["mean itl +2%"]


@pytest.fixture
def slower(make_sides):
    """Four pairs, 8 % more between tokens."""
    return compare(*make_sides(4, factor=1.08, spread=0.003), fail_on=GATES)


def rows(chart, *columns):
    """All rows of a chart's data that have these columns."""
    told = renderer.vega_lite(chart)["datasets"].values()
    return [row for table in told for row in table if all(name in row for name in columns)]


def subtitle(chart):
    """The lines below a chart's title."""
    return " ".join(renderer.vega_lite(chart)["title"]["subtitle"])


def title(chart):
    """A chart's title, in one line."""
    return renderer.title_of(renderer.vega_lite(chart))


def test_titles_say_what_changed(slower):
    """Which numbers, by how much; how far the runs lie apart; both medians; which quantiles moved."""
    assert re.match(
        r"new is worse in \d of 10 numbers, most in .+, \+\d\.\d+ % \(", title(charts.changes(slower))
    )
    assert "every run of new lies apart from every run of base" in title(charts.runs(slower))
    assert re.match(
        r"Median time between tokens \S+ ms \(base\), 10\.\d ms \(new\)",
        title(charts.distributions(slower, "itl_ms")),
    )
    assert title(charts.shift(slower, "itl_ms")).startswith("The time between tokens rose at every quantile")


def test_titles_of_single_runs_decide_nothing(make_sides):
    """However large the difference."""
    single = compare(*make_sides(1, factor=1.3))
    assert (
        title(charts.changes(single)) == "A single run a side: whether new differs from base cannot be told"
    )
    assert title(charts.runs(single)).startswith("One run a side")
    assert title(charts.shift(single)).startswith("Nothing is decided of the time to first token")


def test_titles_of_equal_sides_claim_no_change(make_sides):
    """Runs of one server lie among each other."""
    same = compare(*make_sides(4, spread=0.003))
    assert title(charts.changes(same)).startswith("No number of new ")
    assert "clearly changed" in title(charts.shift(same, "itl_ms"))


def test_changes_are_drawn_with_their_intervals(slower):
    """Each number of the comparison is a row, its kind by what is known of it, with the gate beside it."""
    drawn = {row["name"]: row for row in rows(charts.changes(slower), "change", "kind")}
    assert list(drawn) == [each.number.text for each in slower.loads[0].numbers]
    assert drawn["mean itl"]["kind"] == "worse"
    assert drawn["mean itl"]["low"] < 8 < drawn["mean itl"]["high"]
    assert [row["at"] for row in rows(charts.changes(slower), "gate")] == [2.0]
    assert "grey: changes up to 5 %" in subtitle(charts.changes(slower))


def test_every_run_is_drawn_in_the_order_of_time(slower):
    """Runs were measured in turn, so both sides alternate; the base is 100 %."""
    drawn = [row for row in rows(charts.runs(slower), "at", "side") if row["number"] == "mean itl"]
    assert [row["side"] for row in drawn] == ["base", "new"] * 4
    assert sum(row["value"] for row in drawn if row["side"] == "base") / 4 == pytest.approx(100, abs=1)
    assert "joins the runs of a pair" in subtitle(charts.runs(slower))


def test_distributions_have_a_line_a_run_and_one_a_side(slower):
    """Shares rise from 0 to 1, and the slower side lies to the right."""
    drawn = rows(charts.distributions(slower, "itl_ms"), "share", "value")
    assert {row["run"] for row in drawn if row["side"] == "base"} == {
        "all",
        *(f"base-{at}" for at in range(4)),
    }
    middle = {
        row["side"]: row["value"]
        for row in drawn
        if row["run"] == "all" and row["share"] == pytest.approx(0.5)
    }
    assert middle["new"] / middle["base"] == pytest.approx(1.08, abs=0.02)


def test_a_shift_is_drawn_only_where_runs_have_values(slower):
    """All of a run's tokens were slower by as much; of 40 requests nothing beyond the 87th percentile is drawn."""
    drawn = {row["quantile"]: row for row in rows(charts.shift(slower, "itl_ms"), "quantile", "change")}
    assert all(row["low"] < 8 < row["high"] for name, row in drawn.items() if name in ("p30", "p50", "p80"))
    assert "p99" in drawn
    by_request = [row["quantile"] for row in rows(charts.shift(slower), "quantile", "change")]
    assert by_request[-1] == "p80"


def test_single_runs_are_drawn_without_bands(make_sides):
    """And say that nothing is decided."""
    single = compare(*make_sides(1))
    assert all(row["low"] is None for row in rows(charts.changes(single), "change", "kind"))
    assert all(row["low"] is None for row in rows(charts.shift(single), "quantile", "change"))
    assert "nothing is decided" in subtitle(charts.shift(single))


def test_loads_have_a_panel_each(make_run):
    """Two rates, two distributions."""
    sides = [
        [
            make_run(f"{side}-{rate}-{at}", seed=at, contents=place, rate=rate)
            for rate in (10.0, 20.0)
            for at in range(2)
        ]
        for place, side in enumerate(("base", "new"))
    ]
    found = compare(*sides)
    assert len(renderer.vega_lite(charts.distributions(found))["vconcat"]) == 2
    assert len(renderer.vega_lite(charts.shift(found))["vconcat"]) == 2


@pytest.mark.parametrize("builder", [charts.changes, charts.runs, charts.distributions, charts.shift])
def test_a_chart_is_a_picture(slower, builder):
    """Each becomes a PNG of some size, without a browser."""
    assert isinstance(builder(slower), alt.TopLevelMixin)
    assert len(renderer.png(builder(slower))) > 5_000
    assert builder.__doc__.split("\n", 1)[0].count("?") == 1
