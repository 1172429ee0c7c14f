"""What a notebook stores of a chart."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import altair as alt
import pandas as pd
import pytest
import vl_convert

from benchkit.report import charts, renderer
from benchkit.report.png import squeeze


def _pixels(png: bytes) -> tuple[bytes, bytes]:
    """Header and decompressed data of a PNG."""
    at, data, head = 8, b"", b""
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(kind + body),)
        at += 12 + length
        head, data = (body, data) if kind == b"IHDR" else (head, data + body if kind == b"IDAT" else data)
    return head, zlib.decompress(data)


def test_a_chart_is_stored_as_vega_lite_picture_and_text(run: Any) -> None:
    """No HTML, which wins over all others and is blank in an untrusted notebook."""
    before = alt.renderers.active, alt.theme.active
    renderer.enable()
    try:
        bundle = charts.ttft(run)._repr_mimebundle_()
    finally:
        alt.renderers.enable(before[0])
        alt.theme.enable(before[1])
    assert set(bundle) == {renderer.MIME, "image/png", "text/plain"}
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"].startswith("Chart: Of 352 with a first token, half had it within")


def test_a_squeezed_picture_is_smaller_and_the_same() -> None:
    """Only the compression differs, and every check sum holds."""
    chart = alt.Chart(pd.DataFrame({"x": range(50), "y": range(50)})).mark_line().encode(x="x:Q", y="y:Q")
    drawn = vl_convert.vegalite_to_png(renderer.vega_lite(chart), vl_version=renderer.VEGA_LITE)
    assert len(squeeze(drawn)) < len(drawn)
    assert _pixels(squeeze(drawn)) == _pixels(drawn)


def test_only_pictures_are_squeezed() -> None:
    """Other bytes are refused, not mangled."""
    with pytest.raises(ValueError, match="not a PNG"):
        squeeze(b"GIF89a")
