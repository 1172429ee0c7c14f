"""What the chart builders give, and the chart for when there is nothing to draw."""

from __future__ import annotations

import altair as alt
import pandas as pd

from benchkit.report import theme

Drawing = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart | alt.VConcatChart
"""A chart as a builder of `benchkit.report.charts` returns it."""


def nothing(title: str, why: str) -> Drawing:
    """The question and why it has no answer, rather than an empty frame."""
    text = alt.Chart(pd.DataFrame({"text": [why]})).mark_text(fontSize=13).encode(text="text:N")
    return alt.layer(text).properties(width=theme.WIDTH, height=60, title=title)
