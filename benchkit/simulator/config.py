"""All that a simulated engine can be told."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from benchkit.simulator.step_time import LinearStepTime, StepTime


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The engine's settings but its step time, under vLLM's names where vLLM has them.

    Raises:
        ValueError: A value out of range; the text names it.
    """

    max_num_seqs: int = 256
    """Requests computed at the same time; more wait."""
    max_num_batched_tokens: int = 8_192
    """Tokens that a step may compute."""
    long_prefill_token_threshold: int = 0
    """Tokens of one prompt that a step may compute while there are other requests; 0 = no limit of its own."""
    kv_blocks: int = 0
    """Blocks of the KV cache; 0 = no limit, and then nothing is cached between requests."""
    block_size: int = 16
    """Tokens a block."""
    prefix_caching: bool = True
    schedule_ahead: bool = False
    """Whether a step's batch is fixed when the step before it starts (vLLM's asynchronous scheduling)."""
    step_gap_us: float = 0.0
    """Between the end of a step and the start of the next: scheduling, sampling, copying."""
    api_us: float = 0.0
    """What the front end, one process, takes for a request before the scheduler sees it."""
    api_us_per_prompt_token: float = 0.0
    """The same for each token of its prompt (reading and tokenizing it)."""
    stream_us: float = 0.0
    """What the front end takes for each event of tokens that it sends."""
    jitter: float = 0.0
    """Standard deviation of the logarithm of a step's time round its model."""
    seed: int = 0
    """Of all that is drawn: the jitter, which drafts are accepted, where an answer stops by itself."""
    draft_tokens: int = 0
    """Tokens that a draft proposes for each request and step (speculative decoding); 0 = none."""
    draft_acceptance: float = 0.0
    """Probability that a proposed token is accepted, given that those before it were."""
    stream_interval: int = 1
    """Tokens that are sent together, after the first one of an answer."""
    cold_ms: float = 0.0
    """What the first step takes longer: a server that is not warm."""

    def __post_init__(self) -> None:
        for name in ("max_num_seqs", "max_num_batched_tokens", "block_size", "stream_interval"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in (
            "long_prefill_token_threshold",
            "kv_blocks",
            "step_gap_us",
            "api_us",
            "api_us_per_prompt_token",
            "stream_us",
            "jitter",
            "draft_tokens",
            "cold_ms",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0")
        if not 0 <= self.draft_acceptance <= 1:
            raise ValueError(f"draft_acceptance is {self.draft_acceptance}; it must be between 0 and 1")
        if self.draft_tokens >= self.max_num_batched_tokens:
            raise ValueError("draft_tokens must be below max_num_batched_tokens: a step must hold a request")


@dataclass(frozen=True, slots=True)
class EngineConfig(EngineSettings):
    """All that an engine is made of."""

    step_time: StepTime = field(default_factory=LinearStepTime)

    @classmethod
    def of(cls, settings: EngineSettings, step_time: StepTime) -> EngineConfig:
        """The engine's part of settings that may have more, and a step time."""
        names = (each.name for each in dataclasses.fields(EngineSettings))
        return cls(step_time=step_time, **{name: getattr(settings, name) for name in names})
