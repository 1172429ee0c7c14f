"""One part of a report that is words and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

RUN_MIME: Final = "application/vnd.benchkit.run+json"
"""Names the run that a notebook shows, for those who find the notebook elsewhere."""
SWEEP_MIME: Final = "application/vnd.benchkit.sweep+json"
"""Names the sweep that a notebook shows."""


@dataclass(frozen=True, slots=True, repr=False)
class Section:
    """A part of a report, as HTML and as plain text; a notebook shows it."""

    html: str
    """All text of models, servers and users in it is escaped."""
    text: str
    run: str = ""
    """Where the run lies, relative to the project; a report finds it by that."""
    sweep: str = ""
    """Where the sweep lies, in the same way."""

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/html": self.html, "text/plain": self.text}
        bundle |= {RUN_MIME: {"path": self.run}} if self.run else {}
        return bundle | ({SWEEP_MIME: {"path": self.sweep}} if self.sweep else {})

    def __repr__(self) -> str:
        return self.text
