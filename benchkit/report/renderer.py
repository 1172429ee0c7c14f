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
_NAME: Final = theme.NAME
_SCALE: Final = 1.5
_DEFAULT_VIEW: Final = {"continuousWidth": 300, "continuousHeight": 300}
"""What Altair's own theme says of each chart: nobody's wish."""


@alt.theme.register(theme.NAME, enable=False)
def _theme() -> alt.theme.ThemeConfig:
    return {"config": theme.CONFIG}  # type: ignore[typeddict-item]


def vega_lite(chart: alt.TopLevelMixin | dict[str, Any]) -> dict[str, Any]:
    """The chart as a Vega-Lite 5 specification with benchkit's theme in its `config`.

    What the chart configures itself stays.
    """
    spec: dict[str, Any] = dict(chart) if isinstance(chart, dict) else chart.to_dict()
    spec["$schema"] = _SCHEMA
    own = dict(spec.get("config") or {})
    own["view"] = {
        key: value for key, value in (own.get("view") or {}).items() if _DEFAULT_VIEW.get(key) != value
    }
    spec["config"] = _merged(theme.CONFIG, own)
    return spec


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both, where they are of one mind or speak of different things; else what lies above."""
    found = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            found[key] = _merged(below[key], above[key])
    return found


def png(chart: alt.TopLevelMixin | dict[str, Any], scale: float = _SCALE) -> bytes:
    """The chart as a PNG, drawn without a browser and without a network."""
    drawn: bytes = vl_convert.vegalite_to_png(
        json.dumps(vega_lite(chart)), vl_version=VEGA_LITE, scale=scale, allowed_base_urls=[]
    )
    return squeeze(drawn)


def title_of(spec: dict[str, Any]) -> str:
    """A specification's title in one line; empty where it has none."""
    title = spec.get("title") or ""
    text = title.get("text", "") if isinstance(title, dict) else title
    return text if isinstance(text, str) else " ".join(map(str, text))


def bundle(spec: dict[str, Any], **_: Any) -> dict[str, Any]:
    """What a notebook stores of a chart, by MIME type; the form that Altair asks of a renderer."""
    drawn = vega_lite(spec)
    text = title_of(drawn)
    return {
        MIME: drawn,
        "image/png": base64.b64encode(png(drawn)).decode("ascii"),
        "text/plain": f"Chart: {text}" if text else "Chart",
    }


def enable() -> None:
    """Make every Altair chart of this kernel show as that bundle, in benchkit's theme."""
    alt.renderers.register(_NAME, bundle)
    alt.renderers.enable(_NAME)
    alt.theme.enable(theme.NAME)
