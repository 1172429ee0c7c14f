"""How long prompts and answers are wanted: joint distributions, addressed by a request's position."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchkit.plan.randomness import Stream

_BLOCK = 1024


class Lengths(NamedTuple):
    """Wanted tokens of one request."""

    prompt_tokens: int
    output_tokens: int


def bounds(tokens: int, spread: float) -> tuple[int, int]:
    """Smallest and largest length, both included: ``tokens`` minus and plus the whole part of its spread."""
    reach = min(int(spread * tokens + 1e-9), tokens - 1)
    return tokens - reach, tokens + reach


@dataclass(slots=True)
class UniformLengths:
    """Prompt and answer lengths, each uniform on its ``bounds``, independent of the other; means are exact.

    Positions are drawn in blocks that do not depend on each other, so any worker finds any request's lengths.
    """

    input_tokens: int
    input_tokens_spread: float
    output_tokens: int
    output_tokens_spread: float
    stream: Stream
    _cached: tuple[int, npt.NDArray[np.int64]] | None = field(default=None, init=False, repr=False)

    def at(self, index: int) -> Lengths:
        """Lengths of the request at a position of its phase."""
        if not self.varies:
            return Lengths(self.input_tokens, self.output_tokens)
        block, offset = divmod(index, _BLOCK)
        pair = self._block(block)[offset]
        return Lengths(int(pair[0]), int(pair[1]))

    def total(self, count: int) -> Lengths:
        """Sums over the first ``count`` requests."""
        if not self.varies:
            return Lengths(count * self.input_tokens, count * self.output_tokens)
        prompt = output = 0
        for start in range(0, count, _BLOCK):
            sums = self._block(start // _BLOCK)[: count - start].sum(axis=0)
            prompt, output = prompt + int(sums[0]), output + int(sums[1])
        return Lengths(prompt, output)

    @property
    def varies(self) -> bool:
        """Whether any two requests may differ."""
        return self.input_tokens_spread > 0.0 or self.output_tokens_spread > 0.0

    def _block(self, block: int) -> npt.NDArray[np.int64]:
        """Lengths of one block, int64 of shape (1024, 2): prompt, answer."""
        if self._cached is None or self._cached[0] != block:
            words = self.stream.words(block, 2 * _BLOCK).astype(np.uint64).reshape(_BLOCK, 2)
            low_in, high_in = bounds(self.input_tokens, self.input_tokens_spread)
            low_out, high_out = bounds(self.output_tokens, self.output_tokens_spread)
            width = np.array([high_in - low_in + 1, high_out - low_out + 1], dtype=np.uint64)
            drawn = ((words * width) >> np.uint64(32)).astype(np.int64)
            self._cached = (block, drawn + np.array([low_in, low_out], dtype=np.int64))
        return self._cached[1]
