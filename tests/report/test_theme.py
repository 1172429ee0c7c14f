"""Colours that stay apart: in grey, for eyes without red or green cones, on white and on black."""

from __future__ import annotations

from itertools import combinations, pairwise

import altair as alt
import numpy as np
import pandas as pd
import pytest

from benchkit.report import renderer, theme

# Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision deficiency", 2009:
# severity 1, in linear RGB.
EYES = {
    "all cones": np.eye(3),
    "no red cones": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no green cones": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.95047, 1.0, 1.08883])
PALETTES = {"light": theme.LIGHT_PALETTE, "dark": theme.DARK_PALETTE}
PAGES = {"light": "#ffffff", "dark": "#0d1117"}
RANGES = ["series", "stages", "judged", "heat"]
SEEN_APART = 15.0
GREY_APART = 12.0


def _linear(colour):
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def _lab(colour, eye="all cones"):
    """CIE L*a*b* of an sRGB colour as an eye sees it."""
    xyz = TO_XYZ @ np.clip(EYES[eye] @ _linear(colour), 0, 1) / WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _contrast(one, other):
    """As WCAG 2 has it."""
    low, high = sorted(0.05 + float(TO_XYZ[1] @ _linear(colour)) for colour in (one, other))
    return high / low


def test_lightness_is_that_of_cie():
    """White is 100, black 0, and sRGB's red 53.2."""
    assert [_lab(colour)[0] for colour in ("#ffffff", "#000000", "#ff0000")] == pytest.approx(
        [100, 0, 53.2], abs=0.1
    )


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("page", PALETTES)
@pytest.mark.parametrize("eye", EYES)
def test_colours_stay_apart_for_every_eye(name, page, eye):
    """Any two of a range are 15 units of L*a*b* apart, where about 2 can just be seen."""
    for one, other in combinations(getattr(PALETTES[page], name), 2):
        assert np.linalg.norm(_lab(one, eye) - _lab(other, eye)) >= SEEN_APART


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("page", PALETTES)
def test_colours_stay_apart_in_grey(name, page):
    """Any two of the first four of a range, and neighbours beyond, differ in lightness: the chart prints in grey."""
    colours = getattr(PALETTES[page], name)
    for one, other in [*combinations(colours[:4], 2), *pairwise(colours)]:
        assert abs(_lab(one)[0] - _lab(other)[0]) >= GREY_APART


@pytest.mark.parametrize("page", PALETTES)
def test_text_is_legible(page):
    """At WCAG's 4.5 to 1 on its page; of the grey and red that both pages share, at 3 to 1, as marks need."""
    colours = PALETTES[page]
    assert all(_contrast(ink, PAGES[page]) >= 4.5 for ink in (colours.ink, colours.quiet))
    assert all(_contrast(ink, PAGES[page]) >= 3 for ink in (theme.MARK, theme.FAINT))
    for ink, below in zip(theme.ON_HEAT, colours.heat, strict=True):
        assert _contrast(ink, below) >= 4.5


def test_light_and_dark_say_the_same():
    """Only colours differ: a page laid over the other moves nothing."""

    def shape(told):
        if isinstance(told, dict):
            return {key: shape(value) for key, value in told.items()}
        if isinstance(told, list):
            return [shape(each) for each in told]
        return "colour" if isinstance(told, str) and told.startswith(("#", "transparent")) else told

    assert shape(theme.CONFIG) == shape(theme.DARK)


def _chart():
    return alt.Chart(pd.DataFrame({"x": [1, 2], "y": [1, 2]})).mark_line().encode(x="x:Q", y="y:Q")


def test_altair_knows_the_theme():
    """Once charts are made to show, any chart of the kernel has it, and its own wishes stay."""
    before = alt.renderers.active, alt.theme.active
    renderer.enable()
    try:
        assert alt.theme.active == theme.NAME
        spec = _chart().to_dict()
    finally:
        alt.renderers.enable(before[0])
        alt.theme.enable(before[1])
    assert spec["config"]["range"]["category"] == list(theme.LIGHT_PALETTE.series)
    own = renderer.vega_lite(_chart().configure_axis(labelFontSize=20))
    assert own["config"]["axis"]["labelFontSize"] == 20
    assert own["config"]["axis"]["labelColor"] == theme.QUIET
    assert own["config"]["view"]["continuousWidth"] == theme.WIDTH
