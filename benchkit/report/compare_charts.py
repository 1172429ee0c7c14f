"""The charts of a comparison, each a builder `f(found) -> altair.Chart` whose title says what it found.

`found` is what `benchkit.compare` gave.
"""

from benchkit.report.charts_compare import changes, runs
from benchkit.report.charts_shift import distributions, shift

__all__ = ["changes", "distributions", "runs", "shift"]
