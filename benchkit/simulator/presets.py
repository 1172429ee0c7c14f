"""Engines named after hardware and model, derived from published figures; what is estimated says so.

Derived, not measured: nobody ran these models on these devices for this table. They show how such a server behaves, to
learn and to plan on; for figures to rely on make a twin of the real server (``benchkit calibrate``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchkit.simulator.step_time import RooflineStepTime

_GIB = 1024**3
MFU = 0.55
"""Share of the peak that prefill reaches. Estimated: large matrix products reach 0.5 to 0.7 in practice."""
MBU = 0.75
"""Share of the bandwidth that decoding reaches. Estimated: 0.6 to 0.85 is what engines are reported to reach."""
MEMORY_SHARE = 0.92
"""vLLM's default ``gpu_memory_utilization``."""
RESERVE_BYTES = 3 * _GIB
"""Activations and CUDA graphs, each device. Estimated."""
BASE_US, REQUEST_US = 900.0, 8.0
"""Host work a step and a request in it. Estimated: single streams take about a millisecond more than the roofline."""
REDUCE_US = 12.0
"""Latency of one all-reduce within a node. Estimated."""
STEP_GAP_US, API_US, API_US_PER_TOKEN, STREAM_US, JITTER = 150.0, 2_000.0, 1.5, 50.0, 0.03
"""Between steps, for a request, for each token of its prompt (a tokenizer does some 700,000 a second), for each event
sent, spread of steps. Estimated, within what is published of such servers (0.1 to 5 ms, 1 to 15 ms, about 50 us)."""
BLOCK_SIZE = 16
SETTINGS = (
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "kv_blocks",
    "step_gap_us",
    "api_us",
    "api_us_per_prompt_token",
    "stream_us",
    "jitter",
    "schedule_ahead",
)
"""Fields of a preset that are settings of an engine."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """A device's published figures: dense FLOP/s, bytes a second, bytes."""

    name: str
    bf16_flops: float
    fp8_flops: float
    bandwidth: float
    memory: float
    link_bandwidth: float
    """Between devices of a node, one direction; 0 = not meant for it."""
    source: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model's published shape."""

    name: str
    parameters: float
    embedding_parameters: float
    """Of the input table, which is looked up, not multiplied with; 0 where it is also the output's."""
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    max_model_len: int
    source: str


@dataclass(frozen=True, slots=True)
class Preset:
    """An engine's settings with where they come from."""

    name: str
    step_time: RooflineStepTime
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_blocks: int
    hardware: str
    model: str
    sources: tuple[str, ...]
    derivation: str
    step_gap_us: float = STEP_GAP_US
    api_us: float = API_US
    api_us_per_prompt_token: float = API_US_PER_TOKEN
    stream_us: float = STREAM_US
    jitter: float = JITTER
    schedule_ahead: bool = True


H100 = Hardware("H100 SXM 80 GB", 989e12, 1979e12, 3.35e12, 80e9, 450e9,
                "NVIDIA H100 datasheet: https://www.nvidia.com/en-us/data-center/h100/")  # fmt: skip
H200 = Hardware("H200 SXM 141 GB", 989e12, 1979e12, 4.8e12, 141e9, 450e9,
                "NVIDIA H200 datasheet: https://www.nvidia.com/en-us/data-center/h200/")  # fmt: skip
A100 = Hardware("A100 SXM 80 GB", 312e12, 312e12, 2.039e12, 80e9, 300e9,
                "NVIDIA A100 datasheet: https://www.nvidia.com/en-us/data-center/a100/")  # fmt: skip
L40S = Hardware("L40S 48 GB", 362e12, 733e12, 0.864e12, 48e9, 0,
                "NVIDIA L40S datasheet: https://www.nvidia.com/en-us/data-center/l40s/")  # fmt: skip
L4 = Hardware("L4 24 GB", 121e12, 242e12, 0.3e12, 24e9, 0,
              "NVIDIA L4 datasheet: https://www.nvidia.com/en-us/data-center/l4/")  # fmt: skip

LLAMA_8B = Model("Llama 3.1 8B", 8.03e9, 0.525e9, 32, 4096, 32, 8, 128, 131_072,
                 "config.json of meta-llama/Llama-3.1-8B")  # fmt: skip
LLAMA_1B = Model("Llama 3.2 1B", 1.236e9, 0, 16, 2048, 32, 8, 64, 131_072,
                 "config.json of meta-llama/Llama-3.2-1B")  # fmt: skip
LLAMA_70B = Model("Llama 3.1 70B", 70.55e9, 1.05e9, 80, 8192, 64, 8, 128, 131_072,
                  "config.json of meta-llama/Llama-3.1-70B")  # fmt: skip
QWEN_7B = Model("Qwen2.5 7B", 7.62e9, 0.545e9, 28, 3584, 28, 4, 128, 32_768,
                "config.json of Qwen/Qwen2.5-7B")  # fmt: skip


def derive(name: str, hardware: Hardware, model: Model, *, devices: int = 1, fp8: bool = False) -> Preset:
    """The preset of a model on so many devices by tensor parallelism.

    Args:
        name: what it is called.
        hardware: one device.
        model: its shape.
        devices: how many of them share each layer.
        fp8: whether weights and products are 8 bits wide (keys and values stay 16); else all is bf16.

    Raises:
        ValueError: The model does not fit.
    """
    weight_bytes = model.parameters * (1 if fp8 else 2)
    kv_bytes = 2 * model.layers * model.kv_heads * model.head_size * 2
    room = devices * (hardware.memory * MEMORY_SHARE - RESERVE_BYTES) - weight_bytes
    if room <= 0:
        raise ValueError(f"{name}: {model.name} does not fit {devices} x {hardware.name}")
    blocks = int(room // (kv_bytes * BLOCK_SIZE))
    large = hardware.memory >= 70 * _GIB and hardware is not A100
    reduces = 2 * model.layers if devices > 1 else 0
    reduced_bytes = 2 * (devices - 1) / devices * model.hidden * 2
    step_time = RooflineStepTime(
        flops_per_s=devices * MFU * (hardware.fp8_flops if fp8 else hardware.bf16_flops),
        bytes_per_s=devices * MBU * hardware.bandwidth,
        flops_per_token=2 * (model.parameters - model.embedding_parameters),
        flops_per_pair=4 * model.layers * model.heads * model.head_size,
        weight_bytes=weight_bytes,
        kv_bytes_per_token=kv_bytes,
        base_us=BASE_US,
        request_us=REQUEST_US,
        reduce_us=reduces * REDUCE_US,
        reduce_us_per_token=1e6 * reduces * reduced_bytes / hardware.link_bandwidth if reduces else 0.0,
    )
    return Preset(
        name=name,
        step_time=step_time,
        max_model_len=min(model.max_model_len, blocks * BLOCK_SIZE),
        max_num_seqs=1024 if large else 256,
        max_num_batched_tokens=8192 if large else 2048,
        kv_blocks=blocks,
        hardware=f"{devices} x {hardware.name}",
        model=f"{model.name}, {'fp8' if fp8 else 'bf16'}",
        sources=(hardware.source, model.source),
        derivation=(
            f"weights {weight_bytes / 1e9:.1f} GB read a step at {MBU:g} of {devices} x "
            f"{hardware.bandwidth / 1e12:g} TB/s; products at {MFU:g} of the dense peak; cache "
            f"{blocks * BLOCK_SIZE:,} tokens of {kv_bytes / 1024:.0f} KiB in {MEMORY_SHARE:g} of the memory less "
            f"weights and {RESERVE_BYTES / _GIB:g} GiB a device. Estimated: both shares of the peaks, the reserve, "
            "all overheads of host, front end and all-reduce, and the jitter."
        ),
    )


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        derive("h100-llama-3.1-8b", H100, LLAMA_8B),
        derive("h100-llama-3.1-8b-fp8", H100, LLAMA_8B, fp8=True),
        derive("h200-llama-3.1-8b", H200, LLAMA_8B),
        derive("a100-llama-3.1-8b", A100, LLAMA_8B),
        derive("a100-qwen2.5-7b", A100, QWEN_7B),
        derive("l40s-llama-3.1-8b", L40S, LLAMA_8B),
        derive("l4-llama-3.2-1b", L4, LLAMA_1B),
        derive("h100x4-llama-3.1-70b", H100, LLAMA_70B, devices=4),
        derive("h100x8-llama-3.1-70b-fp8", H100, LLAMA_70B, devices=8, fp8=True),
    )
}
"""Every preset by its name."""
