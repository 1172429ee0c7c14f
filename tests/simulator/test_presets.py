"""Engines derived from published figures."""

import pytest

from benchkit.simulator.presets import H100, L4, LLAMA_70B, PRESETS, derive
from benchkit.simulator.step_time import Batch


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_plausible_and_says_where_it_comes_from(name):
    """A token takes somewhat longer than reading the weights, a prompt of 512 tokens 5 to 100 ms; sources are named."""
    preset = PRESETS[name]
    step = preset.step_time
    reading_us = 1e6 * step.weight_bytes / step.bytes_per_s
    assert 1.02 * reading_us < step.duration_us(Batch(0, 1, 512, 0, 1)) < 3 * reading_us
    assert 5e3 < step.duration_us(Batch(512, 0, 0, 512 * 256, 1)) < 1e5
    assert preset.kv_blocks * 16 >= preset.max_model_len
    assert len(preset.sources) == 2
    assert "Estimated" in preset.derivation


def test_the_cache_is_what_the_weights_leave():
    """H100, 8B in bf16: 0.92 * 80 GB - 3 GiB - 16.06 GB, at 128 KiB a token."""
    assert PRESETS["h100-llama-3.1-8b"].kv_blocks == int(
        (0.92 * 80e9 - 3 * 2**30 - 16.06e9) // (131_072 * 16)
    )


def test_vllms_defaults_follow_the_memory():
    """Large devices other than the A100 batch more."""
    assert (
        PRESETS["h100-llama-3.1-8b"].max_num_batched_tokens,
        PRESETS["h100-llama-3.1-8b"].max_num_seqs,
    ) == (8192, 1024)
    for name in ("a100-llama-3.1-8b", "l4-llama-3.2-1b"):
        assert (PRESETS[name].max_num_batched_tokens, PRESETS[name].max_num_seqs) == (2048, 256)


def test_a_model_that_does_not_fit_is_refused():
    """Instead of a cache of less than nothing."""
    with pytest.raises(ValueError, match="does not fit"):
        derive("no", L4, LLAMA_70B)
    assert derive("yes", H100, LLAMA_70B, devices=4).kv_blocks > 0
