"""The command line: thin; each command calls one function of the package."""

from benchkit.cli import (
    ab,
    bundle,
    capacity,
    compare,
    exchange,
    index,
    measure,
    report,
    selftest,
    serve,
    sweep,
)
from benchkit.cli.group import main

__all__ = [
    "ab",
    "bundle",
    "capacity",
    "compare",
    "exchange",
    "index",
    "main",
    "measure",
    "report",
    "selftest",
    "serve",
    "sweep",
]
