"""Gates: their grammar, and what is decided over several of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.analysis.compared_number import ComparedNumber
from benchkit.analysis.difference import difference
from benchkit.analysis.gates import Gate, Gated, judge_gates, more_to_decide, overall, parse_gate
from benchkit.errors import InvalidParameter

TTFT = ComparedNumber("ttft_ms", "p99")
ITL = Gate(ComparedNumber("itl_ms", "mean"), 0.05, "rise")


def gated(base, new, gate=ITL, *, paired=False):
    """A gate with the difference of two sides."""
    found = difference(base, new, paired=paired, higher_is_worse=gate.direction == "rise")
    return Gated(gate, "", found)


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("p99 ttft +5%", Gate(TTFT, 0.05, "rise")),
        ("  P99 TTFT + 5 % ", Gate(TTFT, 0.05, "rise")),
        ("p99.9 ttft_ms +2.5%", Gate(ComparedNumber("ttft_ms", "p99_9"), 0.025, "rise")),
        ("median itl +10%", Gate(ComparedNumber("itl_ms", "p50"), 0.1, "rise")),
        ("output_tokens_per_s -3%", Gate(ComparedNumber("output_tokens_per_s", ""), 0.03, "drop")),
        (
            "output_tokens_per_s \N{MINUS SIGN}3%",
            Gate(ComparedNumber("output_tokens_per_s", ""), 0.03, "drop"),
        ),
        ("mean in_flight -20%", Gate(ComparedNumber("in_flight", "mean"), 0.2, "drop")),
        ("mean latency +0%", Gate(ComparedNumber("latency_ms", "mean"), 0.0, "rise")),
    ],
)
def test_a_gate_is_a_number_and_a_signed_percentage(text, gate):
    """Statistic, metric or rate, and the change for the worse that is allowed."""
    found = parse_gate(text)
    assert found.number == gate.number
    assert found.direction == gate.direction
    assert found.threshold == pytest.approx(gate.threshold)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("p99 ttft", "write a number and the change"),
        ("p99 ttft 15%", r"write 'p99 ttft \+15%'"),
        ("output_tokens_per_s 5%", "write 'output_tokens_per_s -5%'"),
        ("p99 ttft -5%", "fail when p99 ttft becomes better"),
        ("output_tokens_per_s +5%", "fail when output_tokens_per_s becomes better"),
        ("p99 tftt +5%", "is no number of a run"),
        ("output_tokens_per_s -100%", "can't fail"),
        ("+5%", "no gate"),
        ("p99 ttft +5% +5%", "is no gate"),
    ],
)
def test_what_is_no_gate_says_what_to_write(text, told):
    """A gate that could never fail is refused as one that cannot be read."""
    with pytest.raises(InvalidParameter, match=told):
        parse_gate(text)


@given(
    st.sampled_from(["mean itl", "p99 ttft", "p99.9 latency", "requests_per_s"]),
    st.integers(min_value=1, max_value=990),
)
def test_a_gate_reads_what_it_writes(number, tenths):
    """Its text is a gate, and the same one."""
    sign = "-" if number == "requests_per_s" else "+"
    gate = parse_gate(f"{number} {sign}{tenths / 10}%")
    assert parse_gate(gate.text).text == gate.text
    assert gate.text == f"{number} {sign}{tenths / 10:g}%"


def test_beyond_within_and_between():
    """An interval beyond the threshold fails, one within passes, one that holds it does not decide."""
    base = [100.0, 100.5, 99.5, 100.2, 99.8]
    outcomes = {}
    for name, change in (("beyond", 1.12), ("within", 1.01), ("between", 1.05)):
        (judged,) = judge_gates([gated(base, [value * change for value in base])], alpha=0.05)
        outcomes[name] = judged.outcome
    assert outcomes == {"beyond": "fail", "within": "pass", "between": "inconclusive"}


def test_a_single_run_a_side_is_inconclusive_and_says_why():
    """However far apart two runs lie, they do not show how much runs differ."""
    (judged,) = judge_gates([gated([100.0], [300.0])], alpha=0.05)
    assert judged.outcome == "inconclusive"
    assert "single run a side" in judged.why


def test_an_undecided_gate_says_how_many_more_runs_would_decide_it():
    """For the change as it was seen, by the spread as it was seen."""
    base, new = [100.0, 104.0, 97.0], [107.0, 111.0, 104.0]
    (judged,) = judge_gates([gated(base, new)], alpha=0.05)
    assert judged.outcome == "inconclusive"
    more = more_to_decide(judged.difference, ITL)
    assert more.low >= 1
    assert f"{more.text()} more runs a side would decide it" in judged.why


def test_nothing_is_decided_by_measurements_that_cannot_be_believed():
    """The reason takes the place of every outcome."""
    base = [100.0, 100.1, 99.9]
    judged = judge_gates(
        [gated(base, [200.0, 200.1, 199.9])], alpha=0.05, untrusted="cannot tell: a run is invalid"
    )
    assert [each.outcome for each in judged] == ["inconclusive"]
    assert judged[0].why == "cannot tell: a run is invalid"


def test_one_failure_fails_and_all_must_pass():
    """The worst outcome is that of all."""
    base = [100.0, 100.5, 99.5, 100.2, 99.8]
    same, worse, between = ([value * change for value in base] for change in (1.0, 1.2, 1.05))
    judge = lambda *news: overall(judge_gates([gated(base, new) for new in news], alpha=0.05))  # noqa: E731
    assert judge(same, same) == "pass"
    assert judge(same, worse) == "fail"
    assert judge(same, between) == "inconclusive"
    assert judge(worse, between) == "fail"
    assert overall(()) is None


def test_many_gates_alarm_no_more_often_than_one():
    """Eight gates at the very change that is allowed: by Holm any of them fails in at most 5 % of cases."""
    draw, trials = np.random.default_rng(5), 500
    alarms = raw = 0
    for _ in range(trials):
        every = [
            gated(np.exp(draw.normal(0, 0.03, 5)), 1.05 * np.exp(draw.normal(0, 0.03, 5))) for _ in range(8)
        ]
        alarms += overall(judge_gates(every, alpha=0.05)) == "fail"
        raw += any(overall(judge_gates([each], alpha=0.05)) == "fail" for each in every)
    assert alarms <= 0.08 * trials
    assert raw > 0.2 * trials
