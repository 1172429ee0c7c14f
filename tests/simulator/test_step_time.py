"""The step-time models."""

from dataclasses import replace

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
    # (15.009 GB + 131,072 B * 513) / (0.75 * 3.35 TB/s) = 6,000.6 us; + 900 + 8
    assert step.duration_us(Batch(0, 1, 512, 0, 1)) == pytest.approx(6_000.6 + 908, abs=0.1)
    # (2 * 6.9793e9 * 4,096 + 2 * 0.5253e9 * 1 + 524,288 * 8,388,608) / (0.55 * 989e12) = 113,197.4 us; + 908
    assert step.duration_us(Batch(4096, 0, 0, 4096 * 2048, 1)) == pytest.approx(113_197.4 + 908, abs=2)


def test_all_reduces_by_hand():
    """70B on four H100: 160 all-reduces of 12 us each, and 1.5 times a token's 16 KiB over 450 GB/s in each."""
    step = PRESETS["h100x4-llama-3.1-70b"].step_time
    alone = replace(step, reduce_us=0.0, reduce_us_per_token=0.0)
    batch = Batch(1_000, 24, 24_000, 500_000, 25)
    # 160 * 12 = 1,920; 160 * 1.5 * 16,384 B / 450 GB/s = 8.738 us a token, 1,024 of them
    assert step.duration_us(batch) - alone.duration_us(batch) == pytest.approx(
        1_920 + 8.738 * 1_024, rel=1e-4
    )


@pytest.mark.parametrize("name", ["flops_per_s", "bytes_per_s", "flops_per_token", "weight_bytes"])
def test_a_roofline_without_a_roof_is_refused(name):
    """By the name of what is missing."""
    with pytest.raises(ValueError, match=name):
        replace(PRESETS["h100-llama-3.1-8b"].step_time, **{name: 0.0})


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
