"""Merges the parts that a run leaves behind into ``requests.parquet``, safely at any moment of a crash."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchkit.errors import DiskFull, RecordError, SchemaMismatch
from benchkit.records.atomic import Reserve, atomic_path, is_disk_full
from benchkit.records.layout import MERGED_NAME, PARTS_NAME, TAPE_NAME
from benchkit.records.schema import REQUESTS, SCHEMA_VERSION

__all__ = ["MergeResult", "merge_parts", "part_paths", "write_part"]

_PARTS_KEY = b"benchkit_parts"
_GROUP_ROWS = 16_384
_GROUP_BYTES = 64 * 1024 * 1024

_TIMES = ("chunk_ns.list.element", "chunk_loop_ns.list.element")
_DICTIONARY = (
    *("repeat", "phase", "turn", "class", "model", "target", "worker", "attempt", "outcome", "error_kind"),
    *("error", "http_status", "finish_reason", "token_source", "wanted_output_tokens"),
    *("chunk_tokens.list.element", "chunk_shared.list.element"),
)
# Byte-stream split puts the equal high bytes of neighbouring times side by side: smaller, and faster to read
# and write, than plain or delta encoding (measured on 4 million chunk times).
_ENCODING = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": list(_DICTIONARY),
    "column_encoding": dict.fromkeys(_TIMES, "BYTE_STREAM_SPLIT"),
}


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What a merge found."""

    requests: int
    """Rows in the merged file."""
    parts: int
    """Parts that went into it now."""
    unreadable: tuple[str, ...]
    """Names of parts that could not be read; they are left where they are."""


def write_part(path: Path, table: pa.Table) -> None:
    """Write one part (a table of ``schema.REQUESTS``) in one step.

    Raises:
        SchemaMismatch: Columns are missing, unknown, or of another type.
        OSError: The disk takes no more, see ``atomic.is_disk_full``.
    """
    table = _conform(table, path)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, row_group_size=_GROUP_ROWS, **_ENCODING)


def part_paths(folder: Path) -> list[Path]:
    """Give the parts of a run, in the order of their names."""
    return sorted(path for path in (folder / PARTS_NAME).glob("*.parquet") if not path.name.startswith("."))


def merge_parts(folder: Path) -> MergeResult:
    """Merge all parts into ``requests.parquet``, then remove them and the tape.

    Memory is bounded by a row group of a part and one of the merged file. After a crash at any moment the
    call can be repeated: the merged file names the parts that are in it. Unreadable parts stay, and with them
    the tape.

    Raises:
        DiskFull: There is no room for the merged file beside the parts; they stay and can still be loaded.
        SchemaMismatch: A part has other columns.
    """
    target = folder / MERGED_NAME
    done = _merged_names(target)
    paths = [path for path in part_paths(folder) if path.name not in done]
    readable = [path for path in paths if _rows(path) is not None]
    unreadable = tuple(path.name for path in paths if path not in readable)
    if readable or not target.exists():
        sources = [*([target] if target.exists() else []), *readable]
        names = [*sorted(done), *(path.name for path in readable)]
        try:
            Reserve(folder).spend_if_full(lambda: _write(target, sources, names))
        except OSError as error:
            if not is_disk_full(error):
                raise
            raise DiskFull(
                f"no room to write {target.name} in {folder}: {error.strerror}; what was measured is kept in "
                f"{PARTS_NAME}/, free some space and run `benchkit recover`"
            ) from error
    _remove_merged(folder, keep_tape=bool(unreadable))
    return MergeResult(_rows(target) or 0, len(readable), unreadable)


def _write(target: Path, sources: Iterable[Path], names: list[str]) -> None:
    schema = REQUESTS.with_metadata({**REQUESTS.metadata, _PARTS_KEY: json.dumps(names).encode()})
    with atomic_path(target) as temporary, pq.ParquetWriter(temporary, schema, **_ENCODING) as writer:
        for group in _grouped(sources):
            writer.write_table(group.cast(schema), row_group_size=_GROUP_ROWS)


def _grouped(sources: Iterable[Path]) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    rows = size = 0
    for source in sources:
        with pq.ParquetFile(source) as file:
            for index in range(file.num_row_groups):
                table = _conform(file.read_row_group(index), source)
                held.append(table)
                rows, size = rows + table.num_rows, size + table.nbytes
                if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
                    yield pa.concat_tables(held)
                    held, rows, size = [], 0, 0
    if held:
        yield pa.concat_tables(held)


def _conform(table: pa.Table, path: Path) -> pa.Table:
    if table.schema.equals(REQUESTS, check_metadata=True):
        return table
    missing = [name for name in REQUESTS.names if name not in table.column_names]
    unknown = [name for name in table.column_names if name not in REQUESTS.names]
    if missing or unknown:
        raise SchemaMismatch(
            f"{path.name} does not hold the columns of version {SCHEMA_VERSION}: "
            f"missing {', '.join(missing) or 'none'}, unknown {', '.join(unknown) or 'none'}"
        )
    try:
        return table.select(REQUESTS.names).cast(REQUESTS)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaMismatch(f"{path.name} has a column of another type: {error}") from error


def _rows(path: Path) -> int | None:
    """Give the number of rows, or None for a file that is absent or no Parquet."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowInvalid):
        return None


def _merged_names(target: Path) -> set[str]:
    if not target.exists():
        return set()
    if _rows(target) is None:
        raise RecordError(f"{target} is damaged; move it away and run `benchkit recover`")
    metadata = pq.read_schema(target).metadata or {}
    return set(json.loads(metadata.get(_PARTS_KEY, b"[]")))


def _remove_merged(folder: Path, *, keep_tape: bool) -> None:
    done = _merged_names(folder / MERGED_NAME)
    for path in part_paths(folder):
        if path.name in done:
            path.unlink()
    if not keep_tape:
        shutil.rmtree(folder / PARTS_NAME, ignore_errors=True)
        shutil.rmtree(folder / TAPE_NAME, ignore_errors=True)
