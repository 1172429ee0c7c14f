"""The names of what can happen to a request; importable without pyarrow, for processes that start fast."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    """200, a finish reason, the HTTP message complete, and the wanted length where the server honours it."""
    SHED = "shed"
    """429 or 503: the server protected itself."""
    FAILED = "failed"
    """A named kind of failure, see ``ErrorKind``."""
    INCOMPLETE = "incomplete"
    """Still running when the drain ended: right-censored, not failed."""
    INTERRUPTED = "interrupted"
    """Still running when the run was stopped."""


class ErrorKind(StrEnum):
    """Why a request failed (or was shed)."""

    REFUSED = "refused"
    RESET = "reset"
    CUT = "cut"
    """The connection ended, or the message did, before the answer was whole."""
    TIMEOUT = "timeout"
    ERROR_EVENT = "error_event"
    """An error object in the stream after a 200."""
    MALFORMED = "malformed"
    """Bytes that are not HTTP, not an event stream, or not JSON."""
    SHORT = "short"
    """Fewer tokens than wanted from a server that honours ``ignore_eos``."""
    EMPTY = "empty"
    """A complete answer without a single token."""
    NO_FINISH = "no_finish"
    """A complete message without a finish reason."""
    HTTP_3XX = "http_3xx"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    SHED_429 = "http_429"
    SHED_503 = "http_503"
    TLS = "tls"
    DNS = "dns"
    CONNECT = "connect"
    """Any other failure to connect."""
    CLIENT = "client"
    """A fault of benchkit itself."""


class Phase(StrEnum):
    """Which part of a run a request was scheduled in."""

    WARMUP = "warmup"
    WINDOW = "window"


class TokenSource(StrEnum):
    """Where a request's number of output tokens, and of tokens a chunk, came from."""

    CHUNK_USAGE = "chunk_usage"
    """``usage.completion_tokens`` on the chunks: exact tokens a chunk."""
    TOKEN_IDS = "token_ids"  # noqa: S105 - tokens of a language model
    """Token ids on the chunks."""
    FINAL_USAGE = "final_usage"
    """One ``usage`` at the end that equals the number of token-bearing events: one token a chunk."""
    FINAL_USAGE_DIFFERS = "final_usage_differs"
    """One ``usage`` at the end that differs from the events: tokens a chunk unknown."""
    EVENTS = "events"
    """No ``usage`` at all: token-bearing events are counted, one token each by assumption."""
