"""Python values -> Arrow arrays, by their buffers.

``pyarrow.array`` would import pandas, where it is installed, to find out whether a list is something of its:
half a second and 40 MB that a process beside a running load does not take.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def scalars(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An array of integers or texts; ``None`` is null.

    Texts may hold halves of UTF-16 pairs, as servers send them: they become question marks.
    """
    valid = np.array([value is not None for value in values], dtype=np.bool_)
    if kind == pa.string():
        texts = [b"" if value is None else str(value).encode("utf-8", "replace") for value in values]
        offsets = _offsets([len(text) for text in texts])
        buffers = [_bits(valid), pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))]
    else:
        numbers = np.array([0 if value is None else value for value in values], dtype=kind.to_pandas_dtype())
        buffers = [_bits(valid), pa.py_buffer(numbers)]
    return pa.Array.from_buffers(kind, len(values), buffers)


def lists(pieces: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An array of lists of numbers or booleans; each piece is an array of that type, or ``None`` for null."""
    dtype = np.dtype(kind.to_pandas_dtype())
    valid = np.array([piece is not None for piece in pieces], dtype=np.bool_)
    offsets = _offsets([0 if piece is None else len(piece) for piece in pieces])
    flat = np.frombuffer(b"".join(piece for piece in pieces if piece is not None), dtype=dtype)
    data = _bits(flat) if kind == pa.bool_() else pa.py_buffer(flat)
    children = [pa.Array.from_buffers(kind, len(flat), [None, data])]
    return pa.Array.from_buffers(
        pa.list_(kind), len(pieces), [_bits(valid), pa.py_buffer(offsets)], children=children
    )


def _offsets(sizes: list[int]) -> np.ndarray:
    offsets = np.zeros(len(sizes) + 1, dtype=np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def _bits(flags: np.ndarray) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))
