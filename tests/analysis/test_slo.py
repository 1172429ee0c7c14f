"""Verdicts on objectives: what a sample can decide, and what it cannot."""

from __future__ import annotations

import pytest

from benchkit.analysis.metrics import Window, build_summary
from benchkit.objectives import parse

WINDOW = Window(0, 10_000_000_000)


@pytest.fixture
def evaluated(records):
    """The evaluation of one objective on a run of these rows."""

    def evaluate_rows(text: str, rows) -> dict:
        run = records(rows)
        summary = build_summary(
            run.requests, run.chunks, window=WINDOW, objectives=[parse(text)], load_facts={}, parameters={}
        )
        return summary["slo"][0]

    return evaluate_rows


@pytest.fixture
def ramp(row):
    """Requests sent each ms, the k-th of which has a TTFT of k/10 ms from 0.1 on, and two gaps of 10 ms."""

    def rows(count: int, **columns):
        return [
            row(float(k), [(k + k / 10, 1), (k + k / 10 + 10, 1), (k + k / 10 + 20, 1)], **columns)
            for k in range(1, count + 1)
        ]

    return rows


@pytest.mark.parametrize(
    ("count", "bound", "verdict"),
    [(367, 1000, "undecided"), (368, 1000, "meets"), (368, 1, "fails"), (367, 1, "undecided")],
)
def test_a_percentile_needs_its_sample(evaluated, ramp, count, bound, verdict):
    """p99 is not judged below 368 requests, however clear it looks."""
    found = evaluated(f"p99 ttft < {bound}ms", ramp(count))
    assert found["verdict"] == verdict
    assert ("not enough data" in found["note"]) == (count == 367)


def test_a_bound_inside_the_scatter_of_independent_values_is_undecided(evaluated, ramp):
    """TTFTs of 0.1 to 100 ms: p50 is 50.05, and of 1,000 values the 469th and the 532nd bracket it.

    Below 46.9 and above 53.2 ms the sample decides; between them it cannot, whichever side the value is on.
    """
    rows = ramp(1000)
    verdicts = {bound: evaluated(f"p50 ttft < {bound}ms", rows)["verdict"] for bound in (46, 48, 52, 54)}
    assert verdicts == {46: "fails", 48: "undecided", 52: "undecided", 54: "meets"}
    found = evaluated("p50 ttft < 52ms", rows)
    assert (found["value"], found["ci95"]) == (pytest.approx(50.05), None)
    assert "46.9 to 53.2 ms" in found["note"]


def test_lower_bounds_are_judged_from_the_other_side(evaluated, ramp):
    """p50 above 40 ms is met, above 60 missed."""
    rows = ramp(1000)
    assert [evaluated(f"p50 ttft > {bound}ms", rows)["verdict"] for bound in (40, 60)] == ["meets", "fails"]


def test_failures_count_against_an_upper_bound(evaluated, ramp, row):
    """400 fast requests and 100 refused: the p99 of a latency bound lies among the refused."""
    rows = ramp(400) + [row(float(k), [], end=k + 1.0, outcome="shed") for k in range(100)]
    found = evaluated("p99 ttft < 80ms", rows)
    assert (found["verdict"], found["value"]) == ("fails", None)
    assert "without a value" in found["note"]
    assert evaluated("p50 ttft < 80ms", rows)["verdict"] == "meets"


def test_gaps_are_as_sure_as_the_requests_behind_them(evaluated, ramp):
    """800 gaps of 400 requests resolve a p99; 600 gaps of 300 requests do not, since requests share steps."""
    assert evaluated("p99 itl < 50ms", ramp(400))["verdict"] == "meets"
    found = evaluated("p99 itl < 50ms", ramp(300))
    assert (found["verdict"], found["value"]) == ("undecided", pytest.approx(10.0))
    assert "300 of the 368" in found["note"]


def test_a_mean_is_undecided_within_its_standard_error(evaluated, ramp):
    """TTFTs 0.1 to 100 ms: mean 50.05, standard error 28.88/sqrt(1000) = 0.913, so 48.26 to 51.84 is open."""
    rows = ramp(1000)
    verdicts = {bound: evaluated(f"mean ttft < {bound}ms", rows)["verdict"] for bound in (48, 49, 51, 52)}
    assert verdicts == {48: "fails", 49: "undecided", 51: "undecided", 52: "meets"}
    assert evaluated("mean ttft < 80ms", rows[:1])["verdict"] == "undecided"


def test_shares_have_wilsons_interval(evaluated, ramp, row):
    """2 failed of 200: 1 % with an interval of 0.27 to 3.57 %."""
    rows = ramp(198) + [row(1.0, [], end=2.0, outcome="failed", error_kind="reset")] * 2
    found = evaluated("error_rate < 1%", rows)
    assert (found["verdict"], found["value"]) == ("undecided", 0.01)
    assert found["ci95"] == pytest.approx([0.00275, 0.03572], abs=1e-5)
    assert [evaluated(f"error_rate < {bound}%", rows)["verdict"] for bound in (4, 0.2)] == ["meets", "fails"]
    assert evaluated("shed_rate < 5%", rows)["verdict"] == "meets"


def test_attainment_counts_failed_and_shed_requests_as_misses(evaluated, ramp, row):
    """Of 100 ok requests those with TTFT below 5.05 ms meet it (50); two more failed, so 50 of 102."""
    failed = row(1.0, [], end=2.0, outcome="failed", error_kind="reset")
    rows = [*ramp(100), failed, row(1.0, [], end=2.0, outcome="shed")]
    assert evaluated("attainment(ttft < 5.05ms) > 90%", rows)["value"] == pytest.approx(50 / 102)


def test_attainment_needs_every_term(evaluated, ramp):
    """TTFT below 5.05 ms holds for 50 of 100, latency above 23.05 ms for 70: both for 20."""
    found = evaluated("attainment(ttft < 5.05ms, latency > 23.05ms) > 90%", ramp(100))
    assert found["value"] == pytest.approx(0.2)


def test_a_quantity_that_a_request_cannot_give_violates_nothing(evaluated, row):
    """An answer of one token has no TPOT: it meets any bound on it."""
    assert evaluated("attainment(tpot < 1ms) > 1%", [row(0.0, [(20, 1)])] * 30)["value"] == 1.0


def test_incomplete_requests_widen_the_interval_unless_they_have_missed_already(evaluated, ramp, row):
    """One that has run for 500 ms has missed a latency of 100 ms and is open for one of 1,000 ms."""
    rows = ramp(50) + [row(0.0, [(20, 1)], end=500.0, outcome="incomplete")] * 10
    missed = evaluated("attainment(latency < 100ms) > 50%", rows)
    assert (missed["value"], missed["verdict"]) == (pytest.approx(50 / 60), "meets")
    unknown = evaluated("attainment(latency < 1000ms) > 95%", rows)
    assert (unknown["value"], unknown["verdict"]) == (1.0, "undecided")
    assert unknown["ci95"][0] < 50 / 60 < unknown["ci95"][1]
    assert "10" in unknown["note"]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("max max_gap < 11ms", "meets"),
        ("max max_gap < 9ms", "fails"),
        ("max in_flight < 1000", "meets"),
        ("p99 in_flight > 1000", "fails"),
        ("requests_per_s > 1", "meets"),
        ("output_tokens_per_s > 1e6 tokens/s", "fails"),
    ],
)
def test_facts_of_the_run_are_compared_as_they_stand(evaluated, ramp, text, verdict):
    """Maxima, occupancy and rates say what happened in this run; the note says so."""
    found = evaluated(text, ramp(100))
    assert (found["verdict"], found["note"]) == (verdict, "a fact of this run")


@pytest.mark.parametrize(
    "text", ["p50 connect < 1ms", "mean connect < 1ms", "goodput_per_s > 1", "max itl < 1s"]
)
def test_nothing_measured_decides_nothing(evaluated, row, text):
    """Without a value there is no verdict but undecided."""
    found = evaluated(text, [row(0.0, [(20, 1)])] * 10)
    assert (found["verdict"], found["value"]) == ("undecided", None)


def test_a_bound_that_grows_is_each_requests_own(evaluated, row):
    """TTFT is 10 ms + 0.5 ms a token for prompts of 1 to 1,000 tokens: 0.4 ms a token is not enough, 0.5 is.

    What is left above 0.4 ms a token is 10.1 to 110 ms, its p50 60.05; above 0.5 ms a token it is 10 for all.
    """
    rows = [row(10.0 * k, [(10.0 * k + 10 + k / 2, 1)], prompt_tokens=k) for k in range(1, 1001)]
    found = evaluated("p50 ttft < 60ms + 0.4ms/token", rows)
    assert (found["verdict"], found["value"]) == ("undecided", pytest.approx(60.05))
    assert "the value is that of ttft less 0.4 ms for each prompt token" in found["note"]
    verdicts = {
        bound: evaluated(f"p99 ttft < {bound}", rows)["verdict"]
        for bound in ("300ms", "10.1ms + 0.5ms/token", "9.9ms + 0.5ms/token", "50ms + 0.4ms/token")
    }
    assert list(verdicts.values()) == ["fails", "meets", "fails", "fails"]
    assert evaluated("max ttft < 10.1ms + 0.5ms/token", rows)["verdict"] == "meets"
    assert evaluated("mean ttft < 9.9ms + 0.5ms/token", rows)["value"] == pytest.approx(10.0)
    assert evaluated("attainment(ttft < 60.05ms + 0.4ms/token) > 9%", rows)["value"] == pytest.approx(0.5)


def test_a_growing_bound_needs_the_prompts_lengths(evaluated, ramp):
    """Without them a percentile has no value, and an attainment leaves the requests open."""
    rows = ramp(400, prompt_tokens=None)
    assert evaluated("p99 ttft < 50ms + 1ms/token", rows)["note"] == "no request gave a value"
    found = evaluated("attainment(ttft < 50ms + 1ms/token) > 50%", rows)
    assert (found["verdict"], found["value"]) == ("undecided", None)
    assert "do not tell what is asked: 400" in found["note"]


def test_what_records_do_not_tell_may_be_met_or_missed(evaluated, row):
    """90 requests with a TTFT of 20 ms, 10 of unknown TTFT: attainment is of the 90, its interval covers both."""
    rows = [row(10.0 * k, [(10.0 * k + 20, 1)]) for k in range(90)]
    rows += [row(10.0 * k, [], end=10.0 * k + 30, output_tokens=1) for k in range(10)]
    found = evaluated("attainment(ttft < 25ms) > 89%", rows)
    assert (found["verdict"], found["value"]) == ("undecided", 1.0)
    assert found["ci95"][0] < 0.9 < 1.0 == found["ci95"][1]
    assert "10" in found["note"]
    assert evaluated("attainment(ttft < 25ms, latency < 29ms) > 89%", rows)["value"] == pytest.approx(0.9)


def test_several_objectives_at_once(evaluated, ramp):
    """All must be met: one that fails fails all, one that is undecided leaves all open; the note tells of each."""
    rows = ramp(400)
    parts = {"p99 ttft < 80ms": "meets", "p50 ttft < 20.1ms": "undecided", "error_rate > 5%": "fails"}
    assert {text: evaluated(text, rows)["verdict"] for text in parts} == parts
    meets, undecided, fails = parts
    found = evaluated(f"{meets} and {undecided}", rows)
    assert (found["verdict"], found["value"], found["ci95"]) == ("undecided", None, None)
    assert f"{meets}: meets (39.6 ms); {undecided}: undecided (20.05 ms, the sample cannot" in found["note"]
    assert evaluated(f"{meets} and {undecided} and {fails}", rows)["verdict"] == "fails"
    assert evaluated(f"{meets} and p98 latency < 80ms", rows)["verdict"] == "meets"


def test_goodput_asks_what_all_attainments_ask_joined_or_not(records, ramp):
    """TTFT below 20.05 for 200 of 400, latency above 30.05 for 300: both for 100, over 10 s."""
    run = records(ramp(400))
    one, two = "attainment(ttft < 20.05ms) > 9%", "attainment(latency > 30.05ms) > 9%"
    for texts in ([one, two], [f"{one} and {two}"], [f"{one} and error_rate < 5%", two]):
        summary = build_summary(
            run.requests,
            run.chunks,
            window=WINDOW,
            objectives=[parse(text) for text in texts],
            load_facts={},
            parameters={},
        )
        assert summary["windows"]["whole"]["rates"]["goodput_per_s"]["value"] == pytest.approx(10.0)
