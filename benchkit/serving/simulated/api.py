"""Reads completion requests as vLLM does: what is asked for, or the error it would answer."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any

import orjson

from benchkit.serving.simulated import tokens
from benchkit.serving.simulated.faults import NO_FAULTS, Faults, parse_faults
from benchkit.serving.simulated.settings import Settings

DEFAULT_COMPLETION_TOKENS = 16
"""The API's default ``max_tokens`` of ``/v1/completions``; chat goes on to the end of the context."""
_STATUS_TYPES = {
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}


class ApiError(Exception):
    """An answer other than 200, in the API's shape."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param

    def body(self) -> bytes:
        """The JSON of the answer."""
        kind = _STATUS_TYPES.get(self.status, "BadRequestError")
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.status}
        return orjson.dumps({"error": error})


@dataclass(frozen=True, slots=True)
class Call:
    """A completion request, understood."""

    chat: bool
    prompt_tokens: int
    output_tokens: int
    """How many tokens the answer will have."""
    finish_reason: str
    """``length`` or ``stop``."""
    stream: bool
    include_usage: bool
    continuous_usage: bool
    prompt_details: bool
    """Whether ``usage`` says what the prefix cache had."""
    word: int
    """Where in the word list the answer's text starts."""
    faults: Faults

    @property
    def text_tokens(self) -> int:
        """How many of them have text; the token that ends an answer by itself has none."""
        return self.output_tokens - (self.finish_reason == "stop")


def read_json(body: bytes) -> dict[str, Any]:
    """A request body as a JSON object.

    Raises:
        ApiError: It is something else.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, f"1 validation error: JSON decode error: {error}", "body") from None
    if not isinstance(value, dict):
        raise ApiError(400, "1 validation error: Input should be a valid dictionary", "body")
    return value


def check_model(body: dict[str, Any], settings: Settings) -> None:
    """Refuses a model that is not served; a body without one means the served one.

    Raises:
        ApiError: 404.
    """
    model = body.get("model")
    if model is not None and model != settings.model:
        raise ApiError(404, f"The model `{model}` does not exist. Valid aliases: {settings.model}.", "model")


def read_call(body: dict[str, Any], *, chat: bool, settings: Settings, fault_header: str = "") -> Call:
    """A completion request, checked against what the server can do.

    Raises:
        ApiError: 400 or 404; or the status that a fault asks for.
    """
    check_model(body, settings)
    faults = _faults(
        ",".join(filter(None, (settings.fault, fault_header, str(body.get("benchkit_fault") or ""))))
    )
    if faults.status:
        raise ApiError(faults.status, "This answer was asked for by benchkit_fault.")
    if _integer(body, "n", 1) != 1:
        raise ApiError(400, "The embedded server gives one answer a request: n must be 1.", "n")
    prompt_tokens, seed = _chat_prompt(body) if chat else _prompt(body, faults)
    wanted = _wanted_tokens(body, chat, prompt_tokens, settings.max_model_len)
    output_tokens, finish_reason = _answer_length(body, wanted, seed ^ settings.seed, settings, faults)
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise ApiError(400, "Input should be a valid dictionary", "stream_options")
    include_usage = bool(options.get("include_usage"))
    return Call(
        chat=chat,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        finish_reason=finish_reason,
        stream=bool(body.get("stream")),
        include_usage=include_usage and not faults.no_usage,
        prompt_details=settings.enable_prompt_tokens_details,
        continuous_usage=(
            include_usage
            and bool(options.get("continuous_usage_stats"))
            and not (faults.no_usage or faults.no_continuous_usage)
        ),
        word=seed % len(tokens.WORDS),
        faults=faults,
    )


def _faults(text: str) -> Faults:
    if not text:
        return NO_FAULTS
    try:
        return parse_faults(text)
    except ValueError as error:
        raise ApiError(400, str(error), "benchkit_fault") from None


def _integer(body: dict[str, Any], name: str, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise ApiError(400, f"Input should be a valid integer, got {value!r}", name)
    return value


def _prompt(body: dict[str, Any], faults: Faults) -> tuple[int, int]:
    """Tokens of the prompt, and a number that stands for its content."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str):
        count, content = tokens.count_tokens(prompt), prompt.encode()
    elif isinstance(prompt, list) and prompt and all(type(token) is int for token in prompt):
        if faults.no_token_ids:
            raise ApiError(400, "prompt: Input should be a valid string", "prompt")
        if min(prompt) < 0 or max(prompt) >= tokens.VOCABULARY_SIZE:
            outside = next(token for token in prompt if not 0 <= token < tokens.VOCABULARY_SIZE)
            raise ApiError(400, f"Token id {outside} is out of vocabulary", "prompt")
        count, content = len(prompt), orjson.dumps(prompt)
    else:
        raise ApiError(400, "prompt: give a text, token ids, or a list with one of them", "prompt")
    if count == 0:
        raise ApiError(
            400, "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)", "prompt"
        )
    return count, zlib.crc32(content)


def _chat_prompt(body: dict[str, Any]) -> tuple[int, int]:
    """Tokens of the messages with their template, and a number that stands for their content."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise ApiError(400, "messages: give a list of at least one message", "messages")
    try:
        return tokens.count_chat_tokens(messages), zlib.crc32(orjson.dumps(messages))
    except ValueError as error:
        raise ApiError(400, str(error), "messages") from None


def _wanted_tokens(body: dict[str, Any], chat: bool, prompt_tokens: int, limit: int) -> int:
    """Tokens that the answer may have: what was asked for, cut to what is left of the context."""
    wanted = _integer(body, "max_tokens", limit if chat else DEFAULT_COMPLETION_TOKENS)
    if chat:
        wanted = _integer(body, "max_completion_tokens", wanted)
    if wanted < 1:
        raise ApiError(400, f"max_tokens must be at least 1, got {wanted}.", "max_tokens")
    if wanted > limit:
        raise ApiError(
            400,
            f"max_tokens={wanted} cannot be greater than max_model_len={limit}. Please request fewer output "
            f"tokens. (parameter=max_tokens, value={wanted})",
            "max_tokens",
        )
    if prompt_tokens >= limit:
        raise ApiError(
            400,
            f"This model's maximum context length is {limit} tokens. However, your prompt contains "
            f"{prompt_tokens} input tokens, which exceeds this limit even without any output tokens. Please "
            f"reduce the length of the input prompt. (parameter=input_tokens, value={prompt_tokens})",
            "input_tokens",
        )
    return min(wanted, limit - prompt_tokens)


def _answer_length(
    body: dict[str, Any], wanted: int, seed: int, settings: Settings, faults: Faults
) -> tuple[int, str]:
    """Tokens of the answer and why it ends: an exponential length of its own unless ``ignore_eos``."""
    if faults.short:
        return (faults.short, "stop") if faults.short < wanted else (wanted, "length")
    if body.get("ignore_eos") and not faults.no_eos_control:
        return wanted, "length"
    uniform = (zlib.crc32(seed.to_bytes(8, "little")) + 0.5) / 2**32
    own_length = 1 + int(-math.log(uniform) * settings.mean_answer_tokens)
    length = max(own_length, _integer(body, "min_tokens", 0))
    return (length, "stop") if length < wanted else (wanted, "length")
