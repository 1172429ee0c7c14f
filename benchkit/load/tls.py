"""The TLS context of a load: HTTP/1.1 only."""

from __future__ import annotations

import ssl


def make_context(*, verify: bool) -> ssl.SSLContext:
    """A client context that offers HTTP/1.1 only."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
