"""The names of what lies in a run's folder; importable without pyarrow, for what starts fast."""

from __future__ import annotations

__all__ = ["DATA_FILES", "MERGED_NAME", "PARTS_NAME", "SUMMARY_NAME", "TAPE_NAME", "TELEMETRY_NAME"]

MERGED_NAME = "requests.parquet"
"""One row a request."""
SUMMARY_NAME = "summary.json"
"""The numbers and the verdict."""
TELEMETRY_NAME = "telemetry.parquet"
"""Samples taken beside the run."""
PARTS_NAME = "parts"
"""Folder of the tables that the transcribers write while the run goes on."""
TAPE_NAME = "tape"
"""Folder of the workers' tapes."""
DATA_FILES = (MERGED_NAME, SUMMARY_NAME, TELEMETRY_NAME)
"""The files that have checksums in the manifest."""
