"""The charts of a capacity analysis, each a builder `f(found) -> altair.Chart` whose title says what it found.

`found` is what `capacity_report.capacity` gave.
"""

from benchkit.report.charts_capacity import sensitivity, servers
from benchkit.report.charts_fleet import over_time, smaller
from benchkit.report.charts_limits import boundary, limits

__all__ = ["boundary", "limits", "over_time", "sensitivity", "servers", "smaller"]
