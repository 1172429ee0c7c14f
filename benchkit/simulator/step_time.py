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
    mixed_us_per_pair: float = 0.0
    """For each pair of a prompt token and a request that decodes beside it: engines handle such batches less well."""
    free_tokens: float = 0.0
    """Tokens, decoding requests first, that are computed while the step waits for memory: prompt tokens among them cost
    no ``prefill_us_per_token``. The corner of the roofline."""

    def __post_init__(self) -> None:
        if self.base_us <= 0:
            raise ValueError(f"base_us is {self.base_us}: a step must take time; give a value above 0")
        for name in (
            "prefill_us_per_token",
            "decode_us_per_request",
            "kv_us_per_token",
            "attention_us_per_pair",
            "mixed_us_per_pair",
            "free_tokens",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give 0 or more")

    def duration_us(self, batch: Batch) -> float:
        """Microseconds for a step with that batch."""
        prefill: float = batch.prefill_tokens
        if self.free_tokens > batch.decoding_requests:
            prefill = max(0.0, prefill + batch.decoding_requests - self.free_tokens)
        return (
            self.base_us
            + self.prefill_us_per_token * prefill
            + self.decode_us_per_request * batch.decoding_requests
            + self.kv_us_per_token * batch.kv_tokens
            + self.attention_us_per_pair * batch.pairs
            + self.mixed_us_per_pair * batch.prefill_tokens * batch.decoding_requests
        )


@dataclass(frozen=True, slots=True)
class RooflineStepTime:
    """Duration of a step as the slower of computing and reading memory, and overheads beside it.

    ``max(FLOPs / (peak * mfu), bytes / (bandwidth * mbu)) + all-reduces + base + per request``. Source: the roofline
    model (Williams, Waterman, Patterson 2009); FLOPs of a transformer: 2 a parameter and token, and 4 * layers *
    heads * head size a pair of tokens in attention (Kaplan et al. 2020, table 1). The output layer counts once a
    request, since only a request's last token needs it. Figures are of all devices together. Context that a chunk of a
    prompt reads is not counted as read: such steps are limited by computing.
    """

    flops_per_s: float
    """What the devices reach: peak times its utilisation."""
    bytes_per_s: float
    """What they read: bandwidth times its utilisation."""
    flops_per_token: float
    """Of the layers' weights, for each token computed."""
    flops_per_pair: float
    """Of attention, for each pair of a token and one before it."""
    weight_bytes: float
    """Read once a step."""
    kv_bytes_per_token: float
    """Of keys and values, for each token of context read or written."""
    base_us: float
    """Launching a step, sampling."""
    request_us: float
    """Preparing each request of the batch, on the host."""
    reduce_us: float = 0.0
    """Of all all-reduces of a step together: their latency."""
    reduce_us_per_token: float = 0.0
    """And their transfer."""
    flops_per_request: float = 0.0
    """Of the output layer."""

    def __post_init__(self) -> None:
        for name in ("flops_per_s", "bytes_per_s", "flops_per_token", "weight_bytes"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a value above 0")

    def duration_us(self, batch: Batch) -> float:
        """Microseconds for a step with that batch."""
        tokens = batch.prefill_tokens + batch.decoding_requests
        flops = (
            self.flops_per_token * tokens
            + self.flops_per_request * batch.requests
            + self.flops_per_pair * (batch.pairs + batch.kv_tokens)
        )
        read = self.weight_bytes + self.kv_bytes_per_token * (batch.kv_tokens + tokens)
        return (
            1e6 * max(flops / self.flops_per_s, read / self.bytes_per_s)
            + self.reduce_us
            + self.reduce_us_per_token * tokens
            + self.base_us
            + self.request_us * batch.requests
        )
