"""The command line: thin; each command calls one function of the package."""

from benchkit.cli import ab, capacity, exchange, measure, serve, sweep
from benchkit.cli.group import main

__all__ = ["ab", "capacity", "exchange", "main", "measure", "serve", "sweep"]
