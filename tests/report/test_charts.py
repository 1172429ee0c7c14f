"""Every chart of every kind of run: small, drawable by old Vega-Lite, legible in grey."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
import vl_convert

from benchkit.report import charts, renderer, theme

BUILDERS = [getattr(charts, name) for name in charts.__all__]
KINDS = {
    "usual": {},
    "single": {"n": 1, "rate": 1.0, "warmup_s": 0.0},
    "failed": {"n": 60, "outcome": "failed"},
    "short": {"n": 20},
    "empty": {"n": 0},
}


def _rows(spec: Any) -> int:
    return sum(len(rows) for rows in spec.get("datasets", {}).values())


def _titles(spec: Any) -> list[str]:
    """All titles and subtitles of a specification."""
    if isinstance(spec, list):
        return [title for part in spec for title in _titles(part)]
    if not isinstance(spec, dict):
        return []
    own = spec.get("title")
    told = [own] if isinstance(own, str) else []
    if isinstance(own, dict):
        subtitle = own.get("subtitle", [])
        told = [own["text"], *([subtitle] if isinstance(subtitle, str) else subtitle)]
    return told + [title for key in ("layer", "vconcat", "hconcat") for title in _titles(spec.get(key, []))]


def _lightness(colour: str) -> float:
    """CIE L* of an sRGB colour."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("build", BUILDERS, ids=charts.__all__)
def test_every_chart_is_drawn_of_every_run(make_run: Any, build: Any, kind: str) -> None:
    """A chart is compiled by the oldest Vega-Lite at hand, whatever is missing from the run."""
    spec = renderer.vega_lite(build(make_run(**KINDS[kind])))
    assert spec["$schema"].endswith("/v5.json")
    compiled = vl_convert.vegalite_to_vega(json.dumps(spec), vl_version=renderer.VEGA_LITE)
    assert compiled["marks"]


@pytest.mark.parametrize("build", BUILDERS, ids=charts.__all__)
def test_a_large_run_makes_a_small_chart(make_run: Any, build: Any) -> None:
    """20,000 requests are a few hundred points, far below Altair's limit of rows."""
    spec = renderer.vega_lite(build(make_run(20_000, rate=400.0, tokens=4)))
    assert 0 < _rows(spec) <= 2_100
    assert len(json.dumps(spec)) < 300_000


@pytest.mark.parametrize("build", BUILDERS, ids=charts.__all__)
def test_a_chart_asks_what_it_answers(run: Any, build: Any) -> None:
    """The title is a question, and somewhere under it stands how many values there are."""
    question, *under = _titles(renderer.vega_lite(build(run)))
    assert question.endswith("?")
    assert any(character.isdigit() for line in under for character in line)


def test_percentiles_that_the_sample_does_not_resolve_are_not_stated(make_run: Any) -> None:
    """With 20 requests no p95 is given; what it would take is."""
    told = " ".join(_titles(renderer.vega_lite(charts.ttft(make_run(20, warmup_s=0.0)))))
    assert "p95" not in told
    assert "p90 needs 36" in told


def test_both_curves_are_drawn_where_the_schedule_was_not_kept(make_run: Any) -> None:
    """Sent and due are one curve while they agree, and two when requests waited."""
    stored = make_run(401)
    assert len(_titles(renderer.vega_lite(charts.ttft(stored)))) == 2
    late = stored.requests.assign(scheduled_ns=stored.requests["scheduled_ns"] - 50_000_000)
    stored.__dict__["requests"] = late
    assert len(_titles(renderer.vega_lite(charts.ttft(stored)))) == 3


@pytest.mark.parametrize("config", [theme.CONFIG, theme.DARK], ids=["light", "dark"])
@pytest.mark.parametrize("palette", ["category", "ordinal"])
def test_neighbouring_colours_differ_in_grey(config: dict[str, Any], palette: str) -> None:
    """Two colours that lie side by side are at least 15 of 100 steps of lightness apart."""
    for one, other in pairwise(config["range"][palette]):
        assert abs(_lightness(one) - _lightness(other)) >= 15
