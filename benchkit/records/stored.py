"""Reads a stored run: requests as a DataFrame, chunks as arrays, summary and manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchkit.errors import RecordError
from benchkit.records import manifest as manifests
from benchkit.records.chunks import Chunks
from benchkit.records.layout import MERGED_NAME, SUMMARY_NAME, TELEMETRY_NAME
from benchkit.records.merge import part_paths
from benchkit.records.schema import CHUNK_COLUMNS, REQUESTS, TELEMETRY

__all__ = ["StoredRun", "load", "requests_frame"]

_SCALARS = [name for name in REQUESTS.names if name not in CHUNK_COLUMNS]
_NULLABLE = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}


class StoredRun:
    """A run's folder, read when asked.

    While the run goes on, or after a crash, the parts that are there are read instead of the merged file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = manifests.read(path)

    def __repr__(self) -> str:
        return f"StoredRun({self.path.name!r}, {self.manifest['status']})"

    @property
    def sources(self) -> list[Path]:
        """The files that hold the requests."""
        merged = self.path / MERGED_NAME
        return [merged] if merged.exists() else part_paths(self.path)

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row a request, without the lists of chunks; integers are nullable, so that null stays null."""
        tables = [_read(source, _SCALARS) for source in self.sources]
        return requests_frame(pa.concat_tables(tables) if tables else REQUESTS.empty_table())

    @cached_property
    def chunks(self) -> Chunks:
        """The chunks of all requests, in the order of ``requests``."""
        metadata = [_metadata(source) for source in self.sources]
        rows = sum(int(entry.num_rows) for entry in metadata)
        return Chunks.from_tables(self._chunk_tables(), rows=rows, capacity=sum(map(_list_values, metadata)))

    def _chunk_tables(self) -> Iterator[pa.Table]:
        for source in self.sources:
            with pq.ParquetFile(source) as file:
                for group in range(file.num_row_groups):
                    yield file.read_row_group(group, columns=list(CHUNK_COLUMNS))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``.

        Raises:
            RecordError: The run was not finished.
        """
        try:
            summary: dict[str, Any] = json.loads((self.path / SUMMARY_NAME).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RecordError(
                f"{self.path} has no summary (its status is {self.manifest['status']}); "
                "if nothing works on it any more, `benchkit recover` finishes it"
            ) from None
        except ValueError as error:
            raise RecordError(f"{self.path / SUMMARY_NAME} is damaged: {error}") from error
        return summary

    @cached_property
    def telemetry(self) -> pd.DataFrame:
        """Samples in long form (``schema.TELEMETRY``); empty when none were taken."""
        path = self.path / TELEMETRY_NAME
        table = _read(path, TELEMETRY.names) if path.exists() else TELEMETRY.empty_table()
        frame: pd.DataFrame = table.to_pandas()
        return frame


def load(path: str | Path) -> StoredRun:
    """Give the run in a folder; its tables are read when they are asked for.

    Raises:
        RunNotFound: There is no manifest.
        RecordError: The manifest is damaged.
        SchemaMismatch: A later version of benchkit wrote it.
    """
    return StoredRun(Path(path).expanduser())


def requests_frame(table: pa.Table) -> pd.DataFrame:
    """Give the DataFrame of a table of requests without its lists; integers are nullable."""
    frame: pd.DataFrame = table.select(_SCALARS).to_pandas(types_mapper=_NULLABLE.get, split_blocks=True)
    return frame


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns, partitioning=None)
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise RecordError(f"{path} is damaged or was written by another program: {error}") from error


def _metadata(path: Path) -> Any:
    try:
        return pq.read_metadata(path)
    except pa.ArrowInvalid as error:
        raise RecordError(f"{path} is damaged: {error}") from error


def _list_values(metadata: Any) -> int:
    """Give an upper bound of the chunks in a file; a null or empty list counts as one value."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    columns = (group.column(index) for group in groups for index in range(group.num_columns))
    return sum(int(column.num_values) for column in columns if column.path_in_schema.startswith("chunk_ns."))
