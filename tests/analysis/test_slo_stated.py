"""Verdicts on loads of any origin: by records, by stated statistics, and what neither can tell."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchkit.analysis.metrics import build_summary
from benchkit.analysis.points import LoadPoint
from benchkit.analysis.slo_stated import evaluate_point, evaluate_points, evaluate_stated, goodput_of
from benchkit.analysis.window import Window
from benchkit.objectives import parse

WINDOW = Window(0, 100_000_000_000)


def scattered(row):
    """2,000 requests, one each 50 ms, none of which meets another; TTFTs of 0.02 to 40 ms in an order of chance."""
    times = np.random.default_rng(2).permutation(2000) + 1
    return [row(50.0 * k, [(50.0 * k + t / 50, 1)]) for k, t in enumerate(times.tolist())]


def stated(metrics=None, rates=None, **requests):
    """A summary as another tool's file gives it."""
    return {
        "requests": requests,
        "windows": {"whole": {"metrics": metrics or {}, "rates": rates or {}}},
    }


def ttft(**statistics):
    """The same of a TTFT alone, with 1,000 ok requests."""
    return stated({"ttft_ms": statistics}, ok=1000)


@pytest.fixture
def point_of_rows(records):
    """A point with the records of some rows, and their summary by some objectives, which others may replace."""

    def make(rows, *, slo=(), summary=None):
        run = records(rows)
        made = build_summary(
            run.requests,
            run.chunks,
            window=WINDOW,
            objectives=[parse(text) for text in slo],
            load_facts={},
            parameters={},
        )
        manifest = {"load": {"window": {"start_ns": WINDOW.start_ns, "end_ns": WINDOW.end_ns}}}
        held = SimpleNamespace(
            manifest=manifest, requests=run.requests, chunks=run.chunks, summary=made, telemetry=None
        )
        return LoadPoint("a", "poisson", made if summary is None else summary, records=held)

    return make


@pytest.mark.parametrize(
    ("text", "summary", "verdict", "holds", "note"),
    [
        ("p99 ttft < 80ms", ttft(p99=75.3), "meets", True, "compared as stated"),
        ("p99 ttft < 80ms", ttft(p99=90.7), "fails", False, "compared as stated"),
        ("p99.9 ttft < 80ms", ttft(p99_9=75.3), "undecided", True, "its sample: 1000 of 3688 requests"),
        ("p99 ttft > 80ms", ttft(p99=75.3), "fails", False, "compared as stated"),
        ("p97 ttft < 80ms", ttft(p99=75.3), "undecided", None, "states no p97 of ttft"),
        ("p99 itl < 80ms", ttft(p99=75.3), "undecided", None, "states no p99 of itl"),
        ("p99 ttft < 80ms", ttft(p99=75.3, count=130), "undecided", True, "130 of 368 requests"),
        ("p99 ttft < 80ms", stated({"ttft_ms": {"p99": 75.3}}), "undecided", True, "does not say how many"),
        ("mean ttft < 80ms", ttft(mean=75.3), "meets", True, "compared as stated"),
        ("mean ttft < 80ms", ttft(mean=75.3, std=100.0), "undecided", True, "would leave 69.1 to 81.5 ms"),
        ("mean ttft < 80ms", ttft(mean=75.3, std=50.0), "meets", True, "compared as stated"),
        ("mean ttft < 80ms", ttft(), "undecided", None, "states no mean of ttft"),
        ("max ttft < 80ms", ttft(max=81), "fails", False, "compared as stated"),
        ("p99 ttft < 50ms + 1ms/token", ttft(p99=5.0), "undecided", None, "needs single requests"),
        ("attainment(ttft < 1s) > 9%", ttft(p99=5.0), "undecided", None, "needs single requests"),
        ("mean in_flight < 9", stated({"in_flight": {"mean": 4.0}}), "meets", True, "as stated"),
        ("requests_per_s > 4", stated(rates={"requests_per_s": {"value": 4.43}}), "meets", True, "a fact"),
        ("requests_per_s > 5", stated(rates={"requests_per_s": {"value": 4.43}}), "fails", False, "a fact"),
        ("goodput_per_s > 5", stated(), "undecided", None, "states no goodput_per_s"),
        ("error_rate < 5%", stated(ok=990, failed=10, shed=0), "meets", True, ""),
        ("error_rate < 1.1%", stated(ok=990, failed=10), "undecided", True, "its interval is"),
        ("shed_rate < 5%", stated(ok=990, failed=10), "undecided", None, "does not count shed"),
        ("error_rate < 5%", {}, "undecided", None, "does not count failed"),
        ("p99 ttft < 80ms", {}, "undecided", None, "states no p99"),
    ],
)
def test_stated_statistics_decide_what_their_count_allows(text, summary, verdict, holds, note):
    """A percentile needs its count, a mean its spread; what a source lacks is named and decides nothing."""
    found = evaluate_stated(parse(text), summary)
    assert (found.verdict, found.holds, found.text) == (verdict, holds, text)
    assert note in found.note
    assert found.ci95 is None or "rate" in text


def test_failed_requests_that_a_percentile_leaves_out():
    """20 of 1,000 failed: the p99 lies among them, whatever is stated; of 5 failed it can be as stated."""
    metrics = {"ttft_ms": {"p99": 50.0}}
    found = evaluate_stated(parse("p99 ttft < 80ms"), stated(metrics, ok=980, failed=15, shed=5))
    assert (found.verdict, found.value, found.holds) == ("fails", None, False)
    found = evaluate_stated(parse("p99 ttft < 80ms"), stated(metrics, ok=995, failed=5))
    assert (found.verdict, found.value) == ("meets", 50.0)
    assert "leaves out failed and shed requests: 5" in found.note
    assert evaluate_stated(parse("p99 ttft > 40ms"), stated(metrics, ok=980, failed=20)).verdict == "meets"


def test_all_of_several():
    """One that fails fails all, one that is undecided leaves all open; the note tells of each."""
    summary = stated({"ttft_ms": {"p99": 50.0, "mean": 20.0}}, ok=400)
    text = "p99 ttft < 80ms and mean ttft < {} and p90 latency < 1s"
    found = evaluate_stated(parse(text.format("10ms")), summary)
    assert (found.verdict, found.holds, found.value) == ("fails", False, None)
    found = evaluate_stated(parse(text.format("30ms")), summary)
    assert (found.verdict, found.holds) == ("undecided", None)
    assert "p99 ttft < 80ms: meets (50 ms, compared as stated)" in found.note
    assert evaluate_stated(parse("p99 ttft < 80ms and mean ttft < 30ms"), summary).verdict == "meets"


def test_records_are_judged_as_a_run_is(point_of_rows, row):
    """By records a verdict is the one in the run's summary, whatever else is asked."""
    rows = scattered(row)
    texts = ["p99 ttft < 80ms", "p99 ttft < 20ms", "attainment(ttft < 20ms) > 99%", "error_rate < 2%"]
    point = point_of_rows(rows, slo=texts)
    found = [each.as_dict() for each in evaluate_points([parse(text) for text in texts], point)]
    assert found == point.summary["slo"]
    assert [each["verdict"] for each in found] == ["meets", "fails", "fails", "meets"]


def test_a_summary_of_ours_without_its_records_keeps_its_verdicts(point_of_rows, row):
    """What was judged by records is not judged worse from the summary alone; half is 47 to 53 % or less sure."""
    rows = scattered(row)
    texts = [
        "attainment(ttft < 20ms) > 99%",
        "p99 ttft < 80ms and attainment(ttft < 90ms) > 90%",
        "p98 ttft < 80ms",
    ]
    summary = point_of_rows(rows, slo=texts).summary
    found = [evaluate_stated(parse(text), summary) for text in texts]
    assert [each.as_dict() for each in found] == summary["slo"]
    assert [each.holds for each in found] == [False, True, True]
    assert found[0].ci95[0] < 0.48 < 0.52 < found[0].ci95[1]


def test_what_records_do_not_hold_is_taken_as_stated(point_of_rows, row):
    """A file with single requests but no times of their tokens still states an ITL; its rates are its own."""
    rows = [row(10.0 * k, [], end=10.0 * k + 50) for k in range(1, 401)]
    summary = stated({"itl_ms": {"p99": 11.9}}, {"requests_per_s": {"value": 4.98}}, ok=400)
    point = point_of_rows(rows, summary=summary)
    assert evaluate_point(parse("p99 itl < 20ms"), point).value == 11.9
    assert evaluate_point(parse("requests_per_s > 4"), point).value == 4.98
    assert evaluate_point(parse("p99 latency < 60ms"), point).value == pytest.approx(50.0)
    assert evaluate_point(parse("p99 ttft < 60ms"), point).note == "the source states no p99 of ttft"


def test_goodput_is_the_rate_of_requests_that_meet_every_attainment(point_of_rows, row):
    """TTFT below 20.01 ms for 1,000 of 2,000 requests, latency always: 10 a second of a window of 100 s."""
    rows = scattered(row)
    point = point_of_rows(rows)
    asked = [
        parse("attainment(ttft < 20.01ms) > 9% and attainment(latency < 1s) > 9%"),
        parse("goodput_per_s > 9"),
    ]
    assert point.rate_of("goodput_per_s") is None
    assert goodput_of(asked, point) == pytest.approx(10.0)
    assert [each.verdict for each in evaluate_points(asked, point)] == ["meets", "meets"]
    assert goodput_of([parse("p99 ttft < 80ms")], point) is None
    told = LoadPoint("b", "poisson", stated(rates={"goodput_per_s": {"value": 3.5}}))
    assert goodput_of(asked, told) == 3.5


def test_goodput_is_unknown_where_records_do_not_tell_what_is_asked(point_of_rows, row):
    """Without a single time of a first token nobody knows who met a TTFT: null, not 0 and not all."""
    rows = [row(10.0 * k, [], end=10.0 * k + 50, output_tokens=5) for k in range(1, 40)]
    asked = [parse("attainment(ttft < 20ms) > 9%")]
    point = point_of_rows(rows)
    assert goodput_of(asked, point) is None
    found = evaluate_point(asked[0], point)
    assert (found.verdict, found.value) == ("undecided", None)
    assert "do not tell what is asked: 39" in found.note
