"""What a control call gets back: whole and streamed answers, and the cards of models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchkit.redaction import redact_text

__all__ = ["Answer", "ModelCard", "Read", "StreamedAnswer"]

_EXCERPT = 200


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One entry of ``/v1/models``."""

    id: str
    max_model_len: int | None
    """Longest context in tokens, prompt and answer together; None when the server does not say."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Answer(NamedTuple):
    """A whole HTTP answer of any status."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        """Give the decoded body, or None where it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def error_text(self, secrets: tuple[str, ...] = ()) -> str:
        """Give the server's own words on what went wrong, at most 200 characters, without secrets."""
        value = self.json()
        if isinstance(value, dict):
            error = value.get("error", value)
            if isinstance(error, dict):
                error = error.get("message") or error.get("detail") or error
            text = error if isinstance(error, str) else json.dumps(error)
        else:
            text = self.body.decode("utf-8", "replace")
        text = redact_text(" ".join(text.split()), secrets)
        return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"


class Read(NamedTuple):
    """Bytes that came in one read of a streamed body, and when."""

    time_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """A streamed answer read to its end; times are ns of the monotonic clock, taken in user space."""

    answer: Answer
    sent_ns: int
    """Before the request was given away; connecting is outside when the connection was kept."""
    headers_ns: int
    reads: tuple[Read, ...]
    end_ns: int
