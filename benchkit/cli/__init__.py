"""The command line: thin; each command calls one function of the package."""

from benchkit.cli import measure, serve, sweep
from benchkit.cli.group import main

__all__ = ["main", "measure", "serve", "sweep"]
