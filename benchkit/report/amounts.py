"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import Final

NONE: Final = "\N{EN DASH}"
"""Stands where there is no value."""


def amount(value: float | None) -> str:
    """Three or so digits that matter, with thousands marked; a dash where there is no value."""
    if value is None or not math.isfinite(value):
        return NONE
    size = abs(value)
    digits = 3 if size < 0.1 else 2 if size < 10 else 1 if size < 100 else 0
    return f"{value:,.{digits}f}"
