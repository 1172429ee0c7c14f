"""Finished answers -> files of the request table, one after the other, each whole or not there at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from benchkit.load.answer import Answer
from benchkit.records import merge
from benchkit.records.kinds import Outcome, TokenSource
from benchkit.records.schema import REQUESTS


class Finished(NamedTuple):
    """An answer with its verdict."""

    answer: Answer
    outcome: Outcome


def part_path(folder: Path, repeat: int, worker: int, number: int) -> Path:
    """Path of a part."""
    return folder / f"r{repeat}-w{worker}-{number:06d}.parquet"


def write_part(
    folder: Path, worker: int, number: int, finished: list[Finished], *, repeat: int, target: str, model: str
) -> None:
    """Writes one part; a file of the same number is replaced."""
    path = part_path(folder, repeat, worker, number)
    merge.write_part(path, _table(finished, worker, repeat, target, model))
    texts = [item.answer for item in finished if item.answer.text is not None]
    if texts:
        lines = "".join(
            json.dumps(
                {
                    "phase": a.meta["phase"],
                    "index": a.meta["index"],
                    "repeat": repeat,
                    "request": a.meta.get("request"),
                    "answer": "".join(a.text or []),
                }
            )
            + "\n"
            for a in texts
        )
        path.with_suffix(".jsonl").write_text(lines, encoding="utf-8")


def _table(finished: list[Finished], worker: int, repeat: int, target: str, model: str) -> pa.Table:
    answers = [item.answer for item in finished]
    count = len(answers)

    def of(name: str) -> list[object]:
        return [getattr(answer, name) for answer in answers]

    def planned(name: str) -> list[object]:
        return [answer.meta.get(name) for answer in answers]

    columns: dict[str, object] = {
        "index": planned("index"),
        "repeat": [repeat] * count,
        "phase": planned("phase"),
        "session": planned("session"),
        "turn": planned("turn"),
        "class": planned("class"),
        "model": [answer.meta.get("model") or model for answer in answers],
        "target": [target] * count,
        "worker": [worker] * count,
        "outcome": [str(item.outcome) for item in finished],
        "error_kind": [_text(answer.error_kind) for answer in answers],
        "http_status": [answer.status or None for answer in answers],
        "prompt_tokens": [
            answer.meta.get("prompt_tokens") if answer.prompt_tokens is None else answer.prompt_tokens
            for answer in answers
        ],
        "wanted_output_tokens": planned("wanted"),
        "token_source": [_text(a.token_source) for a in answers],
        "prompt_hash": planned("hash"),
        "last_token_ns": [answer.chunk_ns[-1] if answer.chunk_ns else None for answer in answers],
        "pickup_lag_max_ns": of("lag_max_ns"),
    }
    known = [answer.token_source is not TokenSource.FINAL_USAGE_DIFFERS for answer in answers]
    sizes = np.array([len(answer.chunk_ns) for answer in answers], dtype=np.int64)
    lists = {
        "chunk_ns": _lists([a.chunk_ns for a in answers], sizes, np.int64, pa.int64()),
        "chunk_loop_ns": _lists([a.chunk_loop_ns for a in answers], sizes, np.int64, pa.int64()),
        "chunk_tokens": _lists(
            [a.chunk_tokens if ok else b"" for a, ok in zip(answers, known, strict=True)],
            np.where(known, sizes, 0),
            np.int32,
            pa.int32(),
            known,
        ),
        "chunk_shared": _lists([a.chunk_shared for a in answers], sizes, np.bool_, pa.bool_()),
    }
    arrays = []
    for field in REQUESTS:
        if field.name in lists:
            arrays.append(lists[field.name])
        else:
            values = columns[field.name] if field.name in columns else of(field.name)
            arrays.append(pa.array(values, type=field.type))
    return pa.Table.from_arrays(arrays, schema=REQUESTS)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _lists(
    pieces: list[object], sizes: np.ndarray, dtype: type, kind: pa.DataType, valid: list[bool] | None = None
) -> pa.ListArray:
    flat = np.frombuffer(b"".join(bytes(memoryview(piece)) for piece in pieces), dtype=dtype)  # type: ignore[arg-type]
    offsets = np.zeros(len(pieces) + 1, dtype=np.int32)
    np.cumsum(sizes, out=offsets[1:])
    mask = None if valid is None else pa.array([not ok for ok in valid])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, type=kind), mask=mask)
