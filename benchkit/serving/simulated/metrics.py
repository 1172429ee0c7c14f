"""The embedded server's /metrics, under vLLM's names and types."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence

from benchkit.simulator.requests import EngineStats

_LATENCY_S = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
              480.0, 960.0, 1920.0, 7680.0)  # fmt: skip
_TTFT_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
           40.0, 80.0, 160.0, 640.0, 2560.0)  # fmt: skip
_TOKENS = tuple(digit * 10**power for power in range(6) for digit in (1, 2, 5))
_ITL_S = (
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
)


class Histogram:
    """A cumulative histogram in the form that Prometheus reads."""

    __slots__ = ("_bounds", "_counts", "_help", "_name", "_sum")

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._help = text
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def expose(self, labels: str) -> list[str]:
        """The lines of the text format."""
        lines = [f"# HELP {self._name} {self._help}", f"# TYPE {self._name} histogram"]
        total = 0
        for bound, count in zip((*map(float, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            lines.append(f'{self._name}_bucket{{{labels},le="{bound}"}} {float(total)}')
        return [
            *lines,
            f"{self._name}_count{{{labels}}} {float(total)}",
            f"{self._name}_sum{{{labels}}} {self._sum}",
        ]


class ServerMetrics:
    """Counters and histograms of one server."""

    def __init__(
        self, model: str, *, block_size: int = 0, kv_blocks: int = 0, prefix_caching: bool = False
    ) -> None:
        """Starts at zero.

        Args:
            model: its name, a label of everything.
            block_size: tokens a block of the KV cache; 0 where there is no cache.
            kv_blocks: its blocks; 0 = no limit.
            prefix_caching: whether what is in them can be found again.
        """
        self._cache = (
            f'block_size="{block_size}",num_gpu_blocks="{kv_blocks}",enable_prefix_caching="{prefix_caching}"'
            if block_size
            else ""
        )
        quoted = model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        self._labels = f'engine="0",model_name="{quoted}"'
        self._started_s = time.time()
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.shed = 0
        self.succeeded = {"stop": 0, "length": 0, "abort": 0, "error": 0, "repetition": 0}
        self.ttft = Histogram("vllm:time_to_first_token_seconds", "Time to first token in seconds.", _TTFT_S)
        self.itl = Histogram("vllm:inter_token_latency_seconds", "Inter-token latency in seconds.", _ITL_S)
        self.e2e = Histogram(
            "vllm:e2e_request_latency_seconds", "End-to-end request latency in seconds.", _LATENCY_S
        )
        self.queue = Histogram(
            "vllm:request_queue_time_seconds", "Time in the waiting queue in seconds.", _LATENCY_S
        )
        self.prefill = Histogram(
            "vllm:request_prefill_time_seconds", "Time in prefill in seconds.", _LATENCY_S
        )
        self.tpot = Histogram(
            "vllm:request_time_per_output_token_seconds", "Time per output token of a request.", _ITL_S
        )
        self.decode = Histogram("vllm:request_decode_time_seconds", "Time in decode in seconds.", _LATENCY_S)
        self.inference = Histogram(
            "vllm:request_inference_time_seconds", "Time in the batch in seconds.", _LATENCY_S
        )
        self.prompt_lengths = Histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", _TOKENS)
        self.answer_lengths = Histogram(
            "vllm:request_generation_tokens", "Generated tokens of a request.", _TOKENS
        )

    def expose(self, *, running: int, waiting: int, stats: EngineStats) -> str:
        """The page in the text format."""
        labels = self._labels
        lines: list[str] = []
        for name, kind, text, value in (
            ("vllm:num_requests_running", "gauge", "Requests in the batch.", running),
            ("vllm:num_requests_waiting", "gauge", "Requests waiting to be processed.", waiting),
            ("vllm:kv_cache_usage_perc", "gauge", "KV-cache usage, 1 = 100 percent.", stats.kv_usage),
            (
                "vllm:prefix_cache_queries_total",
                "counter",
                "Tokens looked up in the cache.",
                stats.prefix_queries,
            ),
            ("vllm:prefix_cache_hits_total", "counter", "Tokens found in the cache.", stats.prefix_hits),
            ("vllm:num_preemptions_total", "counter", "Preemptions of running requests.", stats.preemptions),
            ("vllm:prompt_tokens_total", "counter", "Prompt tokens processed.", self.prompt_tokens),
            ("vllm:generation_tokens_total", "counter", "Tokens generated.", self.generation_tokens),
        ):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name}{{{labels}}} {float(value)}"]
        lines += [
            "# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.",
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds {self._started_s:.2f}",
            "# HELP vllm:admission_rejections_total Requests answered 429 because too many waited.",
            "# TYPE vllm:admission_rejections_total counter",
            f'vllm:admission_rejections_total{{{labels},reason="max_queue"}} {float(self.shed)}',
        ]
        if self._cache:
            lines += [
                "# HELP vllm:cache_config_info The KV cache.",
                "# TYPE vllm:cache_config_info gauge",
                f'vllm:cache_config_info{{{self._cache},engine="0"}} 1.0',
            ]
        lines += [
            "# HELP vllm:request_success_total Requests that ended.",
            "# TYPE vllm:request_success_total counter",
        ]
        for reason, count in self.succeeded.items():
            lines.append(f'vllm:request_success_total{{{labels},finished_reason="{reason}"}} {float(count)}')
        for histogram in (
            self.prompt_lengths,
            self.answer_lengths,
            self.ttft,
            self.itl,
            self.tpot,
            self.e2e,
            self.queue,
            self.inference,
            self.prefill,
            self.decode,
        ):
            lines += histogram.expose(labels)
        return "\n".join(lines) + "\n"
