"""Service-level objectives: their grammar, their values and their presets; evaluation is elsewhere."""

from benchkit.objectives.grammar import parse
from benchkit.objectives.model import (
    AllOf,
    AttainmentObjective,
    Objective,
    Op,
    RateObjective,
    Single,
    StatisticObjective,
    Term,
    singles,
)
from benchkit.objectives.names import GROWING, METRICS, PER_REQUEST, RATES
from benchkit.objectives.presets import PRESETS, Preset, expand

__all__ = [
    "GROWING",
    "METRICS",
    "PER_REQUEST",
    "PRESETS",
    "RATES",
    "AllOf",
    "AttainmentObjective",
    "Objective",
    "Op",
    "Preset",
    "RateObjective",
    "Single",
    "StatisticObjective",
    "Term",
    "expand",
    "parse",
    "singles",
]
