"""One text, and one hash, for equal parameters."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from benchkit.parameters.model import ParameterGroup

REDACTED = "<redacted>"


def canonical_json(parameters: ParameterGroup) -> str:
    """All parameters as JSON with sorted keys and no spaces, free of secrets.

    Values of headers, user-info and query values of the address are ``<redacted>``: to hand parameters on,
    use ``model_dump``.
    """
    plain = parameters.model_dump(mode="json")
    if "headers" in plain:
        plain["headers"] = dict.fromkeys(plain["headers"], REDACTED)
    if "url" in plain:
        plain["url"] = _without_secrets(plain["url"])
    return _dump(plain)


def parameters_hash(parameters: ParameterGroup) -> str:
    """Hex SHA-256 of ``canonical_json``: equal for equal parameters, and nothing to guess a secret from."""
    return hashlib.sha256(canonical_json(parameters).encode()).hexdigest()


def _dump(plain: dict[str, Any]) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    _, at, host = parts.netloc.rpartition("@")
    user = f"{REDACTED}@" if at else ""
    query = REDACTED if parts.query else ""
    return urlunsplit((parts.scheme, user + host, parts.path, query, ""))
