"""Verdicts on objectives: what a sample can decide, and what it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from benchkit.analysis.metrics import Window, build_summary
from benchkit.objectives import parse

WINDOW = Window(0, 1_000_000_000_000)
APART = 400.0
"""ms between two requests: none meets another."""


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
    """Requests sent ``APART`` with two gaps of 10 ms; their TTFTs are 0.1, 0.2, 0.3 ... ms in an order of chance."""

    def rows(count: int, **columns):
        times = np.random.default_rng(count).permutation(count) + 1
        return [
            row(at, [(at + t / 10, 1), (at + t / 10 + 10, 1), (at + t / 10 + 20, 1)], **columns)
            for at, t in zip(APART * np.arange(1, count + 1), times.tolist(), strict=True)
        ]

    return rows


@pytest.mark.parametrize(
    ("count", "bound", "verdict"),
    [(600, 1000, "undecided"), (2000, 1000, "meets"), (2000, 1, "fails"), (600, 1, "fails")],
)
def test_a_percentile_needs_its_sample(evaluated, ramp, count, bound, verdict):
    """No p99 meets a bound below 1,053 independent requests; that it is at least so much may be clear before."""
    found = evaluated(f"p99 ttft < {bound}ms", ramp(count))
    assert found["verdict"] == verdict
    assert ("not enough data" in found["note"]) == (verdict == "undecided")
    assert ("at least" in found["note"]) == (count == 600)


def test_a_bound_inside_the_interval_is_undecided(evaluated, ramp):
    """TTFTs of 0.1 to 100 ms: p50 is 50.05; near it the run cannot tell, whichever side the value is on."""
    rows = ramp(1000)
    verdicts = {bound: evaluated(f"p50 ttft < {bound}ms", rows)["verdict"] for bound in (40, 49.9, 50.1, 60)}
    assert verdicts == {40: "fails", 49.9: "undecided", 50.1: "undecided", 60: "meets"}
    found = evaluated("p50 ttft < 50.1ms", rows)
    assert found["value"] == pytest.approx(50.05)
    assert found["ci95"][0] < 50 < found["ci95"][1]
    assert f"the run cannot tell: its interval is {found['ci95'][0]:.4g} to" in found["note"]


def test_lower_bounds_are_judged_from_the_other_side(evaluated, ramp):
    """p50 above 40 ms is met, above 60 missed."""
    rows = ramp(1000)
    assert [evaluated(f"p50 ttft > {bound}ms", rows)["verdict"] for bound in (40, 60)] == ["meets", "fails"]


def test_failures_count_against_an_upper_bound(evaluated, ramp, row):
    """1,600 fast requests and 400 refused: the p99 of a latency bound lies among the refused."""
    refused = np.random.default_rng(5).choice(1600, 400, replace=False)
    rows = ramp(1600) + [row(APART * k + 250, [], end=APART * k + 251, outcome="shed") for k in refused]
    found = evaluated("p99 ttft < 190ms", rows)
    assert (found["verdict"], found["value"]) == ("fails", None)
    assert "without a value" in found["note"]
    assert evaluated("p50 ttft < 150ms", rows)["verdict"] == "meets"


def test_gaps_are_as_sure_as_the_requests_behind_them(evaluated, ramp):
    """Gaps of 2,000 requests resolve a p99; 600 gaps of 300 requests do not, since requests share steps."""
    assert evaluated("p99 itl < 50ms", ramp(2000))["verdict"] == "meets"
    found = evaluated("p99 itl < 50ms", ramp(300))
    assert (found["verdict"], found["value"]) == ("undecided", pytest.approx(10.0))
    assert "p99 needs 1,053" in found["note"]


def test_a_mean_is_undecided_within_its_interval(evaluated, ramp):
    """TTFTs 0.1 to 100 ms: mean 50.05, standard error about 0.9."""
    rows = ramp(1000)
    verdicts = {bound: evaluated(f"mean ttft < {bound}ms", rows)["verdict"] for bound in (44, 50, 50.1, 56)}
    assert verdicts == {44: "fails", 50: "undecided", 50.1: "undecided", 56: "meets"}
    assert evaluated("mean ttft < 80ms", rows[:1])["verdict"] == "undecided"


def test_shares_have_wilsons_interval(evaluated, ramp, row):
    """2 failed of 200, apart: 1 % with an interval of 0.27 to 3.57 % or wider."""
    apart = [row(at, [], end=at + 1, outcome="failed", error_kind="reset") for at in (20_250, 60_250)]
    rows = ramp(198) + apart
    found = evaluated("error_rate < 1%", rows)
    assert (found["verdict"], found["value"]) == ("undecided", 0.01)
    low, high = found["ci95"]
    assert low <= 0.00276
    assert 0.0357 <= high < 0.12
    assert evaluated("error_rate < 12%", rows)["verdict"] == "meets"
    assert evaluated("error_rate < 0.01%", rows)["verdict"] == "fails"
    assert evaluated("shed_rate < 5%", rows)["verdict"] == "meets"


def test_misses_that_come_together_are_worth_less(evaluated, ramp, row):
    """40 failures in a row are one event: their share is less sure than that of 40 that lie apart."""

    def failed(at):
        return row(at, [], end=at + 1, outcome="failed", error_kind="reset")

    apart = ramp(400) + [failed(4_000.0 * k + 250) for k in range(40)]
    together = ramp(400) + [failed(80_250 + k) for k in range(40)]
    widths = [np.diff(evaluated("error_rate < 1%", rows)["ci95"])[0] for rows in (apart, together)]
    assert widths[1] > 2 * widths[0]


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
    rows = ramp(50) + [
        row(2_000.0 * k, [(2_000 * k + 20, 1)], end=2_000.0 * k + 500, outcome="incomplete")
        for k in range(10)
    ]
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
    ],
)
def test_facts_of_the_run_are_compared_as_they_stand(evaluated, ramp, text, verdict):
    """Maxima say what happened in this run; the note says so."""
    found = evaluated(text, ramp(100))
    assert (found["verdict"], found["note"]) == (verdict, "a fact of this run")


def test_rates_have_intervals(evaluated, ramp):
    """2,400 requests in 1,000 s: 2.4 a second, which is surely above 2 and below 3."""
    rows = ramp(2400)
    verdicts = {bound: evaluated(f"requests_per_s > {bound}", rows)["verdict"] for bound in (2, 3)}
    assert verdicts == {2: "meets", 3: "fails"}
    found = evaluated("requests_per_s > 2.4", rows)
    assert found["value"] == pytest.approx(2.4)
    assert found["ci95"][0] <= 2.4 <= found["ci95"][1]


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
    lengths = np.random.default_rng(6).permutation(1000) + 1
    rows = [
        row(at, [(at + 10 + n / 2, 1)], prompt_tokens=n)
        for at, n in zip(1_000.0 * np.arange(1000), lengths.tolist(), strict=True)
    ]
    found = evaluated("p50 ttft < 60ms + 0.4ms/token", rows)
    assert (found["verdict"], found["value"]) == ("undecided", pytest.approx(60.05))
    assert "the value is that of ttft less 0.4 ms for each prompt token" in found["note"]
    verdicts = {
        bound: evaluated(f"p95 ttft < {bound}", rows)["verdict"]
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
    parts = {"p90 ttft < 80ms": "meets", "p50 ttft < 20.1ms": "undecided", "error_rate > 5%": "fails"}
    assert {text: evaluated(text, rows)["verdict"] for text in parts} == parts
    meets, undecided, fails = parts
    found = evaluated(f"{meets} and {undecided}", rows)
    assert (found["verdict"], found["value"], found["ci95"]) == ("undecided", None, None)
    assert f"{meets}: meets (36.01 ms); {undecided}: undecided (20.05 ms, the run cannot" in found["note"]
    assert evaluated(f"{meets} and {undecided} and {fails}", rows)["verdict"] == "fails"
    assert evaluated(f"{meets} and p50 latency < 80ms", rows)["verdict"] == "meets"


def test_goodput_asks_what_all_attainments_ask_joined_or_not(records, ramp):
    """TTFT below 20.05 for 200 of 400, latency above 30.05 for 300: both for 100, over 1,000 s."""
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
        assert summary["windows"]["whole"]["rates"]["goodput_per_s"]["value"] == pytest.approx(0.1)
