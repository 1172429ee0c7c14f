"""Writes runs in the formats that others read, by the format's name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from benchkit.errors import InvalidParameter
from benchkit.records.interop.exportable import Exportable
from benchkit.records.interop.llmd import write_llmd
from benchkit.records.interop.vllm_writer import write_vllm

__all__ = ["FORMATS", "export"]

FORMATS: Mapping[str, Callable[[Exportable], dict[str, Any]]] = {"vllm": write_vllm, "llm-d": write_llmd}
"""Writers by format: vLLM's detailed JSON, and llm-d's Benchmark Report."""


def export(run: Exportable, form: str) -> dict[str, Any]:
    """Give a run in another format, JSON-able.

    Args:
        run: A stored run, or one read from another tool's file.
        form: One of ``FORMATS``.

    Raises:
        InvalidParameter: There is no such format.
    """
    if form not in FORMATS:
        near = difflib.get_close_matches(form, FORMATS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FORMATS)}"
        raise InvalidParameter(f"{form!r} is no format to export to; {hint}")
    return FORMATS[form](run)
