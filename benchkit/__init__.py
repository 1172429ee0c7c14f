"""benchkit: a Jupyter-first, reproducible benchmark kit for LLM serving.

From Python, the whole kit is ``run``, ``run_async`` and ``load_run``, which give a ``Run``; ``sweep``,
``sweep_async`` and ``load_sweep``, which give a ``Sweep``; and ``compare``, which gives a ``Comparison`` of two sides.
Names are loaded when they are used, so that importing the package, and starting a load process, costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchkit.report.compare import Comparison, compare
    from benchkit.report.run import Run, load_run, run, run_async
    from benchkit.report.sweep import Sweep, load_sweep, sweep, sweep_async

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "Run",
    "Sweep",
    "__version__",
    "compare",
    "load_run",
    "load_sweep",
    "run",
    "run_async",
    "sweep",
    "sweep_async",
]

_FACES = {
    "benchkit.report.compare": {"Comparison", "compare"},
    "benchkit.report.run": {"Run", "load_run", "run", "run_async"},
    "benchkit.report.sweep": {"Sweep", "load_sweep", "sweep", "sweep_async"},
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _FACES.items():
        if name in names:
            return getattr(import_module(module), name)
    if name in {"analysis", "experiments", "load", "parameters", "plan", "records", "report", "serving"}:
        return import_module(f"benchkit.{name}")
    raise AttributeError(f"module 'benchkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
