"""The loads of a calibration: few, short, and different in what their steps compute."""

from __future__ import annotations

import math
from typing import Any

_ALONE = (16, 128, 400, 1024)
_TOGETHER = ((2, 64), (4, 160), (8, 48), (8, 320), (4, 768))
"""Streams and prompt tokens of the loads with several streams."""
_CROWDED = ((0.5, 128), (1.0, 32))
"""The same as a share of the server's seats: what was not measured full is not known full."""
_MOST = 256
_ANSWER = 32
_SPREAD = 0.3
"""Of prompts and answers where several streams run, so that these do not march in step."""


def designed_loads(
    scale: float = 1.0, *, max_model_len: int = 0, max_num_seqs: int = 32
) -> list[dict[str, Any]]:
    """The loads of a calibration as run parameters: prompt lengths alone, then streams by lengths, and all of it back.

    A machine whose pace drifts by a tenth within a minute makes whatever is measured later look like a faster server:
    each load runs twice, in opposite order, so that all of them are measured at the same time on average.

    Args:
        scale: of all prompt lengths.
        max_model_len: context of the server, which no request may exceed; 0 = unknown.
        max_num_seqs: seats of the server, all of which the last load takes, 256 at most.
    """
    seats = min(max_num_seqs, _MOST)
    answer = math.ceil(_ANSWER * (1 + _SPREAD))

    def length(tokens: int, spread: float = 0.0) -> int:
        most = int((max_model_len - answer) / (1 + spread)) if max_model_len else 10**9
        return max(8, min(most, round(tokens * scale)))

    common: dict[str, Any] = {"output_tokens": _ANSWER, "warmup_s": 0.5, "drain_s": 120, "duration_s": 300}
    alone = [
        {"load": "synchronous", "input_tokens": tokens, "requests": 4, **common}
        for tokens in sorted({length(tokens) for tokens in _ALONE})
    ]
    together = [
        {
            "load": "concurrent",
            "concurrency": streams,
            "input_tokens": length(tokens, _SPREAD),
            "input_tokens_spread": _SPREAD,
            "output_tokens_spread": _SPREAD,
            "requests": max(8, 2 * streams),
            **common,
            "warmup_s": 2,
        }
        for streams, tokens in (
            *_TOGETHER,
            *((max(2, round(share * seats)), tokens) for share, tokens in _CROWDED),
        )
    ]
    return [*alone, *together, *reversed(together), *reversed(alone)]
