"""One sampled value, and the table of many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa


class Reading(NamedTuple):
    """A value as its source gives it, without a time."""

    name: str
    labels: str
    """Labels as JSON with sorted keys; ``{}`` when there are none."""
    value: float


class Sample(NamedTuple):
    """A value and when it was taken; a row of ``telemetry.parquet``."""

    time_ns: int
    """Since the run's start, on the run's clock."""
    source: Literal["server", "host"]
    name: str
    labels: str
    value: float


def to_table(samples: Iterable[Sample]) -> pa.Table:
    """The samples as a table of ``records.schema.TELEMETRY``, oldest first."""
    import pyarrow as pa

    from benchkit.records.schema import TELEMETRY

    rows = sorted(samples)
    arrays = [pa.array([row[at] for row in rows], field.type) for at, field in enumerate(TELEMETRY)]
    return pa.Table.from_arrays(arrays, schema=TELEMETRY)
