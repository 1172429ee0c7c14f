"""Ends the server's process as a dead engine does: at once, with a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn

DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
"""What vLLM says of an engine that has died."""
EXIT_CODE = 1


class EngineDeadError(Exception):
    """The engine has died, because it was told to."""


def _die() -> NoReturn:
    raise EngineDeadError(DEAD)


def crash() -> NoReturn:
    """Prints a traceback to stderr and ends the process: no stream is finished, no connection closed in order."""
    try:
        _die()
    except EngineDeadError:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(EXIT_CODE)
