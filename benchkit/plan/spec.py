"""Everything a plan depends on, as one JSON-able value that can be handed to another process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from benchkit.errors import InvalidParameter
from benchkit.plan.lengths import bounds
from benchkit.plan.vocabulary import DEFAULT_VOCABULARY, Vocabulary

if TYPE_CHECKING:
    from benchkit.parameters import RunParameters

__all__ = ["DEFAULT_VOCABULARY", "OPEN_LOOPS", "PlanSpec", "Vocabulary"]

OPEN_LOOPS = frozenset({"constant", "poisson", "gamma"})
"""Loads whose requests are due at times of the plan, whatever the server does."""


@dataclass(frozen=True, slots=True)
class PlanSpec:
    """What is sent and when, before it is drawn: equal specs give equal plans on any machine."""

    load: str
    concurrency: int
    """Streams of a closed loop: 1 for synchronous, the cap for throughput; no meaning in an open loop."""
    rate: float
    """Arrivals per second of an open loop."""
    burstiness: float
    """Shape of gamma gaps; 1 is Poisson."""
    warmup_s: float
    duration_s: float
    """The window; 0 = no limit of time."""
    requests: int
    """Sessions of the window; 0 = no limit of number."""
    dataset: str
    prompt_form: str
    """text or token_ids."""
    endpoint: str
    """chat or completions."""
    model: str
    input_tokens: int
    output_tokens: int
    input_tokens_spread: float
    output_tokens_spread: float
    prefix_tokens: int
    """Tokens at the start of each prompt that all prompts of the seed share."""
    ignore_eos: bool
    """Whether the bodies ask for it."""
    temperature: float
    extra_body: dict[str, Any]
    seed: int
    repeat: int
    vocabulary: Vocabulary
    stream_usage: str
    """What is asked of ``usage`` in the stream: continuous (on every chunk), final, or none."""
    contents: int = 0
    """Which contents go with the seed's times and lengths: runs that are paired share those, and never a prompt."""

    @classmethod
    def of(
        cls,
        parameters: RunParameters,
        *,
        model: str,
        vocabulary: Vocabulary = DEFAULT_VOCABULARY,
        stream_usage: str = "continuous",
        ignore_eos: bool | None = None,
        repeat: int = 0,
        contents: int = 0,
    ) -> PlanSpec:
        """The spec of a run's parameters and of what the preflight found.

        Args:
            parameters: resolved.
            model: the name that the server knows.
            vocabulary: words with their costs; the default's costs are assumed.
            stream_usage: what the server understands of ``stream_options``.
            ignore_eos: whether to ask for it; None = as the parameters say.
            repeat: which repeat of the run, from 0.
            contents: other than 0, other prompts at the same times and of the same lengths.

        Raises:
            InvalidParameter: ``input_tokens`` leaves no room for a prompt beside the server's own tokens.
        """
        p = parameters
        if p.prompt_form == "text":
            _check_room(p, vocabulary)
        return cls(
            load=p.load,
            concurrency=p.streams,
            rate=p.rate,
            burstiness=p.burstiness,
            warmup_s=p.warmup_s,
            duration_s=p.duration_s,
            requests=p.requests,
            dataset=p.dataset,
            prompt_form=p.prompt_form,
            endpoint=p.endpoint,
            model=model,
            input_tokens=p.input_tokens,
            output_tokens=p.output_tokens,
            input_tokens_spread=p.input_tokens_spread,
            output_tokens_spread=p.output_tokens_spread,
            prefix_tokens=p.prefix_tokens,
            ignore_eos=p.ignore_eos if ignore_eos is None else ignore_eos,
            temperature=p.temperature,
            extra_body=dict(p.extra_body),
            seed=p.seed,
            repeat=repeat,
            vocabulary=vocabulary,
            stream_usage=stream_usage,
            contents=contents,
        )

    @property
    def is_open_loop(self) -> bool:
        """Whether requests are due at times of the plan."""
        return self.load in OPEN_LOOPS

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; contents only where they are not the seed's own, as in plans of earlier versions."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "contents" or self.contents}
        return plain | {"vocabulary": self.vocabulary.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PlanSpec:
        """The spec that ``to_json`` wrote."""
        return cls(**{**data, "vocabulary": Vocabulary.from_json(data["vocabulary"])})

    def canonical(self) -> bytes:
        """One byte string for equal specs: JSON with sorted keys, numbers as Python writes them."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":")).encode()


def _check_room(parameters: RunParameters, vocabulary: Vocabulary) -> None:
    smallest = bounds(parameters.input_tokens, parameters.input_tokens_spread)[0]
    least = vocabulary.overhead_tokens + max(1, parameters.prefix_tokens)
    if smallest < least:
        raise InvalidParameter(
            f"'input_tokens' asks for prompts of {smallest} tokens, but the server adds "
            f"{vocabulary.overhead_tokens} of its own (chat template) "
            f"and {parameters.prefix_tokens} are shared by 'prefix_tokens': "
            f"ask for at least {least}, or use prompt_form 'token_ids' with endpoint 'completions'"
        )
