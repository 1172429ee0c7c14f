"""What pairs of runs tell so far."""

import pytest

from benchkit.analysis.compared_number import ComparedNumber, parse_number
from benchkit.analysis.paired_look import look, pilot
from benchkit.analysis.power import visible_change
from benchkit.errors import InvalidParameter

ITL, TTFT, RATE = map(parse_number, ("mean itl", "p99 ttft", "output_tokens_per_s"))
SAME = (100.0, 101.0, 99.0, 100.5, 99.5), (101.0, 99.5, 99.0, 101.0, 100.0)
SLOWER = (100.0, 101.0, 99.0, 100.5, 99.5), (106.0, 107.5, 104.0, 105.5, 105.0)


@pytest.mark.parametrize(
    ("text", "number", "shown"),
    [
        ("mean itl", ComparedNumber("itl_ms", "mean"), "mean itl"),
        ("P99.9 ttft_ms", ComparedNumber("ttft_ms", "p99_9"), "p99.9 ttft"),
        ("median latency", ComparedNumber("latency_ms", "p50"), "p50 latency"),
        ("goodput_per_s", ComparedNumber("goodput_per_s", ""), "goodput_per_s"),
    ],
)
def test_a_number_is_named_as_in_objectives(text, number, shown):
    """Statistics and metrics are written as in objectives, rates by their name."""
    assert parse_number(text) == number
    assert number.text == shown


def test_what_is_worse_depends_on_the_number():
    """A rise of a time or of the share of errors is worse, a rise of a rate is better."""
    assert ITL.higher_is_worse
    assert parse_number("error_rate").higher_is_worse
    assert not RATE.higher_is_worse


@pytest.mark.parametrize("text", ["itl", "mean", "p100 itl", "mean speed", "error", ""])
def test_no_number_is_an_error(text):
    """What names no number is refused with what there is."""
    with pytest.raises(InvalidParameter, match="is no number of a run"):
        parse_number(text)


def test_a_pilot_says_nothing_of_the_difference():
    """A pilot depends on how pairs scatter alone: shifting a side changes nothing of it."""
    shifted = SAME[0], tuple(1.3 * value for value in SAME[1])
    one, other = (pilot({ITL: sides}, 10, 0.05) for sides in (SAME, shifted))
    assert one.sd["mean itl"] == pytest.approx(other.sd["mean itl"])
    assert one.sees["mean itl"] == pytest.approx(other.sees["mean itl"])
    expected = visible_change(one.sd["mean itl"], 4, count=10, values=1)
    assert one.sees["mean itl"] == pytest.approx(expected)
    assert "10 pairs would see a change of" in one.lines()[0]


def test_spending_the_error_makes_it_see_less():
    """With the error spent among looks the same pairs see a little less."""
    whole, spent = (pilot({ITL: SAME}, 10, 0.05, alpha).sees["mean itl"] for alpha in (0.05, 0.03))
    assert whole.high < spent.high < 1.2 * whole.high


def test_it_is_decided_when_every_number_is():
    """A number is decided when it differs, or cannot differ by what matters; all of them must be."""
    apart = look({ITL: SLOWER}, alpha=0.05, change=0.05)
    assert apart.decided
    assert apart.words(ITL).startswith("slower by ")
    assert look({ITL: SAME}, alpha=0.05, change=0.05).decided
    narrow = look({ITL: SAME, TTFT: SLOWER}, alpha=0.05, change=0.005)
    assert not narrow.is_decided(ITL)
    assert narrow.is_decided(TTFT)
    assert not narrow.decided


def test_what_differs_alone_may_be_chance_beside_others():
    """Holm's method takes back a difference that several numbers looked at would often show by chance."""
    weak = SAME[0], (101.2, 101.9, 100.4, 100.9, 101.6)
    alone = look({ITL: weak}, alpha=0.05, change=0.01)
    assert 0.0125 < alone.found[ITL].p < 0.05
    assert alone.differs(ITL)
    others = {parse_number(f"p{at} itl"): SAME for at in (50, 90, 99)}
    among = look({ITL: weak, **others}, alpha=0.05, change=0.01)
    assert not among.differs(ITL)
    assert "may be chance (Holm)" in among.words(ITL)
    assert among.as_dict()["numbers"]["mean itl"]["p_holm"] == pytest.approx(4 * alone.found[ITL].p)


def test_a_number_that_runs_lack_is_never_decided():
    """Where a run has no such number the look says so."""
    lacking = look({ITL: ((1.0, None), (1.0, 2.0))}, alpha=0.05, change=0.05)
    assert not lacking.decided
    assert "not every run has this number" in lacking.words(ITL)
