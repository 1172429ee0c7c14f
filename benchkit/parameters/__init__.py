"""The one vocabulary: what serving and a run can be asked for, and how a value from anywhere is checked.

The same flat names stand in notebooks' parameters cells, in ``params/*.yaml``, after ``-p`` on the command
line, in widgets and in manifests. ``resolve`` is the gate: what comes out of it is complete, typed and free
of contradiction.
"""

from benchkit.parameters.ab import AbParameters
from benchkit.parameters.canonical import canonical_json, parameters_hash
from benchkit.parameters.capacity import CapacityParameters
from benchkit.parameters.compare import CompareParameters
from benchkit.parameters.model import ParameterGroup, RunParameters, ServingParameters, context_needed
from benchkit.parameters.notebook import from_notebook
from benchkit.parameters.resolve import resolve
from benchkit.parameters.selftest import SelftestParameters
from benchkit.parameters.sources import load_file, parse_assignments
from benchkit.parameters.sweep import SweepParameters

__all__ = [
    "AbParameters",
    "CapacityParameters",
    "CompareParameters",
    "ParameterGroup",
    "RunParameters",
    "SelftestParameters",
    "ServingParameters",
    "SweepParameters",
    "canonical_json",
    "context_needed",
    "from_notebook",
    "load_file",
    "parameters_hash",
    "parse_assignments",
    "resolve",
]
