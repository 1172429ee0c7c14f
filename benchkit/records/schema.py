"""The tables of a run: columns, types, units, outcome kinds, and the version of the format.

History of ``SCHEMA_VERSION``:

* 1 - first version.
"""

from __future__ import annotations

import pyarrow as pa

from benchkit.records.kinds import ErrorKind, Outcome, Phase, TokenSource

__all__ = [
    "CHUNK_COLUMNS",
    "REQUESTS",
    "SCHEMA_VERSION",
    "TELEMETRY",
    "ErrorKind",
    "Outcome",
    "Phase",
    "TokenSource",
]

SCHEMA_VERSION = 1

_I64 = pa.int64()
_TEXT = pa.string()


def _field(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"meaning": meaning})


REQUESTS = pa.schema(
    [
        _field("index", _I64, "position in the phase's plan, from 0"),
        _field("repeat", pa.int32(), "which repeat of the run, from 0"),
        _field("phase", _TEXT, "warmup or window: where the request was scheduled"),
        _field("session", _I64, "which session of the plan"),
        _field("turn", pa.int32(), "which turn of the session, from 0"),
        _field("class", _TEXT, "class of work"),
        _field("model", _TEXT, "model asked for"),
        _field("target", _TEXT, "base URL, without secrets"),
        _field("worker", pa.int32(), "which load process sent it"),
        _field("attempt", pa.int32(), "1, or 2 when a stale pooled connection was replaced"),
        _field("connection", _I64, "which connection of the worker carried it"),
        _field("outcome", _TEXT, "ok, shed, failed, incomplete, interrupted"),
        _field("error_kind", _TEXT, "kind of failure, null when ok"),
        _field("error", _TEXT, "what exactly, shortened and without secrets"),
        _field("http_status", pa.int32(), "status code"),
        _field("finish_reason", _TEXT, "as the server said"),
        _field("scheduled_ns", _I64, "ns since the run's start: the plan's time, or when the slot fell free"),
        _field("connect_start_ns", _I64, "ns: connecting began, null on a kept connection"),
        _field("connected_ns", _I64, "ns: TCP and TLS were up"),
        _field("sent_ns", _I64, "ns: last byte of the first attempt given to the kernel"),
        _field("headers_ns", _I64, "ns: the read that completed the head of the answer"),
        _field("first_token_ns", _I64, "ns: first token-bearing event"),
        _field("first_text_ns", _I64, "ns: first event with visible text, reasoning included"),
        _field("first_answer_ns", _I64, "ns: first event with text that is not reasoning"),
        _field("last_token_ns", _I64, "ns: last token-bearing event"),
        _field("end_ns", _I64, "ns: the read that completed the message, or the failure"),
        _field("waited_ns", _I64, "ns spent waiting under max_in_flight"),
        _field("prompt_tokens", _I64, "from usage, else the plan's wanted length"),
        _field("cached_tokens", _I64, "from usage.prompt_tokens_details"),
        _field("output_tokens", _I64, "from usage, else events"),
        _field("reasoning_tokens", _I64, "from usage.completion_tokens_details"),
        _field("wanted_output_tokens", _I64, "what the plan asked for"),
        _field("token_source", _TEXT, "where the count came from"),
        _field("prompt_hash", _TEXT, "first 16 hex digits of the SHA-256 of the request body"),
        _field("bytes_received", _I64, "bytes of the answer, heads and framing included"),
        _field("pickup_lag_max_ns", _I64, "largest loop time - kernel time of its reads"),
        _field(
            "chunk_ns", pa.list_(_I64), "ns of each token-bearing event: kernel's time where there is one"
        ),
        _field("chunk_loop_ns", pa.list_(_I64), "ns of the same by the event loop"),
        _field("chunk_tokens", pa.list_(pa.int32()), "tokens in each; null list when unknown"),
        _field(
            "chunk_shared", pa.list_(pa.bool_()), "true: censored, another token-bearing event ended the read"
        ),
    ],
    metadata={"benchkit_schema": str(SCHEMA_VERSION)},
)
"""One row a request. Times are int64 ns of the monotonic clock since the run's start."""

CHUNK_COLUMNS = ("chunk_ns", "chunk_loop_ns", "chunk_tokens", "chunk_shared")

TELEMETRY = pa.schema(
    [
        _field("time_ns", _I64, "ns since the run's start"),
        _field("source", _TEXT, "server, host, or gpu"),
        _field("name", _TEXT, "metric, as its source names it"),
        _field("labels", _TEXT, "labels as sorted JSON, empty object when none"),
        _field("value", pa.float64(), "value in the metric's own unit"),
    ],
    metadata={"benchkit_schema": str(SCHEMA_VERSION)},
)
"""Samples taken beside the run, long form."""
