"""The published coverage is that of the functions that make a summary's intervals, on the runs that are declared."""

from pathlib import Path

import numpy as np
import pytest
from coverage import Result, Row, Tally, cells, chunk, result, table
from coverage_cells import NAIVE, Cell, Truth, queue, series_cells
from coverage_servers import LOADS, runs_of

from benchkit.analysis.estimate import Estimate
from benchkit.analysis.intervals import SHARES, Depth

PAGE = (Path(__file__).parents[2] / "docs" / "methodology.md").read_text(encoding="utf-8")


def cell_of(repeats=1):
    """A cell of which only the name counts."""
    return Cell("a cell", 1_000, lambda seed, runs: iter(()), lambda: Truth({}, 1.0), repeats)


def tally_of(limits, truth):
    """What became of these intervals."""
    tally = Tally()
    for low, high in limits:
        tally.count(Estimate((low + high) / 2, low, high), truth)
    return tally


def test_an_interval_covers_what_lies_within_it():
    """Of three intervals and a refusal two hold the truth; the width is over the middle 95 % of the values."""
    tally = tally_of([(0.0, 2.0), (1.0, 3.0), (3.0, 5.0)], 1.5)
    tally.count(Estimate(9.0, note="not enough data"), 1.5)
    found = result("mean", tally, 4, cell_of(), worth=1_000.0)
    assert found.coverage == pytest.approx(200 / 3)
    assert found.refused == 0.25
    low, high = np.quantile([1.0, 2.0, 4.0, 9.0], [0.025, 0.975])
    assert found.width == pytest.approx(2.0 / (high - low))


@pytest.mark.parametrize(
    ("key", "coverage", "width", "admitted", "between", "fails"),
    [
        ("mean", 93.0, 1.25, True, False, False),
        ("mean", 92.9, 1.0, True, False, True),
        ("p99", 90.0, 1.0, True, False, False),
        ("p99", 89.9, 1.0, True, False, True),
        ("mean", 95.0, 1.26, True, False, True),
        ("mean", 95.0, 1.26, True, True, False),
        ("mean", 50.0, 2.0, False, False, False),
    ],
)
def test_an_admitted_entry_fails_below_its_goal_or_above_its_width(
    key, coverage, width, admitted, between, fails
):
    """93 % and 90 % for p99, at most 1.25 of an oracle's width but for few repeats; others are in brackets."""
    found = Result(coverage, 0.0, width, admitted, between)
    assert found.fails(key) is fails
    shown = found.shown(key)
    assert shown.startswith("**") is fails
    assert shown.startswith("(") is not admitted


def test_a_table_counts_what_fails_and_what_is_refused_all_the_same():
    """Both are named below it."""
    good, bad = Result(95.0, 0.0, 1.1, True, False), Result(80.0, 0.1, 1.0, True, False)
    silent = Result(None, 1.0, None, True, False)
    text = table([Row(cell_of(), "ttft_ms", 200.0, {"mean": good, "p50": bad, "p90": silent}, 42.0)])
    assert "| a cell, ttft_ms | 1,000 | 200 | 42 | 95.0 · 1.10 | **80.0 · 1.00 · 10 %** | refused |" in text
    assert "Of 3 admitted entries 1 reach their goals, 1 are refused all the same, and 1 fail" in text


def test_intervals_of_a_few_runs_cover_and_naive_ones_do_not():
    """40 queues of 5,000 requests at half load: nearly all intervals of the mean hold the truth, of naive ones half."""
    index = next(
        at for at, cell in enumerate(series_cells()) if (cell.name, cell.count) == ("M/G/1 load 0.5", 5_000)
    )
    # Pollaczek and Khinchine: a mean wait of a half, and a mean service of a half.
    truth = {"": {"mean": 1.0}}
    values = queue(0.5)(np.random.default_rng(4), 400_000)[0]
    truth[""] |= {key: float(np.quantile(values, SHARES[key])) for key in ("p50", "p90", "p95", "p99")}
    tallies = chunk((index, 5, 40, Truth(truth, 7.0)))[""]
    assert tallies["mean"].covered >= 34
    assert tallies["p90"].covered >= 34
    assert tallies[NAIVE].covered <= 28


def test_a_run_of_the_simulator_is_worth_what_its_window_holds():
    """About as many requests as are asked for, each with its times; all numbers have estimates."""
    run = next(runs_of(LOADS[0], 500, (1,), 1))
    assert 400 < run.in_flight.size < 600
    assert run.values["ttft_ms"].min() > 8.0 * 0.85
    told = run.estimates()
    assert set(told) == {"ttft_ms", "tpot_ms", "itl_ms", "output_tokens_per_s"}
    assert told["output_tokens_per_s"]["mean"].value == pytest.approx(48 * 16, rel=0.2)


def test_the_page_shows_every_declared_cell():
    """Each series and length has its row."""
    for cell in cells():
        assert f"| {cell.name}" in PAGE
        assert any(
            line.startswith(f"| {cell.name}") and f"| {cell.count:,} |" in line for line in PAGE.splitlines()
        )


def test_the_page_says_what_is_asked_of_a_run():
    """The numbers of independent values that a mean and each percentile need."""
    assert f"| mean, p50, rates | {Depth(1.0, 1.0).needed(None)} |" in PAGE
    for name, share in SHARES.items():
        if name != "p50":
            assert f"| {name.replace('_', '.')} | {Depth(1.0, 1.0).needed(share):,} |" in PAGE
