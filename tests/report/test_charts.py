"""Every chart of every kind of run: small, drawable by old Vega-Lite, legible in grey."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pandas as pd
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
    target = Watched(run, _said(10, [0, 1])) if build is charts.server else run
    question, *under = _titles(renderer.vega_lite(build(target)))
    assert question.endswith("?")
    if build is charts.client_map:
        # A run without workers has no place on a map, and no count of values.
        return
    assert any(character.isdigit() for line in under for character in line)


def test_percentiles_that_the_sample_does_not_resolve_are_not_stated(make_run: Any) -> None:
    """With 20 requests no percentile is given."""
    told = " ".join(_titles(renderer.vega_lite(charts.ttft(make_run(20, warmup_s=0.0)))))
    assert "p95" not in told
    assert "p50 not resolved" in told


def test_both_curves_are_drawn_where_the_schedule_was_not_kept(make_run: Any) -> None:
    """Sent and due are one curve while they agree, and two when requests waited."""
    stored = make_run(401)
    curves = [line for line in _titles(renderer.vega_lite(charts.ttft(stored))) if "requests" in line]
    assert len(curves) == 1
    late = stored.requests.assign(scheduled_ns=stored.requests["scheduled_ns"] - 50_000_000)
    stored.__dict__["requests"] = late
    assert sum("requests" in line for line in _titles(renderer.vega_lite(charts.ttft(stored)))) == 2


class Watched:
    """A run with what its server said."""

    def __init__(self, run: Any, telemetry: pd.DataFrame) -> None:
        self.telemetry = telemetry
        for name in ("manifest", "summary", "requests", "chunks"):
            setattr(self, name, getattr(run, name))


def _said(seconds: int, waiting: list[int]) -> pd.DataFrame:
    """Readings of two engines behind one address, twice a second."""
    rows = [
        (at * 500_000_000, "server", name, labels, value)
        for at in range(2 * seconds)
        for labels in ('{"engine": "0"}', '{"engine": "1"}')
        for name, value in (
            ("vllm:num_requests_running", 4.0),
            ("vllm:num_requests_waiting", float(waiting[at % len(waiting)])),
            ("vllm:kv_cache_usage_perc", 0.25),
        )
    ]
    return pd.DataFrame(rows, columns=["time_ns", "source", "name", "labels", "value"])


def test_the_servers_queue_is_drawn_from_its_own_metrics(run: Any) -> None:
    """Engines behind one address are added up; the subtitle says how long the queue was, and how often."""
    spec = renderer.vega_lite(charts.server(Watched(run, _said(10, [0, 0, 3, 6]))))
    assert "at most 12 waited at once; some did in 50 % of 20 readings" in _titles(spec)
    (counts,) = (rows for rows in spec["datasets"].values() if "state" in rows[0])
    assert {row["value"] for row in counts if row["state"] == "running"} == {8.0}


def test_hours_of_readings_make_a_small_chart(run: Any) -> None:
    """Readings near one another are drawn as one, and the longest queue is still seen."""
    spec = renderer.vega_lite(charts.server(Watched(run, _said(7_200, [0] * 100 + [9]))))
    assert _rows(spec) < 1_500
    (counts,) = (rows for rows in spec["datasets"].values() if "state" in rows[0])
    assert max(row["value"] for row in counts if row["state"] == "waiting") == 18


@pytest.mark.parametrize("config", [theme.CONFIG, theme.DARK], ids=["light", "dark"])
@pytest.mark.parametrize("palette", ["category", "ordinal"])
def test_neighbouring_colours_differ_in_grey(config: dict[str, Any], palette: str) -> None:
    """Two colours that lie side by side are at least 15 of 100 steps of lightness apart."""
    for one, other in pairwise(config["range"][palette]):
        assert abs(_lightness(one) - _lightness(other)) >= 15
