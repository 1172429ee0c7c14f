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
"""Share of the peak that prefill reaches. Estimated: BLIS is configured with 0.55 to 0.65 for an H100."""
MBU = 0.75
"""Share of the bandwidth that decoding reaches. Estimated: 0.70 to 0.85 is reported for such engines, 0.72 in BLIS."""
MEMORY_SHARE = 0.92
"""vLLM's default ``gpu_memory_utilization`` (0.32; it was 0.90 before)."""
RESERVE_BYTES = {16_384: 6 * _GIB, 8_192: 5 * _GIB, 2_048: 1.5 * _GIB}
"""Activations, graphs and the rest, each device, by ``max_num_batched_tokens``: vLLM measures them with a full batch.

Published: 4.9 GiB for Llama 3.1 8B, 5.4 for 70B in fp8 on two, both on H100; 1.35 without graphs at 2,048 on another
card. 6 GiB for 16,384 is estimated."""
BASE_US, REQUEST_US = 900.0, 8.0
"""Host work a step and a request in it. Estimated: published single streams come out within 8 %."""
REDUCE_US = 12.0
"""Latency of one all-reduce within a node. Estimated."""
STEP_GAP_US, API_US, API_US_PER_TOKEN, STREAM_US, JITTER = 150.0, 2_000.0, 1.5, 50.0, 0.03
"""Between steps, for a request, for each token of its prompt (a tokenizer does some 700,000 a second), for each event
sent, spread of steps. Estimated, within what is published of such servers (0.1 to 5 ms, 1 to 15 ms, about 50 us)."""
ESTIMATES = (
    "BLIS's hardware settings: https://github.com/inference-sim/inference-sim",
    "shares of bandwidth reached: https://www.open-source-ai.tech/glossary/model-bandwidth-utilization",
    "memory vLLM takes on an H100: https://github.com/llm-d/llm-d-benchmark, empirical-vllm-memory-results.md",
    "single streams of 8B on H100 and A100: https://github.com/LambdaLabsML/vllm-benchmark, results/prompt_10",
    "host work beside the GPU: https://blog.vllm.ai/2024/09/05/perf-update.html",
)
"""What the estimates lean on."""
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
    """What PyTorch says it has, which is what vLLM takes its share of: less than the name says."""
    link_bandwidth: float
    """Between devices of a node, one direction; 0 = not meant for it."""
    source: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model's published shape."""

    name: str
    parameters: float
    vocabulary: int
    tied: bool
    """Whether the table of input embeddings is the output layer's weights, too."""
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    max_model_len: int
    source: str

    @property
    def table_parameters(self) -> int:
        """Of the input embeddings, which are looked up; the output layer has as many."""
        return self.vocabulary * self.hidden

    @property
    def layer_parameters(self) -> float:
        """Multiplied with every token."""
        return self.parameters - self.table_parameters * (1 if self.tied else 2)


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


H100 = Hardware("H100 SXM 80 GB", 989e12, 1979e12, 3.35e12, 79.2 * _GIB, 450e9,
                "NVIDIA H100 datasheet: https://www.nvidia.com/en-us/data-center/h100/")  # fmt: skip
H200 = Hardware("H200 SXM 141 GB", 989e12, 1979e12, 4.8e12, 139.8 * _GIB, 450e9,
                "NVIDIA H200 datasheet: https://www.nvidia.com/en-us/data-center/h200/")  # fmt: skip
B200 = Hardware("B200 SXM 180 GB", 2250e12, 4500e12, 8e12, 178.35 * _GIB, 900e9,
                "NVIDIA DGX B200 datasheet: https://www.nvidia.com/en-us/data-center/dgx-b200/")  # fmt: skip
A100 = Hardware("A100 SXM 80 GB", 312e12, 312e12, 2.039e12, 79.2 * _GIB, 300e9,
                "NVIDIA A100 datasheet: https://www.nvidia.com/en-us/data-center/a100/")  # fmt: skip
L40S = Hardware("L40S 48 GB", 362e12, 733e12, 0.864e12, 44.4 * _GIB, 0,
                "NVIDIA L40S datasheet: https://www.nvidia.com/en-us/data-center/l40s/")  # fmt: skip
L4 = Hardware("L4 24 GB", 121e12, 242e12, 0.3e12, 22.05 * _GIB, 0,
              "NVIDIA L4 datasheet: https://www.nvidia.com/en-us/data-center/l4/")  # fmt: skip
MI300X = Hardware("MI300X 192 GB", 1307e12, 2615e12, 5.3e12, 191.98 * _GIB, 448e9, "AMD MI300X datasheet: "
                  "https://www.amd.com/en/products/accelerators/instinct/mi300/mi300x.html")  # fmt: skip

LLAMA_8B = Model("Llama 3.1 8B", 8.03e9, 128_256, False, 32, 4096, 32, 8, 128, 131_072,
                 "config.json of meta-llama/Llama-3.1-8B")  # fmt: skip
LLAMA_1B = Model("Llama 3.2 1B", 1.236e9, 128_256, True, 16, 2048, 32, 8, 64, 131_072,
                 "config.json of meta-llama/Llama-3.2-1B")  # fmt: skip
LLAMA_70B = Model("Llama 3.1 70B", 70.55e9, 128_256, False, 80, 8192, 64, 8, 128, 131_072,
                  "config.json of meta-llama/Llama-3.1-70B")  # fmt: skip
QWEN_7B = Model("Qwen2.5 7B", 7.62e9, 152_064, False, 28, 3584, 28, 4, 128, 32_768,
                "config.json of Qwen/Qwen2.5-7B")  # fmt: skip


def default_limits(hardware: Hardware) -> tuple[int, int]:
    """vLLM's defaults of ``max_num_batched_tokens`` and ``max_num_seqs`` for a server on that device (0.32)."""
    if hardware.memory >= 160 * _GIB:
        return 16_384, 1024
    if hardware.memory >= 70 * _GIB and "A100" not in hardware.name:
        return 8_192, 1024
    return 2_048, 256


def derive(
    name: str,
    hardware: Hardware,
    model: Model,
    *,
    devices: int = 1,
    fp8: bool = False,
    memory_share: float = MEMORY_SHARE,
) -> Preset:
    """The preset of a model on so many devices by tensor parallelism.

    Args:
        name: what it is called.
        hardware: one device.
        model: its shape.
        devices: how many of them share each layer.
        fp8: whether the layers' weights and products are 8 bits wide (embeddings, the output layer, attention, keys and
            values stay 16, as in the published checkpoints); else all is bf16.
        memory_share: ``gpu_memory_utilization``.

    Raises:
        ValueError: The model does not fit.
    """
    width = 1 if fp8 else 2
    weight_bytes = width * model.layer_parameters + 2 * (model.parameters - model.layer_parameters)
    read_bytes = width * model.layer_parameters + 2 * model.table_parameters
    kv_bytes = 2 * model.layers * max(model.kv_heads, devices) * model.head_size * 2
    budget, seats = default_limits(hardware)
    reserve = RESERVE_BYTES[budget]
    room = devices * (hardware.memory * memory_share - reserve) - weight_bytes
    blocks = int(room // (kv_bytes * BLOCK_SIZE))
    if blocks <= 0:
        raise ValueError(f"{name}: {model.name} does not fit {devices} x {hardware.name}")
    reduces = 2 * model.layers if devices > 1 else 0
    reduced_bytes = 2 * (devices - 1) / devices * model.hidden * 2
    peak = hardware.fp8_flops if fp8 else hardware.bf16_flops
    slower = peak / hardware.bf16_flops
    step_time = RooflineStepTime(
        flops_per_s=devices * MFU * peak,
        bytes_per_s=devices * MBU * hardware.bandwidth,
        flops_per_token=2 * model.layer_parameters,
        flops_per_request=slower * 2 * model.table_parameters,
        flops_per_pair=slower * 4 * model.layers * model.heads * model.head_size,
        weight_bytes=read_bytes,
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
        max_num_seqs=seats,
        max_num_batched_tokens=budget,
        kv_blocks=blocks,
        hardware=f"{devices} x {hardware.name}",
        model=f"{model.name}, {'fp8' if fp8 else 'bf16'}",
        sources=(hardware.source, model.source, *ESTIMATES),
        derivation=(
            f"weights {weight_bytes / 1e9:.1f} GB, {read_bytes / 1e9:.1f} GB of them (all but the input embeddings) "
            f"read a step at {MBU:g} of {devices} x {hardware.bandwidth / 1e12:g} TB/s; products at {MFU:g} of the "
            f"dense peak of {devices} x {peak / 1e12:,.0f} TFLOP/s; cache {blocks * BLOCK_SIZE:,} tokens of "
            f"{kv_bytes / 1024:.0f} KiB in {memory_share:g} of {devices} x {hardware.memory / _GIB:.1f} GiB less "
            f"weights and {reserve / _GIB:g} GiB a device. Estimated: both shares of the peaks, the reserve, all "
            "overheads of host, front end and all-reduce, and the jitter."
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
        derive("l4-llama-3.1-8b", L4, LLAMA_8B),
        derive("h100x4-llama-3.1-70b", H100, LLAMA_70B, devices=4),
        derive("h100x8-llama-3.1-70b-fp8", H100, LLAMA_70B, devices=8, fp8=True),
        derive("b200-llama-3.1-70b-fp8", B200, LLAMA_70B, fp8=True),
        derive("mi300x-llama-3.1-70b", MI300X, LLAMA_70B),
    )
}
"""Every preset by its name."""
