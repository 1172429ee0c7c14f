"""What the chart builders give, and the chart for when there is nothing to draw."""

from __future__ import annotations

import altair as alt
import pandas as pd

from benchkit.report import theme
from benchkit.report.titles import headed

Drawing = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart | alt.VConcatChart
"""A chart as a builder of `benchkit.report.charts` returns it."""


def nothing(finding: str, why: str) -> Drawing:
    """That there is nothing to see and why, rather than an empty frame."""
    text = alt.Chart(pd.DataFrame({"text": [why]})).mark_text(fontSize=13).encode(text="text:N")
    return alt.layer(text).properties(width=theme.WIDTH, height=60, title=headed(finding))
