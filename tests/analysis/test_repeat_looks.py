"""When a run's repeats are enough."""

import pytest

from benchkit.analysis.looks import spent
from benchkit.analysis.repeat_looks import LOOKS, level, sureness


def summary(*, width=0.04, slo=(), tpot=100):
    """A summary whose headline intervals have that half-width, as a share."""
    limits = [10 * (1 - width), 10 * (1 + width)]
    metrics = {
        name: {"count": 100, "mean": 10.0, "ci95": {"mean": limits}}
        for name in ("ttft_ms", "tpot_ms", "latency_ms")
    }
    metrics["tpot_ms"] |= {"count": tpot}
    rates = {"output_tokens_per_s": {"value": 10.0, "ci95": limits}}
    objectives = [{"text": text, "verdict": verdict} for text, verdict in slo]
    return {"slo": objectives, "windows": {"whole": {"metrics": metrics, "rates": rates}}}


def test_objectives_decide():
    """With objectives it is enough when each is decided, however wide anything else is."""
    decided = sureness(summary(width=0.5, slo=[("p99 ttft < 1s", "meets"), ("p50 ttft < 1ms", "fails")]))
    assert decided.sure
    open_one = sureness(summary(width=0.0, slo=[("p99 ttft < 1s", "meets"), ("p50 ttft < 9ms", "undecided")]))
    assert not open_one.sure
    assert open_one.why == "undecided: p50 ttft < 9ms"


def test_without_objectives_the_headline_numbers_must_be_sharp():
    """Without objectives the means and the token rate must be known to 5 %, and what is not is named."""
    assert sureness(summary(width=0.049)).sure
    wide = sureness(summary(width=0.08))
    assert not wide.sure
    assert "mean ttft is known to 8 %" in wide.why


def test_what_has_no_interval_is_not_sure():
    """A refused interval is not sharp; a metric that the run cannot have does not count."""
    told = summary()
    told["windows"]["whole"]["metrics"]["ttft_ms"]["ci95"] = None
    assert sureness(told).why == "mean ttft has no interval"
    told = summary(tpot=0)
    told["windows"]["whole"]["metrics"]["tpot_ms"] |= {"mean": None, "ci95": None}
    assert sureness(told).sure


def test_each_look_has_its_share_of_the_error():
    """Intervals at a look are as much wider as three looks in place of one demand."""
    assert level() == pytest.approx(1 - spent(LOOKS))
    assert 0.975 < level() < 0.985
