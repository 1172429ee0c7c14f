"""One finding of a run: what was measured, what it means, why, and what to try next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finding in sentences; whoever shows them escapes them.

    What could not be seen is left empty: a cause is only named where evidence of this run supports it.
    """

    name: str
    """What it is about, such as ``saturated``; its place among the others follows from it."""
    what: str
    """What was measured, with how sure it is."""
    meaning: str = ""
    """What that means to someone who must decide."""
    why: str = ""
    """What in the run shows the cause."""
    next_step: str = ""
    """What to try next."""
    flags: tuple[str, ...] = ()
    """To copy: parameters of benchkit (``-p duration_s 120``) or flags of the server (``--max-num-seqs 64``)."""


class Cause(NamedTuple):
    """Why something was as it was, with what may change it."""

    why: str = ""
    next_step: str = ""
    flags: tuple[str, ...] = ()
