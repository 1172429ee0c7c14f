"""The charts of a sweep, each a builder `f(points) -> altair.Chart` whose title says what it found.

`points` is a list of `LoadPoint`, whoever measured them: a sweep's own, stored runs, other tools' files. Saturated
loads are drawn apart and enter no curve; what a source does not know is left out, and said.
"""

from benchkit.report.charts_sweep_front import pareto
from benchkit.report.charts_sweep_goodput import goodput
from benchkit.report.charts_sweep_output import throughput
from benchkit.report.charts_sweep_time import itl, latency, ttft

__all__ = ["goodput", "itl", "latency", "pareto", "throughput", "ttft"]
