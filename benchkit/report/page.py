"""What every page carries within itself: benchkit's own styles and scripts, and the policy that admits no others."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files


def own(name: str) -> str:
    """The text of a style or script that lies beside this module."""
    return files("benchkit.report").joinpath(name).read_text(encoding="utf-8")


def head(title: str, styles: str, scripts: Sequence[str], *, compiles: bool = False) -> str:
    """A page's beginning up to `<body>`, with a content security policy.

    Args:
        title: not escaped.
        styles: CSS.
        scripts: the only scripts that may run, admitted by their hashes; no address is admitted at all.
        compiles: whether they may compile code, as Vega does of its expressions.
    """
    admitted = [*map(script_hash, scripts), *(["'unsafe-eval'"] if compiles and scripts else [])]
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src data: blob:",
            "style-src 'unsafe-inline'",
            "script-src " + (" ".join(admitted) or "'none'"),
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{styles}</style>\n</head>\n<body>\n"
    )


def script_hash(script: str) -> str:
    """A script's source expression in a content security policy."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
