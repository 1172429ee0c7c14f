"""What the prefix cache knows a request's tokens by: a hash for each block, over all tokens up to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchkit.serving.simulated import tokens
from benchkit.serving.simulated.api import Call


def block_hashes(body: dict[str, Any], call: Call, block_size: int) -> list[int]:
    """Hashes of the full blocks of prompt and answer; equal ones mean equal beginnings.

    Args:
        body: the request, already understood as ``call``; its ``cache_salt``, as vLLM's, sets it apart from others.
        call: says how long the answer is and where its words start.
        block_size: tokens a block.
    """
    ids = (*_prompt_ids(body, call), *tokens.answer_ids(call.word, call.text_tokens))
    if call.finish_reason == "stop":
        ids += (tokens.MESSAGE_END,)
    salt = body.get("cache_salt")
    known = hash(str(salt)) if salt else 0
    hashes = []
    for start in range(0, len(ids) - block_size + 1, block_size):
        known = hash((known, ids[start : start + block_size]))
        hashes.append(known)
    return hashes


def _prompt_ids(body: dict[str, Any], call: Call) -> Sequence[int]:
    if call.chat:
        return tokens.tokenize_chat(body["messages"])
    prompt = body["prompt"]
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    return tokens.tokenize(prompt) if isinstance(prompt, str) else prompt
