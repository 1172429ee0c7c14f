"""Takes secrets out of text, URLs, headers and arguments before they are stored or shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

__all__ = [
    "REDACTED",
    "is_secret_name",
    "redact_arguments",
    "redact_headers",
    "redact_text",
    "redact_url",
    "redact_values",
]

REDACTED = "<redacted>"

SAFE_HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "cache-control", "connection", "content-length"}
    | {"content-type", "date", "host", "server", "transfer-encoding", "user-agent", "via"}
    | {"x-accel-buffering", "x-request-id"}
)
"""Headers whose values are never secret; of all others only the name is kept."""

SAFE_QUERY = frozenset({"api-version", "api_version", "version", "model"})
"""Query parameters whose values are never secret."""

_SECRET_WORD = re.compile(
    r"(^|[_.-])(api[_-]?keys?|apikey|key|token|secret|password|passwd|pwd|passphrase|credentials?|auth|authorization"
    r"|bearer|cookie|signature|sig|pat)$",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_KEY_LIKE = re.compile(
    r"\b(?:(?:sk|pk|rk|hf|gsk|nvapi|glpat)[-_]|gh[opsur]_|github_pat_|xox[abprs]-|ya29\.)[A-Za-z0-9_-]{16,}"
    r"|\bAKIA[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{30,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>`]+", re.IGNORECASE)
_SEGMENT_SECRET = re.compile(r"(?=[^/]*[0-9])(?=[^/]*[A-Za-z])[A-Za-z0-9_~=-]{32,}")
_MIN_SECRET = 4


def is_secret_name(name: str) -> bool:
    """Tell whether a value that goes by this name may be a secret.

    ``api_key_env`` is not one, since it holds the name of an environment variable; nor is ``max_tokens``.
    """
    return bool(_SECRET_WORD.search(_CAMEL.sub("_", name.strip().lstrip("-"))))


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Give ``text`` without the known ``secrets``, and without what looks like a key or a bearer token.

    A secret is also found in its URL-encoded form. Secrets shorter than four characters are left alone:
    taking them out would destroy the text and hide nothing.
    """
    for secret in sorted({s for s in secrets if len(s) >= _MIN_SECRET}, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
        if (encoded := quote(secret, safe="")) != secret:
            text = text.replace(encoded, REDACTED)
    text = _URL.sub(lambda match: redact_url(match[0]), text)
    text = _BEARER.sub(lambda match: f"{match[1]} {REDACTED}", text)
    return _KEY_LIKE.sub(REDACTED, text)


def redact_url(url: str) -> str:
    """Give the URL without user-info, secret query values, secret-looking path segments and fragment.

    A text that is not a URL comes back unchanged.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return REDACTED
    if not parts.scheme or not parts.netloc:
        return url
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{REDACTED}@{host}" if "@" in parts.netloc else host
    path = _SEGMENT_SECRET.sub(REDACTED, parts.path)
    path = _KEY_LIKE.sub(REDACTED, path)
    query = "&".join(
        f"{quote(name, safe='')}={quote(value, safe='') if name.lower() in SAFE_QUERY else REDACTED}"
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    )
    if parts.query and not query:
        query = REDACTED
    return urlunsplit((parts.scheme, netloc, path, query, REDACTED if parts.fragment else ""))


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Give the headers with every value replaced that is not known to be harmless; names stay."""
    return {name: value if name.lower() in SAFE_HEADERS else REDACTED for name, value in headers.items()}


def redact_arguments(argv: Sequence[str]) -> list[str]:
    """Give a command line without values of secret options (``--api-key X``, ``KEY=X``, ``-p api_key X``).

    The value after ``-p headers`` goes whole. URLs and key-like texts are treated as ``redact_text`` does.
    """
    result: list[str] = []
    hide_next = False
    for argument in argv:
        if hide_next and not argument.startswith("--"):
            result.append(REDACTED)
            hide_next = False
            continue
        hide_next = False
        name, equals, _ = argument.partition("=")
        if equals and _hides(name):
            result.append(f"{name}={REDACTED}")
            continue
        hide_next = not equals and _hides(argument)
        result.append(redact_text(argument))
    return result


def _hides(name: str) -> bool:
    bare = name.lstrip("-")
    return is_secret_name(bare) or bare in {"headers", "header", "H"}


def redact_values(value: Any, name: str = "") -> Any:
    """Give a JSON-like value without secrets, judged by the names of its parts and by what they look like.

    Args:
        value: Mappings, sequences and scalars.
        name: What the value goes by: texts under a secret name are replaced, under ``headers`` nearly all.
    """
    if isinstance(value, Mapping):
        if name == "headers":
            return redact_headers({str(key): str(item) for key, item in value.items()})
        return {key: redact_values(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        if name in {"argv", "command", "arguments"}:
            return redact_arguments([str(item) for item in value])
        return [redact_values(item, name) for item in value]
    if isinstance(value, str) and value:
        return REDACTED if is_secret_name(name) else redact_text(value)
    return value
