"""How long one step of an inference engine takes, from what is in its batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Batch(NamedTuple):
    """What a step computes."""

    prefill_tokens: int
    """Tokens beyond one for each decoding request: of prompts, recomputed ones, drafted ones."""
    decoding_requests: int
    """Requests that compute just their next token."""
    kv_tokens: int
    """Context that these read, summed over them."""
    pairs: int
    """Pairs of a computed prompt token and a token before it: chunk * (context before it + chunk / 2), summed."""
    requests: int
    """All requests in the batch."""


class StepTime(Protocol):
    """A model of how long a step takes."""

    def duration_us(self, batch: Batch) -> float:
        """Microseconds for a step with that batch."""


@dataclass(frozen=True, slots=True)
class LinearStepTime:
    """Duration of a step, linear in the batch: ``base + prefill + decode + cache``.

    The form that measured engines are commonly fitted with: a constant for launching the step, compute for
    each prompt token, work for each request that decodes, and memory traffic for each cached token read.
    The defaults are round numbers near an 8B model on one mid-range accelerator, and nobody's measurement.
    """

    base_us: float = 8_000.0
    """Constant part of any step."""
    prefill_us_per_token: float = 40.0
    """For each prompt token computed in the step."""
    decode_us_per_request: float = 60.0
    """For each request that gets its next token in the step."""
    kv_us_per_token: float = 0.02
    """For each token of context that decoding requests read from the cache."""

    attention_us_per_pair: float = 0.0
    """For each pair of a computed prompt token and a token before it."""

    def __post_init__(self) -> None:
        if self.base_us <= 0:
            raise ValueError(f"base_us is {self.base_us}: a step must take time; give a value above 0")
        for name in (
            "prefill_us_per_token",
            "decode_us_per_request",
            "kv_us_per_token",
            "attention_us_per_pair",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give 0 or more")

    def duration_us(self, batch: Batch) -> float:
        """Microseconds for a step with that batch."""
        return (
            self.base_us
            + self.prefill_us_per_token * batch.prefill_tokens
            + self.decode_us_per_request * batch.decoding_requests
            + self.kv_us_per_token * batch.kv_tokens
            + self.attention_us_per_pair * batch.pairs
        )

    def duration_ns(self, *, prefill_tokens: int, decoding_requests: int, kv_tokens: int) -> int:
        """Nanoseconds for a step that computes and reads that much."""
        microseconds = (
            self.base_us
            + self.prefill_us_per_token * prefill_tokens
            + self.decode_us_per_request * decoding_requests
            + self.kv_us_per_token * kv_tokens
        )
        return round(microseconds * 1_000)
