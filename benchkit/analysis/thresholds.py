"""The one table of what makes a run suspect or invalid: thresholds, reasons and remedies."""

from __future__ import annotations

from benchkit.analysis.threshold import Level, Threshold
from benchkit.analysis.thresholds_client import OF_CLIENT
from benchkit.analysis.thresholds_load import OF_LOAD, OF_OUTCOMES
from benchkit.analysis.thresholds_server import OF_COUNTS, OF_TOKENS

__all__ = ["BY_NAME", "THRESHOLDS", "Level", "Threshold"]

THRESHOLDS: tuple[Threshold, ...] = (*OF_OUTCOMES, *OF_LOAD, *OF_COUNTS, *OF_CLIENT, *OF_TOKENS)
"""In the order in which a reader should hear of them."""

BY_NAME = {threshold.name: threshold for threshold in THRESHOLDS}
