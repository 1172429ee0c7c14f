"""The folder of two settings that are compared run by run: ``ab.json`` ties the pairs together."""

from __future__ import annotations

from benchkit.records.series import Series

FILE_NAME = "ab.json"
SERIES = Series("comparison", FILE_NAME, "runs")
