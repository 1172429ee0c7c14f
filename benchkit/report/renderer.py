"""Charts as outputs that show everywhere: Vega-Lite 5 JSON, a PNG and text in one bundle, and no HTML.

Altair's own renderers are each blank somewhere: HTML in an untrusted notebook, SVG in JupyterLab, and their
Vega-Lite 6 wherever only version 5 is drawn. This bundle is interactive in JupyterLab, trusted or not, with a
network or without, and a picture in everything that knows no Vega-Lite.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final

import altair as alt
import vl_convert

from benchkit.report import theme
from benchkit.report.png import squeeze

MIME: Final = "application/vnd.vegalite.v5+json"
VEGA_LITE: Final = "5.8"
"""The version that draws PNGs and reports: of those at hand the nearest to JupyterLab's own, 5.6."""

_SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v5.json"
_NAME: Final = "benchkit"
_SCALE: Final = 1.5


def vega_lite(chart: alt.TopLevelMixin | dict[str, Any]) -> dict[str, Any]:
    """The chart as a Vega-Lite 5 specification with benchkit's theme in its `config`."""
    spec: dict[str, Any] = dict(chart) if isinstance(chart, dict) else chart.to_dict()
    spec["$schema"] = _SCHEMA
    own = {key: value for key, value in spec.get("config", {}).items() if key not in theme.CONFIG}
    spec["config"] = {**own, **theme.CONFIG}
    return spec


def png(chart: alt.TopLevelMixin | dict[str, Any], scale: float = _SCALE) -> bytes:
    """The chart as a PNG, drawn without a browser and without a network."""
    drawn: bytes = vl_convert.vegalite_to_png(
        json.dumps(vega_lite(chart)), vl_version=VEGA_LITE, scale=scale, allowed_base_urls=[]
    )
    return squeeze(drawn)


def bundle(spec: dict[str, Any], **_: Any) -> dict[str, Any]:
    """What a notebook stores of a chart, by MIME type; the form that Altair asks of a renderer."""
    drawn = vega_lite(spec)
    title = drawn.get("title")
    text = title.get("text") if isinstance(title, dict) else title
    return {
        MIME: drawn,
        "image/png": base64.b64encode(png(drawn)).decode("ascii"),
        "text/plain": f"Chart: {text}" if text else "Chart",
    }


def enable() -> None:
    """Make every Altair chart of this kernel show as that bundle."""
    alt.renderers.register(_NAME, bundle)
    alt.renderers.enable(_NAME)
