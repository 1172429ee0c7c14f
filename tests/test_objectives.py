"""The grammar of objectives: what parses to what, and what a mistake is told."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.errors import ObjectiveSyntaxError
from benchkit.objectives import (
    GROWING,
    METRICS,
    PER_REQUEST,
    PRESETS,
    RATES,
    AllOf,
    AttainmentObjective,
    RateObjective,
    StatisticObjective,
    Term,
    expand,
    parse,
    singles,
)
from benchkit.parameters import resolve


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


@pytest.mark.parametrize(
    ("text", "bound", "per_token"),
    [
        ("p99 ttft < 100ms + 0.2ms/token", 100.0, 0.2),
        ("p99 ttft < 100ms+0.2ms/tokens", 100.0, 0.2),
        ("P99 TTFT < 0.1 s + 200 us / token", 100.0, 0.2),
        ("p99 ttft < 100ms + 0.2ms /prompt_token", 100.0, 0.2),
        ("p99 ttft < 0.2 ms/ token", 0.0, 0.2),
    ],
)
def test_a_bound_may_grow_with_the_prompt(text, bound, per_token):
    """What each prompt token adds is read in the metric's unit, with or without a part that does not grow."""
    found = parse(text)
    assert (found.bound, found.per_token) == (pytest.approx(bound), pytest.approx(per_token))
    assert found.text == text
    term = parse(f"attainment({text.split(maxsplit=1)[1]}, latency < 3s) > 99%").terms[0]
    assert term == Term("ttft_ms", "<", found.bound, found.per_token)


def test_and():
    """Objectives joined by "and" keep their own texts; one said twice counts once."""
    found = parse(" p99 ttft <  80ms AND error_rate < 1% and attainment(ttft < 1s and tpot < 50ms) > 9%")
    assert isinstance(found, AllOf)
    assert str(found) == "p99 ttft < 80ms AND error_rate < 1% and attainment(ttft < 1s and tpot < 50ms) > 9%"
    assert [str(part) for part in found.parts] == [
        "p99 ttft < 80ms",
        "error_rate < 1%",
        "attainment(ttft < 1s and tpot < 50ms) > 9%",
    ]
    assert found.parts == tuple(parse(str(part)) for part in found.parts)
    assert parse("p99 ttft < 80ms and P99 TTFT<0.08s") == parse("p99 ttft < 80ms")


def test_singles():
    """Every single objective of several, each once, in the order in which they were written."""
    one, two, three = (parse(text) for text in ("p99 ttft < 80ms", "error_rate < 1%", "p99 tpot < 9ms"))
    assert singles(one) == (one,)
    assert singles(parse("p99 ttft < 80ms and error_rate < 1%")) == (one, two)
    assert singles([one, parse("p99 tpot < 9ms and p99 ttft < 80ms"), two]) == (one, three, two)


def test_presets_parse_and_name_their_source():
    """Every preset stands for objectives of the grammar and says which page and heading they are from."""
    for name, preset in PRESETS.items():
        found = parse(name)
        assert singles(found) == tuple(parse(text) for text in preset.objectives)
        assert str(found) == (name if len(preset.objectives) > 1 else preset.objectives[0])
        assert "https://github.com/vllm-project/guidellm/" in preset.source


@pytest.mark.parametrize("name", ["code_completion", "code-completion", "Code Completion", " completion "])
def test_a_preset_goes_by_its_name_however_it_is_written(name):
    """Capitals, hyphens and spaces do not matter where it stands alone."""
    assert expand([name]) == ("p99 latency <= 2s",)


def test_presets_stand_for_their_objectives():
    """In a list of objectives, in a parameter, and beside others in one text; others stay as they are."""
    chat = ("p99 ttft <= 200ms", "p99 tpot <= 50ms")
    assert expand(["chat", "error_rate < 1%", "p99 tpot <= 50ms"]) == (*chat, "error_rate < 1%")
    assert resolve({"slo": "chat"}).slo == chat
    assert resolve({"slo": ["rag", "error_rate < 1%"]}).slo == (*PRESETS["rag"].objectives, "error_rate < 1%")
    assert [str(part) for part in parse("chat and error_rate < 1%").parts] == [*chat, "error_rate < 1%"]
    with pytest.raises(ObjectiveSyntaxError, match="did you mean 'chat'"):
        resolve({"slo": "chatt"})


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
        ("p99 ttft < 80ms ms", "character 17 stands 'ms'", "'and' or the end"),
        ("error_rate < 200%", "character 14 stands '200'", "a share from 0% to 100%"),
        ("error_rate < 1ms", "character 15 stands 'ms'", "'%'"),
        ("attainment ttft < 1s > 9%", "character 12 stands 'ttft'", "'('"),
        ("attainment() > 9%", "character 12 stands ')'", "a metric"),
        ("attainment(ttft < 1s > 99%", "character 22 stands '>'", "')'"),
        ("attainment(p99 ttft < 1s) > 99%", "character 12 stands 'p99'", "a metric alone"),
        ("attainment(itl < 9ms) > 99%", "character 12 stands 'itl'", "one value, such as 'tpot'"),
        ("attainment(ttft < 1s) > 99ms", "character 27 stands 'ms'", "'%'"),
        ("p99 ttft < 1ms + 2ms", "character 19 stands 'ms'", "'ms/token'"),
        ("p99 ttft < 1ms + 2%/token", "character 19 stands '%/token'", "'ms/token'"),
        ("p99 ttft < 1ms +", "character 17 stands nothing", "a number"),
        (
            "p99 tpot < 50ms/token",
            "character 12 stands '50'",
            "does not grow with the prompt; those of latency",
        ),
        ("p99 tpot < 50ms + 1ms/token", "character 17 stands '+'", "'and' or the end"),
        ("std ttft < 5ms + 1ms/token", "character 1 stands 'std'", "the bound of a spread cannot grow"),
        ("attainment(ttft < 1s and) > 9%", "character 25 stands ')'", "a metric"),
        ("p99 ttft < 80ms and", "character 20 stands nothing", "a statistic, 'attainment(' or a rate"),
        ("p99 ttft < 80ms or error_rate < 1%", "character 17 stands 'or'", "'and' or the end"),
        ("chat < 80ms", "character 6 stands '<'", "'and' or the end"),
        ("rga", "character 1 stands 'rga'", "did you mean 'rag'?"),
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
    assert GROWING < PER_REQUEST


_metric = st.sampled_from(sorted(METRICS))
_op = st.sampled_from(["<", "<=", ">", ">="])
_number = st.floats(0, 1e6, allow_subnormal=False)


@st.composite
def _bounds(draw, metric):
    units = st.sampled_from({"ms": ["us", "ms", "s"], "tokens": ["", " tokens"]}.get(METRICS[metric], [""]))
    growth = ""
    if metric in GROWING and draw(st.booleans()):
        growth = f" + {draw(_number)!r}{draw(units)}/token"
    return f"{draw(_number)!r}{draw(units)}{growth}"


@st.composite
def _singles(draw):
    kind = draw(st.sampled_from(["statistic", "attainment", "rate"]))
    share = f"{draw(st.floats(0, 100, allow_subnormal=False))!r}%"
    if kind == "rate":
        return f"{draw(st.sampled_from(['error_rate', 'shed_rate']))} {draw(_op)} {share}"
    if kind == "attainment":
        metrics = draw(st.lists(st.sampled_from(sorted(PER_REQUEST)), min_size=1, max_size=3))
        terms = ", ".join(f"{m} {draw(_op)} {draw(_bounds(m))}" for m in metrics)
        return f"attainment({terms}) {draw(_op)} {share}"
    metric = draw(_metric)
    statistic = draw(st.sampled_from(["mean", "median", "min", "max", "p1", "p50", "p99", "p99.9"]))
    return f"{statistic} {metric} {draw(_op)} {draw(_bounds(metric))}"


def _objectives():
    several = st.lists(_singles() | st.sampled_from(["chat", "rag"]), min_size=2, max_size=3)
    return _singles() | several.map(" and ".join)


@given(_objectives())
@settings(deadline=None)
def test_every_sentence_of_the_grammar_parses(text):
    """Whatever the grammar can say parses, shows itself again, and means the same in capitals."""
    found = parse(text)
    assert str(found) == text
    assert parse(str(found)) == found
    assert parse(text.replace(" ", "  ").upper()) == found


@given(st.text("p9 tfma_<>=()%,.0125sE/+-nd\u00b5é", max_size=30) | st.text(max_size=20))
@settings(deadline=None)
def test_any_other_text_is_refused_in_our_words(text):
    """No text makes the parser fail in any way but its own."""
    with suppress(ObjectiveSyntaxError):
        found = parse(text)
        assert parse(str(found)) == found
