"""The grammar of objectives: what parses to what, and what a mistake is told."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.errors import ObjectiveSyntaxError
from benchkit.objectives import (
    METRICS,
    PER_REQUEST,
    RATES,
    AttainmentObjective,
    RateObjective,
    StatisticObjective,
    Term,
    parse,
)


@pytest.mark.parametrize(
    ("text", "statistic", "metric", "op", "bound"),
    [
        ("p99 ttft < 80ms", "p99", "ttft_ms", "<", 80.0),
        ("p95 max_gap < 200ms", "p95", "max_gap_ms", "<", 200.0),
        ("mean latency < 5s", "mean", "latency_ms", "<", 5000.0),
        ("p99.9 itl <= 0.25 s", "p99_9", "itl_ms", "<=", 250.0),
        ("median ttft_ms < 80 ms", "p50", "ttft_ms", "<", 80.0),
        ("MAX Lateness<500us", "max", "lateness_ms", "<", 0.5),
        ("p50 pickup_lag < 100µs", "p50", "pickup_lag_ms", "<", 0.1),
        ("max latency < 2min", "max", "latency_ms", "<", 120_000.0),
        ("p97 ttft_from_schedule ≤ 1e2ms", "p97", "ttft_from_schedule_ms", "<=", 100.0),
        ("mean in_flight >= 4", "mean", "in_flight", ">=", 4.0),
        ("min tokens_per_chunk > .5 tokens", "min", "tokens_per_chunk", ">", 0.5),
        ("std tpot < 2ms", "std", "tpot_ms", "<", 2.0),
    ],
)
def test_statistic(text, statistic, metric, op, bound):
    """A statistic of a metric is read with its bound in the metric's unit."""
    assert parse(text) == StatisticObjective(statistic, metric, op, pytest.approx(bound), text)


@pytest.mark.parametrize(
    ("statistic", "quantile"),
    [("p99", 0.99), ("p99.9", 0.999), ("median", 0.5), ("p5", 0.05), ("mean", None)],
)
def test_quantile(statistic, quantile):
    """A percentile is also given as a fraction, other statistics are none."""
    found = parse(f"{statistic} ttft < 1s").quantile
    assert found == (quantile if quantile is None else pytest.approx(quantile))


def test_attainment():
    """Attainment is a share of requests that meet all terms."""
    found = parse("attainment(ttft < 200ms, tpot < 50ms) > 99%")
    terms = (Term("ttft_ms", "<", 200.0), Term("tpot_ms", "<", 50.0))
    assert found == AttainmentObjective(terms, ">", pytest.approx(0.99), "")


@pytest.mark.parametrize(
    ("text", "name", "op", "bound"),
    [
        ("error_rate < 1%", "error_rate", "<", 0.01),
        ("shed_rate <= 0.5 %", "shed_rate", "<=", 0.005),
        ("error_rate < 0.02", "error_rate", "<", 0.02),
        ("requests_per_s > 4", "requests_per_s", ">", 4.0),
        ("output_tokens_per_s >= 900 tokens/s", "output_tokens_per_s", ">=", 900.0),
        ("goodput_per_s > 2 req/s", "goodput_per_s", ">", 2.0),
    ],
)
def test_rate(text, name, op, bound):
    """Shares are fractions, rates are per second."""
    assert parse(text) == RateObjective(name, op, pytest.approx(bound), text)


def test_text_is_kept_tidied():
    """An objective shows itself as it was written, spaces tidied; equality is of meaning."""
    assert str(parse("  p99   ttft <  80ms ")) == "p99 ttft < 80ms"
    assert parse("p99 ttft < 80ms") == parse("P99 ttft_ms<0.08s")
    assert parse("p99 ttft < 80ms") != parse("p99 ttft <= 80ms")


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("p99 tttf < 80ms", "character 5 stands 'tttf'", "did you mean 'ttft'?"),
        ("eror_rate < 1%", "character 1 stands 'eror_rate'", "did you mean 'error_rate'?"),
        ("ttft < 80ms", "character 1 stands 'ttft'", "a statistic first, as in 'p99 ttft"),
        ("p99 ttft < 80", "character 14 stands nothing", "a unit after the number: 'us'"),
        ("p99 ttft < 80 parsec", "character 15 stands 'parsec'", "a unit"),
        ("p99 ttft 80ms", "character 10 stands '80'", "'<', '<=', '>' or '>='"),
        ("p99 ttft = 80ms", "character 10 stands '='", "'<'"),
        ("p99 ttft <", "character 11 stands nothing", "a number"),
        ("p99 ttft < -3ms", "character 12 stands '-'", "a number"),
        ("p99", "character 4 stands nothing", "a metric"),
        ("p0 ttft < 1ms", "character 1 stands 'p0'", "a statistic"),
        ("p100 ttft < 1ms", "character 1 stands 'p100'", "a statistic"),
        ("", "character 1 stands nothing", "as in 'p99 ttft < 80ms'"),
        ("< 80ms", "character 1 stands '<'", "as in"),
        ("p99 ttft < 80ms ms", "character 17 stands 'ms'", "the end"),
        ("error_rate < 200%", "character 14 stands '200'", "a share from 0% to 100%"),
        ("error_rate < 1ms", "character 15 stands 'ms'", "'%'"),
        ("attainment ttft < 1s > 9%", "character 12 stands 'ttft'", "'('"),
        ("attainment() > 9%", "character 12 stands ')'", "a metric"),
        ("attainment(ttft < 1s > 99%", "character 22 stands '>'", "')'"),
        ("attainment(p99 ttft < 1s) > 99%", "character 12 stands 'p99'", "a metric alone"),
        ("attainment(itl < 9ms) > 99%", "character 12 stands 'itl'", "one value, such as 'tpot'"),
        ("attainment(ttft < 1s) > 99ms", "character 27 stands 'ms'", "'%'"),
    ],
)
def test_mistake(text, place, expected):
    """A text that is no objective is refused with the place, what stands there, and what should."""
    with pytest.raises(ObjectiveSyntaxError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith(f"objective '{text}': at ")
    assert place in message
    assert expected in message


@pytest.mark.parametrize("op", ["<", "<=", ">", ">="])
def test_holds(op):
    """Objectives and terms compare values with their bound, the bound itself only where '=' says so."""
    statistic = parse(f"p50 ttft {op} 2ms")
    share = parse(f"attainment(ttft {op} 2ms) {op} 50%")
    assert statistic.holds(2.0) == ("=" in op) == share.holds(0.5) == share.terms[0].holds(2.0)
    assert statistic.holds(1.0) == ("<" in op) == share.holds(0.4)
    assert statistic.holds(3.0) == (">" in op) == share.holds(0.6)
    assert parse(f"shed_rate {op} 50%").holds(0.4) == ("<" in op)


def test_names_are_those_of_the_summary():
    """Every metric is in one of the known units, and those of a single request are times but pooled gaps."""
    assert set(METRICS.values()) == {"ms", "tokens", "requests"}
    assert {m for m, unit in METRICS.items() if unit == "ms"} - {"itl_ms", "chunk_gap_ms"} == PER_REQUEST
    assert set(RATES.values()) == {"share", "requests/s", "tokens/s"}


_metric = st.sampled_from(sorted(METRICS))
_op = st.sampled_from(["<", "<=", ">", ">="])
_number = st.floats(0, 1e6, allow_subnormal=False)


@st.composite
def _bounds(draw, metric):
    unit = draw(
        st.sampled_from({"ms": ["us", "ms", "s"], "tokens": ["", " tokens"]}.get(METRICS[metric], [""]))
    )
    return f"{draw(_number)!r}{unit}"


@st.composite
def _objectives(draw):
    kind = draw(st.sampled_from(["statistic", "attainment", "rate"]))
    share = f"{draw(st.floats(0, 100, allow_subnormal=False))!r}%"
    if kind == "rate":
        return f"{draw(st.sampled_from(['error_rate', 'shed_rate']))} {draw(_op)} {share}"
    if kind == "attainment":
        metrics = draw(st.lists(st.sampled_from(sorted(PER_REQUEST)), min_size=1, max_size=3))
        terms = ", ".join(f"{m} {draw(_op)} {draw(_bounds(m))}" for m in metrics)
        return f"attainment({terms}) {draw(_op)} {share}"
    metric = draw(_metric)
    statistic = draw(st.sampled_from(["mean", "median", "std", "min", "max", "p1", "p50", "p99", "p99.9"]))
    return f"{statistic} {metric} {draw(_op)} {draw(_bounds(metric))}"


@given(_objectives())
@settings(deadline=None)
def test_every_sentence_of_the_grammar_parses(text):
    """Whatever the grammar can say parses, shows itself again, and means the same in capitals."""
    found = parse(text)
    assert str(found) == text
    assert parse(str(found)) == found
    assert parse(text.replace(" ", "  ").upper()) == found


@given(st.text("p9 tfma_<>=()%,.0125sE/\u00b5é", max_size=30) | st.text(max_size=20))
@settings(deadline=None)
def test_any_other_text_is_refused_in_our_words(text):
    """No text makes the parser fail in any way but its own."""
    with suppress(ObjectiveSyntaxError):
        found = parse(text)
        assert parse(str(found)) == found
