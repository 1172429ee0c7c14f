"""Ended answers -> files of the request table, one after the other, each whole or not there at all.

Where text is kept, each part has a companion in ``texts/``: a line of JSON a request, in the part's order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from benchkit.load import arrays
from benchkit.load.answer import Answer
from benchkit.load.spec import PARTS_FOLDER
from benchkit.records import merge
from benchkit.records.atomic import atomic_write
from benchkit.records.kinds import Outcome, TokenSource
from benchkit.records.schema import REQUESTS

TEXTS_FOLDER = "texts"


class Finished(NamedTuple):
    """An answer with its verdict."""

    answer: Answer
    outcome: Outcome


def write_part(
    folder: Path, worker: int, number: int, finished: list[Finished], *, repeat: int, target: str, model: str
) -> None:
    """Writes one part; a file of the same number is replaced.

    Args:
        folder: the run's folder.
        worker: number of the worker.
        number: number of the part.
        finished: its requests.
        repeat: which repeat of the run.
        target: base URL as records name it.
        model: the model where the plan names none.
    """
    name = f"r{repeat}-w{worker}-{number:06d}"
    lines = [_text_line(item.answer, repeat) for item in finished if item.answer.request is not None]
    if lines:
        (folder / TEXTS_FOLDER).mkdir(exist_ok=True)
        atomic_write(folder / TEXTS_FOLDER / f"{name}.jsonl", "".join(lines))
    merge.write_part(
        folder / PARTS_FOLDER / f"{name}.parquet", table(finished, worker, repeat, target, model)
    )


def _text_line(answer: Answer, repeat: int) -> str:
    told = {
        "repeat": repeat,
        "phase": answer.meta["phase"],
        "index": answer.meta["index"],
        "request": (answer.request or b"").decode("utf-8", "replace"),
        "answer": "".join(answer.text),
    }
    return json.dumps(told) + "\n"


def table(finished: list[Finished], worker: int, repeat: int, target: str, model: str) -> pa.Table:
    """The rows of these requests, in their order; arguments as of ``write_part``."""
    answers = [item.answer for item in finished]
    count = len(answers)

    def planned(name: str) -> list[Any]:
        return [answer.meta.get(name) for answer in answers]

    columns: dict[str, Sequence[Any]] = {
        "index": planned("index"),
        "repeat": [repeat] * count,
        "phase": planned("phase"),
        "session": planned("session"),
        "turn": planned("turn"),
        "class": planned("class"),
        "model": [answer.meta.get("model") or model for answer in answers],
        "target": [target] * count,
        "worker": [worker] * count,
        "outcome": [item.outcome for item in finished],
        "http_status": [answer.status or None for answer in answers],
        "prompt_tokens": [
            answer.meta.get("prompt_tokens") if answer.prompt_tokens is None else answer.prompt_tokens
            for answer in answers
        ],
        "wanted_output_tokens": planned("wanted"),
        "prompt_hash": planned("hash"),
        "pickup_lag_max_ns": [answer.lag_max_ns for answer in answers],
    }
    known = [answer.token_source is not TokenSource.FINAL_USAGE_DIFFERS for answer in answers]
    lists: dict[str, pa.Array] = {
        "chunk_ns": arrays.lists([answer.chunk_ns for answer in answers], pa.int64()),
        "chunk_loop_ns": arrays.lists([answer.chunk_loop_ns for answer in answers], pa.int64()),
        "chunk_tokens": arrays.lists(
            [answer.chunk_tokens if ok else None for answer, ok in zip(answers, known, strict=True)],
            pa.int32(),
        ),
        "chunk_shared": arrays.lists([answer.chunk_shared for answer in answers], pa.bool_()),
    }

    def column(field: pa.Field) -> pa.Array:
        if field.name in lists:
            return lists[field.name]
        values = columns.get(field.name)
        if values is None:
            values = [getattr(answer, field.name) for answer in answers]
        return arrays.scalars(values, field.type)

    return pa.Table.from_arrays([column(field) for field in REQUESTS], schema=REQUESTS)
