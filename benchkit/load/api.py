"""What an event of an OpenAI-style answer says: completions and chat, streamed or whole."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import orjson

DONE = b"[DONE]"
_MOST_TOKENS = 2**31 - 1
_BROKEN_OFF = frozenset(("abort", "error"))
"""Finish reasons that say that the server gave up, not that the answer is finished."""
_EXCERPT = 2_000


class MalformedEvent(ValueError):
    """An event's data is not a JSON object of the API."""


class Event(NamedTuple):
    """What matters of one event.

    Attributes:
        has_choice: whether it carries a choice at all (a final ``usage`` event does not).
        text: visible text, reasoning left out; "" for none.
        reasoning: text of the model's reasoning; "" for none.
        tool_call: whether it carries a part of a tool call.
        token_ids: number of token ids on it; 0 when there are none.
        finish_reason: as the server says; ``None`` before the end.
        usage: the ``usage`` object, if any.
        completion_tokens: its count of tokens so far; ``None`` when it gives none.
        error: text of an error object, or of a finish reason that is one.
    """

    has_choice: bool
    text: str
    reasoning: str
    tool_call: bool
    token_ids: int
    finish_reason: str | None
    usage: dict[str, Any] | None
    completion_tokens: int | None
    error: str | None


_new_event = tuple.__new__


def read_event(data: bytes) -> Event:
    """Reads the data of one event (or the body of an answer that was not streamed).

    Raises:
        MalformedEvent: it is no JSON object of this API.
    """
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:
        event = _loads_leniently(data)
    try:
        choices, usage, error = event.get("choices"), event.get("usage"), event.get("error")
        total = None
        if usage:
            total = usage.get("completion_tokens")
            if total.__class__ is not int or not 0 <= total <= _MOST_TOKENS:
                total = _count(total)
        if not choices:
            failed = error not in (None, False) or event.get("object") == "error"
            return Event(False, "", "", False, 0, None, usage, total, error_text(event) if failed else None)
        choice = choices[0]
        text, ids, reason = choice.get("text"), choice.get("token_ids"), choice.get("finish_reason")
        reasoning, tool_call = "", False
        if text is None and (delta := choice.get("delta") or choice.get("message")):
            text = delta.get("content") or delta.get("refusal")
            reasoning = _text(delta.get("reasoning") or delta.get("reasoning_content"))
            tool_call = bool(delta.get("tool_calls") or delta.get("function_call"))
        if text.__class__ is not str:
            text = _text(text)
        if reason or error:
            reason, error = _ending(reason, error)
        count = len(ids) if ids else 0
        # As Event(…) does, in half the time: this is done for every chunk of a run.
        return _new_event(
            Event, (True, text, reasoning, tool_call, count, reason or None, usage, total, error or None)
        )
    except (AttributeError, TypeError, KeyError, IndexError, ValueError) as error:
        raise MalformedEvent(f"not an event of the API ({error}): {data[:80]!r}") from None


def _loads_leniently(data: bytes) -> Any:
    """Reads what servers write though JSON forbids it: NaN, and halves of characters in UTF-8 or UTF-16."""
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise MalformedEvent(f"not JSON: {error}: {data[:80]!r}") from None


def _text(content: Any) -> str:
    """The text of content, which may be missing or come as a list of parts."""
    if not content:
        return ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    return "".join(str(part.get("text") or "") if isinstance(part, dict) else str(part) for part in parts)


def _ending(reason: object, error: object) -> tuple[str | None, str | None]:
    """The finish reason and the error of an event that has either."""
    reason = str(reason) if reason else None
    if error:
        return reason, error_text({"error": error})
    if reason in _BROKEN_OFF:
        return reason, f"the server broke the answer off: finish_reason {reason!r}"
    return reason, None


def _count(value: object) -> int | None:
    """A number of tokens as servers write it."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS:
        return int(value)
    raise ValueError(f"{str(value)[:40]!r} is not a number of tokens")


def error_text(event: dict[str, Any]) -> str:
    """The message of an error object, in any of the shapes that servers use."""
    error = event.get("error") or event
    if isinstance(error, dict):
        message = error.get("message") or error.get("detail") or error.get("type") or error
        code = error.get("code")
        return f"{message} (code {code})" if code else str(message)
    return str(error)


def error_of_body(body: bytes) -> str:
    """What an error answer's body says, shortened."""
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace").strip()[:_EXCERPT]
    if isinstance(event, dict):
        if "error" not in event and "detail" in event:
            return str(event["detail"])[:_EXCERPT]
        return error_text(event)[:_EXCERPT]
    return str(event)[:_EXCERPT]
