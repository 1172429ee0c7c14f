"""Engines derived from published figures."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchkit.simulator.presets import (
    A100,
    H100,
    L4,
    LLAMA_8B,
    LLAMA_70B,
    MBU,
    MFU,
    PRESETS,
    Model,
    derive,
)
from benchkit.simulator.step_time import Batch

GIB = 2**30
A100_40GB = replace(A100, name="A100 SXM 40 GB", bandwidth=1.555e12, memory=39.5 * GIB)
QWEN_HALF_B = Model(
    "Qwen2.5 0.5B", 0.494e9, 151_936, True, 24, 896, 14, 2, 64, 32_768, "config.json of Qwen/Qwen2.5-0.5B"
)


def gap_ms(preset, streams=1, context=512):
    """From token to token when so many streams decode."""
    return (
        preset.step_time.duration_us(Batch(0, streams, streams * context, 0, streams)) + preset.step_gap_us
    ) / 1e3


def prefill_ms(preset, tokens=512):
    """A prompt alone in its step."""
    return preset.step_time.duration_us(Batch(tokens, 0, 0, tokens * tokens // 2, 1)) / 1e3


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_plausible(name):
    """Nothing beats its hardware, nor takes more than a few times as long as that needs.

    A token: at least reading the weights at the whole bandwidth; at most 2.5 times that, and 150 us for each
    all-reduce, the worst that engines are reported with on one node. A prompt of 512 tokens: at least its products at
    the whole peak; at most those at a third of it, and 5 ms of the host.
    """
    preset = PRESETS[name]
    step = preset.step_time
    reading_ms = 1e3 * step.weight_bytes / (step.bytes_per_s / MBU)
    reduces = 0 if preset.hardware.startswith("1 x") else 160
    assert reading_ms < gap_ms(preset) < 2.5 * reading_ms + 0.15 * reduces
    products_ms = 1e3 * 512 * step.flops_per_token / (step.flops_per_s / MFU)
    assert products_ms < prefill_ms(preset) < 3 * max(products_ms, reading_ms) + 0.15 * reduces + 5
    assert preset.kv_blocks * 16 >= preset.max_model_len
    assert preset.schedule_ahead


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_says_where_it_comes_from(name):
    """The hardware's and the model's sources come first, then those of the estimates, which are called so."""
    preset = PRESETS[name]
    assert "datasheet: https://" in preset.sources[0]
    assert "config.json" in preset.sources[1]
    assert all("https://" in source for source in preset.sources[2:])
    assert "Estimated" in preset.derivation


@pytest.mark.parametrize(
    ("hardware", "model", "streams", "context", "published_ms"),
    [
        # github.com/LambdaLabsML/vllm-benchmark, results/prompt_10, tp1_len4096: the last stream's ten steps take
        # 72.2 and 113.8 ms (Llama 3 8B, which has the shape of 3.1)
        pytest.param(H100, LLAMA_8B, 1, 550, 7.22, id="H100"),
        pytest.param(A100, LLAMA_8B, 1, 550, 11.38, id="A100"),
        # johnmusgrave.com/p/vllm-throughput-latency-sweep-on: 75 tokens a second alone
        pytest.param(A100_40GB, LLAMA_8B, 1, 1_088, 13.3, id="A100 40 GB"),
        # ai.wmx.dev/benchmarks: median inter-token latency at concurrency 1 and 32
        pytest.param(L4, QWEN_HALF_B, 1, 320, 5.1, id="L4"),
        pytest.param(L4, QWEN_HALF_B, 32, 320, 7.1, id="L4, 32 streams"),
    ],
)
def test_tokens_come_as_others_measured(hardware, model, streams, context, published_ms):
    """Within 15 % of published measurements of vLLM, by one set of shares and overheads for all devices."""
    assert gap_ms(derive("x", hardware, model), streams, context) == pytest.approx(published_ms, rel=0.15)


def test_the_cache_is_as_large_as_others_found_it():
    """vLLM on H100 with 0.9 of the memory had 51.38 GiB for 8B, and 2 x 32.00 for 70B in fp8 on two.

    Source: llm-d/llm-d-benchmark, config_explorer/empirical-vllm-memory-results.md.
    """
    one = derive("x", H100, LLAMA_8B, memory_share=0.9)
    assert one.kv_blocks * 16 * 131_072 / GIB == pytest.approx(51.38, rel=0.02)
    two = derive("x", H100, LLAMA_70B, devices=2, fp8=True, memory_share=0.9)
    assert two.kv_blocks * 16 * 327_680 / GIB == pytest.approx(2 * 32.00, rel=0.03)


def test_the_cache_is_what_the_weights_leave():
    """H100, 8B in bf16: 0.92 * 79.2 GiB - 5 GiB - 16.06 GB, at 128 KiB a token."""
    room = 0.92 * 79.2 * GIB - 5 * GIB - 16.06e9
    assert PRESETS["h100-llama-3.1-8b"].kv_blocks == int(room // (131_072 * 16))


def test_eight_bits_are_for_the_layers_only():
    """Embeddings and output layer stay at 16: 6.98 GB + 2 * 1.05 GB to hold, one table of them less to read."""
    preset = PRESETS["h100-llama-3.1-8b-fp8"]
    assert preset.step_time.weight_bytes == pytest.approx(6.979e9 + 1.051e9, rel=1e-3)
    assert "weights 9.1 GB" in preset.derivation


def test_vllms_defaults_follow_the_memory():
    """Large devices other than the A100 batch more, the largest most."""
    limits = {name: (p.max_num_batched_tokens, p.max_num_seqs) for name, p in PRESETS.items()}
    assert limits["h100-llama-3.1-8b"] == limits["h200-llama-3.1-8b"] == (8192, 1024)
    assert limits["a100-llama-3.1-8b"] == limits["l4-llama-3.2-1b"] == (2048, 256)
    assert limits["b200-llama-3.1-70b-fp8"] == limits["mi300x-llama-3.1-70b"] == (16384, 1024)


def test_a_model_that_does_not_fit_is_refused():
    """Instead of a cache of less than nothing."""
    with pytest.raises(ValueError, match="does not fit"):
        derive("no", L4, LLAMA_70B)
    assert derive("yes", H100, LLAMA_70B, devices=4).kv_blocks > 0


def test_the_documented_table_is_the_presets():
    """Each row of the table in docs/simulator.md says what its preset does."""
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `") and " x " in line]
    assert rows == [
        f"| `{name}` | {p.hardware} | {p.model} | {p.kv_blocks * 16:,} | {prefill_ms(p):.1f} ms "
        f"| {gap_ms(p):.1f} ms | {gap_ms(p, 64):.1f} ms |"
        for name, p in PRESETS.items()
    ]
