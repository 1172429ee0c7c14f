"""What an event of an OpenAI-style answer says: completions and chat, streamed or whole."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

DONE = b"[DONE]"


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
        error: text of an error object, if that is what it is.
    """

    has_choice: bool
    text: str
    reasoning: str
    tool_call: bool
    token_ids: int
    finish_reason: str | None
    usage: dict[str, Any] | None
    error: str | None


def read_event(data: bytes) -> Event:
    """Reads the data of one event (or the body of an answer that was not streamed).

    Raises:
        MalformedEvent: it is no JSON object of this API.
    """
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedEvent(f"not JSON: {error}: {data[:80]!r}") from None
    if not isinstance(event, dict):
        raise MalformedEvent(f"not an object: {data[:80]!r}")
    try:
        return _read(event)
    except (AttributeError, TypeError, KeyError, IndexError) as error:
        raise MalformedEvent(f"not an event of the API ({error}): {data[:80]!r}") from None


def _read(event: dict[str, Any]) -> Event:
    choices = event.get("choices")
    usage = event.get("usage")
    if not choices:
        error = event.get("error")
        if error is not None or event.get("object") == "error":
            return Event(False, "", "", False, 0, None, usage, error_text(event))
        return Event(False, "", "", False, 0, None, usage, None)
    choice = choices[0]
    delta = choice.get("delta") or choice.get("message")
    ids = choice.get("token_ids")
    count = len(ids) if ids else 0
    if delta is None:
        return Event(
            True, choice.get("text") or "", "", False, count, choice.get("finish_reason"), usage, None
        )
    reasoning = delta.get("reasoning") or delta.get("reasoning_content") or ""
    return Event(
        True,
        delta.get("content") or "",
        reasoning,
        bool(delta.get("tool_calls")),
        count,
        choice.get("finish_reason"),
        usage,
        None,
    )


def error_text(event: dict[str, Any]) -> str:
    """The message of an error object, in any of the shapes that servers use."""
    error = event.get("error", event)
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
        return body.decode("utf-8", "replace").strip()[:300]
    if isinstance(event, dict):
        if "error" not in event and "detail" in event:
            return str(event["detail"])[:300]
        return error_text(event)[:300]
    return str(event)[:300]
