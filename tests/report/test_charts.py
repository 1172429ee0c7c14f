"""Every chart of every kind of run: small, drawable by old Vega-Lite, with what was found in its title."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
import vl_convert

from benchkit.report import charts, frames, renderer

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
        told = [renderer.title_of(spec), *([subtitle] if isinstance(subtitle, str) else subtitle)]
    return told + [title for key in ("layer", "vconcat", "hconcat") for title in _titles(spec.get(key, []))]


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
@pytest.mark.parametrize("kind", KINDS)
def test_a_title_says_what_was_found(make_run: Any, build: Any, kind: str) -> None:
    """It is a statement on two lines at most, and somewhere on the chart stands a number."""
    run = make_run(**KINDS[kind])
    target = Watched(run, _said(10, [0, 1])) if build is charts.server else run
    spec = renderer.vega_lite(build(target))
    finding, *under = _titles(spec)
    assert not finding.endswith(("?", "."))
    assert len(finding) <= 161
    if build is charts.client_map:
        # A run without workers has no place on a map, and no count of values.
        return
    told = [
        finding,
        *under,
        *(row["text"] for rows in spec["datasets"].values() for row in rows if "text" in row),
    ]
    assert any(character.isdigit() for line in told for character in line)


def test_the_titles_of_a_usual_run(run: Any) -> None:
    """Each is computed from the run's requests: 40 ms and a gamma of two times 10 ms until the first token."""
    found = {build: renderer.title_of(renderer.vega_lite(build(run))) for build in BUILDERS}
    table = frames.measured(run)
    ttft = run.summary["windows"]["whole"]["metrics"]["ttft_ms"]
    assert found[charts.ttft].startswith(
        f"Of {ttft['count']} with a first token, half had it within {ttft['p50']:.1f} ms"
    )
    assert found[charts.timeline].startswith("Requests spent their time")
    assert found[charts.client].startswith("The client was never more than")
    worst = float(table[["lateness_ms", "pickup_lag_ms"]].max().max())
    assert float(found[charts.client].split("than ")[1].split(" ms")[0]) == pytest.approx(worst, abs=0.05)
    assert "did not clearly change" in found[charts.slowing] or "Too few" in found[charts.slowing]
    assert "tokens/s came out" in found[charts.throughput]


def test_the_titles_of_a_failed_run(make_run: Any) -> None:
    """None of them tells of times as if requests had been answered."""
    failed = make_run(**KINDS["failed"])
    assert renderer.title_of(renderer.vega_lite(charts.latency(failed))) == "No answer was whole"
    assert renderer.title_of(renderer.vega_lite(charts.timeline(failed))) == "60 of 60 requests shown failed"


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
    """Requests of engines behind one address are added up, their caches' use is averaged; the title tells the queue."""
    spec = renderer.vega_lite(charts.server(Watched(run, _said(10, [0, 0, 3, 6]))))
    assert _titles(spec)[0] == "Up to 12 requests waited in the server, some in 50 % of 20 readings"
    (counts,) = (rows for rows in spec["datasets"].values() if "state" in rows[0])
    assert {row["value"] for row in counts if row["state"] == "running"} == {8.0}
    (usage,) = (rows for rows in spec["datasets"].values() if "percent" in rows[0])
    assert {row["percent"] for row in usage} == {25.0}


def test_hours_of_readings_make_a_small_chart(run: Any) -> None:
    """Readings near one another are drawn as one, and the longest queue is still seen."""
    spec = renderer.vega_lite(charts.server(Watched(run, _said(7_200, [0] * 100 + [9]))))
    assert _rows(spec) < 1_500
    (counts,) = (rows for rows in spec["datasets"].values() if "state" in rows[0])
    assert max(row["value"] for row in counts if row["state"] == "waiting") == 18
