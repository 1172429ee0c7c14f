"""The table of drifts counts what it says it counts."""

from __future__ import annotations

import numpy as np
from steady_rates import CELLS, GROWTHS, count, table


def test_a_row_tells_rest_from_drift():
    """At half load batches hardly alarm at rest where a straight line often does, and a growth by 40 % is found."""
    found = count(0.5, 10_000, 40, np.random.default_rng(5))
    assert found.judged == 1.0
    assert found.alarms <= 0.05 < found.line
    assert found.found[0] < found.found[-1] >= 0.7


def test_what_is_not_judged_has_no_shares():
    """At a load that fills the run's length with one memory there is nothing to count but MSER-5's cuts."""
    found = count(0.95, 300, 8, np.random.default_rng(6))
    assert found.judged == 0.0
    row = table([(CELLS[0], found)], 8).splitlines()[-1]
    assert row.count("—") == 2 + len(GROWTHS)
