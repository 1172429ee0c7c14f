"""The panel in JupyterLab: every parameter of the kit to see and to set, and real work to start, watch and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchkit.widgets.panel import Cockpit, Panel, cockpit

__all__ = ["Cockpit", "Panel", "cockpit"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        return getattr(import_module("benchkit.widgets.panel"), name)
    raise AttributeError(f"module 'benchkit.widgets' has no attribute {name!r}")
