"""benchkit: a Jupyter-first, reproducible benchmark kit for LLM serving.

From Python, the whole kit is ``run``, ``run_async`` and ``load_run``, which give a ``Run``. Names are loaded when they
are used, so that importing the package, and starting a load process, costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchkit.report.run import Run, load_run, run, run_async

__version__ = "0.1.0"

__all__ = ["Run", "__version__", "load_run", "run", "run_async"]


def __getattr__(name: str) -> Any:
    if name in {"Run", "load_run", "run", "run_async"}:
        from benchkit.report import run as face

        return getattr(face, name)
    if name in {"analysis", "experiments", "load", "parameters", "plan", "records", "report", "serving"}:
        from importlib import import_module

        return import_module(f"benchkit.{name}")
    raise AttributeError(f"module 'benchkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
