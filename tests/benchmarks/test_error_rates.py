"""The published error rates are those of the functions that decide."""

import numpy as np
import pytest
from error_rates import Cell, cells, count, doctor, draw, judge, missed
from published import write_between

from benchkit.analysis.difference import decide, difference


@pytest.mark.parametrize("correlation", [None, 0.5])
@pytest.mark.parametrize("direction", ["rise", "drop"])
def test_thousands_at_once_decide_as_one_does(correlation, direction):
    """The vectorised rule that is counted agrees with ``decide`` and ``differs`` trial by trial."""
    cell = Cell(correlation, 5, 0.04, direction, 0.15)
    base, new = draw(cell, 200, np.random.default_rng(5), "lognormal")
    fail, passed, differs = judge(base, new, paired=correlation is not None, direction=direction)
    one = [difference(*pair, paired=correlation is not None) for pair in zip(base, new, strict=True)]
    assert [decide(each, 0.10, direction) for each in one] == [
        "fail" if f else "pass" if p else "inconclusive" for f, p in zip(fail, passed, strict=True)
    ]
    assert [each.differs() for each in one] == differs.tolist()
    assert 0.4 < fail.mean() < 0.95


def test_inference_doctor_is_reproduced():
    """Its rule has the error rates that it publishes: 5 runs, CV 4 %, a drop of 15 % fails in 65 %, of 20 % in 99 %."""
    rng = np.random.default_rng(6)
    for change, published in ((0.15, 0.65), (0.20, 0.99)):
        cell = Cell(None, 5, 0.04, "drop", change)
        assert doctor(*draw(cell, 4000, rng, "normal"), "drop").mean() == pytest.approx(published, abs=0.02)


def test_a_few_trials_meet_the_goals_that_they_can_tell():
    """Without a change hardly anything fails; a large one is found; a rise of 15 % is harder to see than a drop."""
    rng = np.random.default_rng(7)
    none, rise, drop = (
        count(Cell(None, 5, 0.04, direction, change), 2000, rng)
        for direction, change in (("rise", 0.0), ("rise", 0.15), ("drop", 0.15))
    )
    assert none.fail == 0
    assert 0.03 < none.differs < 0.065
    assert rise.fail < drop.fail - 0.1


def test_a_missed_goal_is_named():
    """A cell that alarms too often is named."""
    found = {cell: count(cell, 10, np.random.default_rng(8)) for cell in cells()}
    cell = Cell(None, 3, 0.01, "rise", 0.0)
    found[cell] = found[cell]._replace(fail=0.07)
    assert any(f"{cell}: fails 7.00%" in text for text in missed(found))


def test_tables_go_between_markers(tmp_path):
    """A table replaces what stood between its markers, and nothing else."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- x -->\nold\n<!-- /x -->\nafter\n")
    write_between(page, "x", "new")
    assert page.read_text() == "before\n<!-- x -->\n\nnew\n\n<!-- /x -->\nafter\n"
    with pytest.raises(ValueError, match="has no"):
        write_between(page, "y", "new")
