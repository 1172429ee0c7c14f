"""The charts of a comparison, each a builder `f(found) -> altair.Chart` that answers the question in its title.

`found` is what `benchkit.compare` gave.
"""

from benchkit.report.charts_compare import changes, runs
from benchkit.report.charts_shift import distributions, shift

__all__ = ["changes", "distributions", "runs", "shift"]
