"""Boundaries of objectives among measured points."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchkit.analysis.boundary_points import boundary_of, samples_of
from benchkit.analysis.points import LoadPoint
from benchkit.objectives import parse
from benchkit.records.chunks import Chunks

ARTICLE = [(1.04, 25.5), (1.60, 25.4), (2.19, 27.9), (2.75, 38.9), (3.32, 38.6), (3.89, 71.1), (4.43, 75.3),
           (4.98, 90.7)]  # fmt: skip


def stated(rate, p99, **more):
    """A point without requests."""
    whole = {
        "metrics": {"ttft_ms": {"p99": p99, "mean": p99 / 3}},
        "rates": {"requests_per_s": {"value": rate}},
    }
    summary = {"requests": {"ok": round(30 * rate), "failed": 0, "shed": 0}, "windows": {"whole": whole}}
    return LoadPoint(
        **{"name": f"{rate}", "load": "constant", "summary": summary, "rate": rate * 1.07, **more}
    )


def recorded(rate, ttft_ms, *, repeats=1, load="poisson"):
    """A point whose requests came evenly, one after the other, in so many repeats with a hole between."""
    due = (np.arange(ttft_ms.size) * 1e9 / rate).astype(np.int64)
    length = int(ttft_ms.size / repeats / rate * 1e9)
    hole = 5_000_000_000
    windows = [
        {"start_ns": at * (length + hole), "end_ns": at * (length + hole) + length} for at in range(repeats)
    ]
    due += (np.arange(ttft_ms.size) // (ttft_ms.size // repeats)) * hole
    requests = pd.DataFrame(
        {"phase": "window", "outcome": "ok", "scheduled_ns": due, "sent_ns": due, "output_tokens": 2,
         "first_token_ns": due + (ttft_ms * 1e6).astype(np.int64)}
    )  # fmt: skip
    requests["last_token_ns"] = requests["end_ns"] = requests.first_token_ns + 10_000_000
    whole = {"start_ns": 0, "end_ns": windows[-1]["end_ns"]}
    summary = stated(rate, float(np.percentile(ttft_ms, 99))).summary
    offsets = np.zeros(ttft_ms.size + 1, dtype=np.int64)
    none = np.empty(0, dtype=np.int64)
    chunks = Chunks(
        offsets, none, none, none.astype(np.int32), np.zeros(ttft_ms.size, bool), none.astype(bool)
    )
    records = SimpleNamespace(
        manifest={"load": {"window": whole, "windows": windows}},
        requests=requests,
        chunks=chunks,
        summary=summary,
    )
    return LoadPoint(name=f"{rate}", load=load, summary=summary, rate=rate, records=records)


def exponential(rate, share, count, seed, bound=100.0):
    """TTFTs of which that share lies above the bound."""
    scale = bound / -np.log(share)
    return recorded(rate, np.random.default_rng(seed).exponential(scale, count))


def test_the_articles_sweep_is_interpolated():
    """p99 TTFT 75.3 ms at 4.43/s and 90.7 at 4.98/s: a bound of 80 ms is met up to 4.6/s, without an interval."""
    found = boundary_of([stated(*row) for row in reversed(ARTICLE)], parse("p99 ttft < 80ms"))
    assert found.rate == pytest.approx(4.43 + 0.55 * (80 - 75.3) / (90.7 - 75.3))
    assert round(found.rate, 1) == 4.6
    assert (found.low, found.high, found.resolved, found.extrapolated) == (None, None, False, False)
    assert "without an interval" in found.note
    assert found.elasticity_of == "p99 ttft"
    assert found.elasticity == pytest.approx(np.log(90.7 / 75.3) / np.log(4.98 / 4.43))


def test_means_are_interpolated_on_means():
    """The bound of a mean is found between the means."""
    found = boundary_of([stated(2.0, 60.0), stated(4.0, 120.0)], parse("mean ttft < 30ms"))
    assert found.rate == pytest.approx(3.0)


@pytest.mark.parametrize("bound", ["p99 ttft < 10ms", "p99 ttft < 1s"])
def test_nothing_is_said_where_nothing_crosses(bound):
    """Where all points meet, or none does, there is no boundary among them."""
    assert boundary_of([stated(*row) for row in ARTICLE], parse(bound)) is None


def test_a_saturated_point_does_not_enter():
    """A point in which requests piled up, or one at full throughput, is not taken for a steady load."""
    points = [stated(1.0, 50.0), stated(2.0, 500.0, saturated=True), stated(2.1, 600.0, load="throughput")]
    assert boundary_of(points, parse("p99 ttft < 80ms")) is None


def test_repeats_of_a_load_are_one_level():
    """Two points of one load count by their mean."""
    points = [stated(1.0, 50.0), stated(1.0, 70.0), stated(2.0, 100.0)]
    assert boundary_of(points, parse("p99 ttft < 80ms")).rate == pytest.approx(1.5)


def test_of_several_objectives_the_lowest_counts():
    """Objectives joined by "and" are met up to the lowest of their boundaries."""
    points = [stated(2.0, 60.0), stated(4.0, 120.0)]
    assert boundary_of(points, parse("p99 ttft < 90ms and mean ttft < 25ms")).rate == pytest.approx(2.5)


def test_points_with_requests_are_fitted():
    """From requests comes an interval, and the elasticity of the percentile that is bounded."""
    odds = {8.0: 0.02, 9.0: 0.035, 11.0: 0.08, 12.0: 0.12}
    points = [exponential(rate, share, 20_000, seed) for seed, (rate, share) in enumerate(odds.items())]
    found = boundary_of(points, parse("p95 ttft < 100ms"))
    assert found.method == "local logit fit"
    assert found.low < 9.8 < found.high
    assert found.resolved
    assert found.elasticity_of == "p95 ttft"
    assert found.elasticity > 0


def test_an_attainment_is_fitted_and_says_what_grows():
    """Attainment is a share of requests: 1 % more load brings so many per cent more misses."""
    points = [exponential(8.0, 0.02, 20_000, 1), exponential(12.0, 0.12, 20_000, 2)]
    found = boundary_of(points, parse("attainment(ttft < 100ms) > 95%"))
    assert found.elasticity_of == "misses"
    assert found.elasticity == pytest.approx(np.log(0.12 / 0.02) / np.log(12 / 8), rel=0.2)


def test_each_repeat_is_a_sample_at_its_own_rate():
    """The repeats of a run are told apart by its windows, and the hole between them is not time at load."""
    objective = parse("p95 ttft < 100ms")
    point = recorded(10.0, np.random.default_rng(0).exponential(30.0, 4_000), repeats=4)
    samples = samples_of(point, [objective])[objective]
    assert [sample.count for sample in samples] == [1_000] * 4
    assert [sample.rate for sample in samples] == pytest.approx([10.0] * 4)
    assert samples[0].allowed == pytest.approx(0.05)
