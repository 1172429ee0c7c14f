"""The step-time models."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.simulator.presets import PRESETS
from benchkit.simulator.step_time import Batch, LinearStepTime


def test_adds_its_parts():
    """A step costs its base, its prompt tokens, its decoding requests and the cache it reads."""
    model = LinearStepTime(
        base_us=1_000,
        prefill_us_per_token=10,
        decode_us_per_request=100,
        kv_us_per_token=0.5,
        attention_us_per_pair=0.001,
    )

    # 1,000 + 10 * 32 + 100 * 4 + 0.5 * 800 + 0.001 * 5,000 us
    assert model.duration_us(Batch(32, 4, 800, 5_000, 5)) == 2_125


def test_free_tokens_go_to_decoding_requests_first():
    """Prompt tokens cost only beyond what the step computes anyway; a batch that decodes more has none free."""
    model = LinearStepTime(
        base_us=1_000, prefill_us_per_token=10, decode_us_per_request=0, kv_us_per_token=0, free_tokens=50
    )
    assert model.duration_us(Batch(40, 10, 0, 0, 11)) == 1_000
    assert model.duration_us(Batch(45, 10, 0, 0, 11)) == 1_050
    assert model.duration_us(Batch(45, 60, 0, 0, 61)) == 1_450


@pytest.mark.parametrize(
    ("name", "value"),
    [("free_tokens", -1.0), ("base_us", 0.0), ("prefill_us_per_token", -1.0), ("kv_us_per_token", -0.1)],
)
def test_refuses_steps_that_take_no_time(name, value):
    """A model whose steps could take no time, or less, is refused by the name of its coefficient."""
    with pytest.raises(ValueError, match=name):
        LinearStepTime(**{name: value})


def test_the_roofline_by_hand():
    """Llama 3.1 8B on an H100: decoding reads the weights, a long prefill is limited by computing."""
    step = PRESETS["h100-llama-3.1-8b"].step_time
    # (16.06 GB + 131,072 B * 513) / (0.75 * 3.35 TB/s) = 6,419 us; + 900 + 8
    assert step.duration_us(Batch(0, 1, 512, 0, 1)) == pytest.approx(6_418.9 + 908, abs=1)
    # (2 * 7.505e9 * 4,096 + 524,288 * 8,388,608) / (0.55 * 989e12) = 121,113 us; + 908
    assert step.duration_us(Batch(4096, 0, 0, 4096 * 2048, 1)) == pytest.approx(121_113 + 908, abs=5)


@given(
    st.sampled_from(sorted(PRESETS)),
    st.tuples(*[st.integers(0, 5_000)] * 5),
    st.integers(0, 4),
    st.integers(1, 900),
)
def test_more_work_never_takes_less_time(name, batch, which, more):
    """Each part of a batch can only make its step longer."""
    step = PRESETS[name].step_time
    larger = list(batch)
    larger[which] += more
    assert step.duration_us(Batch(*larger)) >= step.duration_us(Batch(*batch)) > 0
