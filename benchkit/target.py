"""Where the server under test is, and the key that opens it."""

from __future__ import annotations

import base64
import os
from urllib.parse import unquote, urlsplit, urlunsplit

from benchkit.errors import InvalidParameter
from benchkit.redaction import redact_url

__all__ = ["COMPLETION_PATHS", "api_key", "basic_authorization", "normalise_url"]

COMPLETION_PATHS = {"chat": "chat/completions", "completions": "completions"}
"""Path below ``/v1`` of each endpoint."""


def api_key(api_key_env: str) -> str | None:
    """Give the API key that the named environment variable holds; None for an empty name.

    Raises:
        InvalidParameter: The variable is unset or empty.
    """
    if not api_key_env:
        return None
    value = os.environ.get(api_key_env, "").strip()
    if not value:
        raise InvalidParameter(
            f"api_key_env: the environment variable {api_key_env!r} is not set; "
            f"export {api_key_env}=… before starting, or leave api_key_env empty if the server wants no key"
        )
    return value


def basic_authorization(url: str) -> dict[str, str]:
    """Give the header that a URL's user name and password stand for; empty without them."""
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    user, password = unquote(parts.username), unquote(parts.password or "")
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def normalise_url(url: str) -> str:
    """Give the server's base URL: no trailing slash, no ``/v1``, no fragment.

    Raises:
        InvalidParameter: It is not an http or https URL with a host.
    """
    try:
        parts = urlsplit(url.strip())
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname or not port_is_fine:
        raise InvalidParameter(
            f"url: {redact_url(url)!r} is not the address of a server; write it like 'http://127.0.0.1:8000'"
        )
    path = parts.path.rstrip("/")
    path = path.removesuffix("/v1").rstrip("/")
    return urlunsplit((parts.scheme.lower(), parts.netloc, path, parts.query, ""))
