"""Request bodies of a synthetic workload: prompts of exact length, drawn by position, ready to send."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from benchkit.plan.lengths import Lengths
from benchkit.plan.randomness import Purpose, Stream
from benchkit.plan.spec import PlanSpec

FIRST_TOKEN_ID = 1000
"""Token ids below it are special, single bytes or controls in common vocabularies."""
TOKEN_IDS = 3000
"""How many ids prompts are drawn from: 1000 to 3999, present in every vocabulary that we know of."""

_BEYOND_SEEDS = 2**64
"""Seeds are smaller, so no other seed draws the contents that go with a seed."""
_MARK = "\u0000prompt\u0000"
_USAGE: dict[str, dict[str, bool]] = {
    "continuous": {"include_usage": True, "continuous_usage_stats": True},
    "final": {"include_usage": True},
}


class SyntheticWorkload:
    """Bodies of one phase: random words or token ids, behind a prefix that all prompts of the seed share.

    Random, because a prompt that was sent before meets the server's prefix cache: phases and repeats draw
    different contents, only the wanted prefix is the same.
    """

    def __init__(self, spec: PlanSpec, phase: str) -> None:
        self._spec = spec
        seed = spec.seed + spec.contents * _BEYOND_SEEDS
        self._stream = Stream(seed, spec.repeat, phase, Purpose.CONTENTS)
        self._pieces: _Pieces = _IdPieces() if spec.prompt_form == "token_ids" else _WordPieces(spec)
        self._head, self._tail = _envelope(spec)
        shared = Stream(seed, 0, "all", Purpose.PREFIX)
        self._prefix = self._pieces.draw(shared, 0, spec.prefix_tokens)

    def body(self, index: int, lengths: Lengths) -> bytes:
        """The JSON body of the request at a position; costs the same for any position."""
        rest = lengths.prompt_tokens - self._pieces.overhead_tokens - self._spec.prefix_tokens
        prompt = self._pieces.join(self._prefix + self._pieces.draw(self._stream, index, rest))
        return b"%b%b%b" % (self._head, prompt, self._tail % lengths.output_tokens)


class _WordPieces:
    """Text: words, already escaped for JSON."""

    def __init__(self, spec: PlanSpec) -> None:
        vocabulary = spec.vocabulary
        self.overhead_tokens = vocabulary.overhead_tokens
        costs = np.array(vocabulary.tokens_per_word, dtype=np.int64)
        escaped = [json.dumps(word)[1:-1].encode() for word in vocabulary.words]
        self._all = np.array(escaped, dtype=object)
        self._ones = self._all[costs == 1]
        self._costs = None if bool((costs == 1).all()) else costs

    def draw(self, stream: Stream, position: int, tokens: int) -> list[bytes]:
        """Random words that cost exactly ``tokens`` together."""
        if tokens <= 0:
            return []
        if self._costs is None:
            words: list[bytes] = self._all[stream.choice(position, tokens, len(self._all))].tolist()
            return words
        drawn = stream.choice(position, tokens, len(self._all))
        spent = np.cumsum(self._costs[drawn])
        fit = int(np.searchsorted(spent, tokens, side="right"))
        left = tokens - (int(spent[fit - 1]) if fit else 0)
        filler = drawn[fit : fit + left] % len(self._ones)
        filled: list[bytes] = self._all[drawn[:fit]].tolist() + self._ones[filler].tolist()
        return filled

    @staticmethod
    def join(pieces: list[bytes]) -> bytes:
        """The prompt as a JSON string."""
        return b'"%b"' % b" ".join(pieces)


class _IdPieces:
    """Token ids, as decimal digits."""

    overhead_tokens = 0

    def __init__(self) -> None:
        ids = [b"%d" % (FIRST_TOKEN_ID + i) for i in range(TOKEN_IDS)]
        self._all = np.array(ids, dtype=object)

    def draw(self, stream: Stream, position: int, tokens: int) -> list[bytes]:
        """``tokens`` random ids."""
        if tokens <= 0:
            return []
        ids: list[bytes] = self._all[stream.choice(position, tokens, TOKEN_IDS)].tolist()
        return ids

    @staticmethod
    def join(pieces: list[bytes]) -> bytes:
        """The prompt as a JSON array."""
        return b"[%b]" % b",".join(pieces)


_Pieces = _WordPieces | _IdPieces


def _envelope(spec: PlanSpec) -> tuple[bytes, bytes]:
    """What stands before the prompt, and after it with ``%d`` for the wanted number of tokens."""
    body: dict[str, Any] = {"model": spec.model}
    if spec.endpoint == "chat":
        body["messages"] = [{"role": "user", "content": _MARK}]
    else:
        body["prompt"] = _MARK
    body |= {"max_tokens": _MARK, "temperature": spec.temperature, "stream": True}
    if spec.stream_usage in _USAGE:
        body["stream_options"] = _USAGE[spec.stream_usage]
    if spec.ignore_eos:
        body["ignore_eos"] = True
    text = json.dumps(body | spec.extra_body, separators=(",", ":")).encode()
    head, middle, tail = text.replace(b"%", b"%%").split(json.dumps(_MARK).encode())
    return head.replace(b"%%", b"%"), middle + b"%d" + tail
