"""The charts of a run, each a builder `f(run) -> altair.Chart` whose title says what it found.

`run` is what `benchkit.run` or `benchkit.load_run` gave, or a stored run. Everything is aggregated before it
is drawn, so that a run of 100,000 requests makes charts as small as one of 100. `renderer.enable()` makes
them show in any notebook.
"""

from benchkit.report.charts_distribution import client, gaps, latency, ttft
from benchkit.report.charts_server import server
from benchkit.report.charts_time import slowing, throughput, timeline
from benchkit.report.client_place import client_map

__all__ = ["client", "client_map", "gaps", "latency", "server", "slowing", "throughput", "timeline", "ttft"]
