"""The linear step-time model."""

import pytest

from benchkit.simulator.step_time import LinearStepTime


def test_adds_its_four_parts():
    """A step costs its base, its prompt tokens, its decoding requests and the cache it reads."""
    model = LinearStepTime(
        base_us=1_000, prefill_us_per_token=10, decode_us_per_request=100, kv_us_per_token=0.5
    )

    # 1,000 + 10 * 32 + 100 * 4 + 0.5 * 800 us
    assert model.duration_ns(prefill_tokens=32, decoding_requests=4, kv_tokens=800) == 2_120_000


@pytest.mark.parametrize(
    ("name", "value"), [("base_us", 0.0), ("prefill_us_per_token", -1.0), ("kv_us_per_token", -0.1)]
)
def test_refuses_steps_that_take_no_time(name, value):
    """A model whose steps could take no time, or less, is refused by the name of its coefficient."""
    with pytest.raises(ValueError, match=name):
        LinearStepTime(**{name: value})
