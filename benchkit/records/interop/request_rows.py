"""Makes the request table of an import: rows with what a file tells, all else null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchkit.records.kinds import ErrorKind, Outcome, Phase, TokenSource
from benchkit.records.schema import REQUESTS
from benchkit.redaction import redact_text

__all__ = [
    "Failure",
    "count_of",
    "failure",
    "failure_columns",
    "iso_text",
    "requests_table",
    "to_ns",
    "token_columns",
    "utc_text",
]

_PLAIN = {"repeat": 0, "turn": 0, "phase": str(Phase.WINDOW)}
_LONGEST_ERROR = 300
_PHRASES = {status.phrase.lower(): status for status in HTTPStatus}
_EARLIEST_S = 1e9
_LARGEST_S = 9e9
"""ns of a longer time do not fit an int64."""


class Failure(NamedTuple):
    """How a request ended that did not end well."""

    outcome: Outcome
    kind: ErrorKind | None
    """None where the text does not tell."""
    status: int | None


def requests_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Give the table of ``schema.REQUESTS`` with these rows, in their order.

    Args:
        rows: Values by column; what is left out is null, but for the index, repeat 0, turn 0 and the window's
            phase. Lists may be numpy arrays.
    """
    filled = [{**_PLAIN, "index": at, "session": at, **row} for at, row in enumerate(rows)]
    columns = [
        pa.array([row.get(field.name) for row in filled], type=field.type, from_pandas=False)
        for field in REQUESTS
    ]
    return pa.Table.from_arrays(columns, schema=REQUESTS)


def failure(error: str, status: int | None = None) -> Failure:
    """Give what an error's text, or its HTTP status, says of the kind of failure."""
    found = _PHRASES.get(error.strip().lower())
    code = status if status is not None and 100 <= status <= 599 else found and int(found)
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        return Failure(Outcome.SHED, ErrorKind.SHED_429, code)
    if code == HTTPStatus.SERVICE_UNAVAILABLE:
        return Failure(Outcome.SHED, ErrorKind.SHED_503, code)
    if code is not None and code >= 300:
        kinds = {3: ErrorKind.HTTP_3XX, 4: ErrorKind.HTTP_4XX, 5: ErrorKind.HTTP_5XX}
        return Failure(Outcome.FAILED, kinds[code // 100], code)
    lowered = error.lower()
    if "timeout" in lowered or "timed out" in lowered:
        return Failure(Outcome.FAILED, ErrorKind.TIMEOUT, None)
    if "refused" in lowered:
        return Failure(Outcome.FAILED, ErrorKind.REFUSED, None)
    return Failure(Outcome.FAILED, None, None)


def failure_columns(found: Failure, error: str) -> dict[str, Any]:
    """Give the columns of a failure; the text is shortened and without secrets."""
    text = redact_text(error)[:_LONGEST_ERROR]
    return {
        "outcome": str(found.outcome),
        "error_kind": None if found.kind is None else str(found.kind),
        "error": text or None,
        "http_status": found.status,
    }


def count_of(value: float | None, most: int = 2**31 - 1) -> int | None:
    """Give a whole number of tokens or turns; None for what is none: null, NaN, negative, or beyond ``most``."""
    return int(value) if value is not None and 0 <= value <= most else None


def utc_text(seconds: float | None) -> str:
    """Give a time in s since 1970 in ISO form, UTC; empty for what is no time of this age."""
    if seconds is None or not _EARLIEST_S <= seconds < _LARGEST_S:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def iso_text(text: str) -> str:
    """Give a time in ISO form as it is, and an empty text for anything else."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return ""
    return text


def to_ns(seconds: float | None) -> int | None:
    """Give whole ns; None for what is no time: null, NaN, or too long for the table."""
    if seconds is None or not abs(seconds) < _LARGEST_S:
        return None
    return round(seconds * 1e9)


def token_columns(first_s: float, gaps_s: NDArray[np.float64], output_tokens: int | None) -> dict[str, Any]:
    """Give the event columns of a request of which the first event and the gaps after it are known.

    With as many events as tokens, each is taken to bear one; otherwise the tokens an event are unknown.

    Args:
        first_s: When the first event came, in s since the run's start.
        gaps_s: The times between neighbouring events, in s.
        output_tokens: Of the whole answer; None where it is not known.
    """
    stamps = np.concatenate(([0.0], np.cumsum(gaps_s))) + first_s
    if not np.isfinite(stamps).all() or np.abs(stamps).max() > _LARGEST_S:
        return {}
    ns = np.round(stamps * 1e9).astype(np.int64)
    single = output_tokens == ns.size
    source = TokenSource.FINAL_USAGE if single else TokenSource.FINAL_USAGE_DIFFERS
    return {
        "first_token_ns": int(ns[0]),
        "last_token_ns": int(ns[-1]),
        "chunk_ns": ns,
        "chunk_tokens": np.ones(ns.size, dtype=np.int32) if single else None,
        "token_source": str(source),
    }
