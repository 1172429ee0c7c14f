"""The command line: thin; each command calls one function of the package."""

from benchkit.cli import ab, capacity, compare, exchange, measure, selftest, serve, sweep
from benchkit.cli.group import main

__all__ = ["ab", "capacity", "compare", "exchange", "main", "measure", "selftest", "serve", "sweep"]
