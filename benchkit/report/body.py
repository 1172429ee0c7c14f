"""A notebook's prose and outputs as HTML in which nothing can run; charts are places and specifications."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import bleach  # type: ignore[import-untyped]
import nbformat
from nbconvert import HTMLExporter
from traitlets.config import Config

from benchkit.report.renderer import MIME

HIDDEN: Final = "hide-in-report"
"""Tag of cells that a report leaves out, since its frame says the same."""

_TAGS: Final = frozenset(
    [
        "a",
        "abbr",
        "b",
        "blockquote",
        "br",
        "code",
        "dd",
        "del",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "kbd",
        "li",
        "ol",
        "p",
        "pre",
        "progress",
        "q",
        "s",
        "samp",
        "section",
        "small",
        "span",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "u",
        "ul",
        "var",
    ]
)
_ATTRIBUTES: Final = {
    "*": ["class", "id", "title"],
    "a": lambda _tag, name, value: name == "href" and value.startswith(("#", "http://", "https://")),
    # A picture is in the page or nowhere: an address would be asked for.
    "img": lambda _tag, name, value: (
        name in {"alt", "width", "height"} or (name == "src" and value.startswith("data:image/"))
    ),
    "progress": ["value", "max"],
    "td": ["colspan", "rowspan"],
    "th": ["colspan", "rowspan", "scope"],
}
_PROTOCOLS: Final = frozenset({"http", "https", "data"})
_CODE: Final = re.compile(r"<(script|style)\b.*?(</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Body:
    """What a notebook shows, for the inside of a page."""

    html: str
    """Chart i has its place at the element with the id `bk-chart-i`."""
    charts: tuple[dict[str, Any], ...]
    """Vega-Lite specifications, in order."""


def body(notebook: nbformat.NotebookNode) -> Body:
    """The notebook without its inputs; scripts, styles, forms and frames of its outputs are taken out."""
    copy = deepcopy(notebook)
    charts: list[dict[str, Any]] = []
    for cell in copy.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data")
            if data and MIME in data:
                label = escape(str(data.get("text/plain", "Chart")))
                output["data"] = {
                    "text/html": f'<div class="bk-chart" id="bk-chart-{len(charts)}" title="{label}"></div>'
                }
                charts.append(data[MIME])
    exporter = HTMLExporter(config=_settings())  # type: ignore[no-untyped-call]
    html, _ = exporter.from_notebook_node(copy)
    return Body(_inert(html), tuple(charts))


def _inert(html: str) -> str:
    cleaned: str = bleach.clean(
        _CODE.sub("", html),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        protocols=_PROTOCOLS,
        strip=True,
        strip_comments=True,
    )
    return cleaned


def _settings() -> Config:
    settings = Config()
    settings.HTMLExporter.template_name = "basic"
    settings.HTMLExporter.exclude_input = True
    settings.HTMLExporter.exclude_input_prompt = True
    settings.HTMLExporter.exclude_output_prompt = True
    settings.HTMLExporter.exclude_anchor_links = True
    settings.HTMLExporter.mathjax_url = ""
    settings.HTMLExporter.require_js_url = ""
    settings.HTMLExporter.jquery_url = ""
    settings.TagRemovePreprocessor.enabled = True
    settings.TagRemovePreprocessor.remove_cell_tags = (HIDDEN,)
    settings.HTMLExporter.preprocessors = ["nbconvert.preprocessors.TagRemovePreprocessor"]
    return settings
