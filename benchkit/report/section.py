"""One part of a report that is words and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

RUN_MIME: Final = "application/vnd.benchkit.run+json"
"""Names the run that a notebook shows, for those who find the notebook elsewhere."""


@dataclass(frozen=True, slots=True, repr=False)
class Section:
    """A part of a report, as HTML and as plain text; a notebook shows it."""

    html: str
    """All text of models, servers and users in it is escaped."""
    text: str
    run: str = ""
    """Where the run lies, relative to the project; a report finds it by that."""

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/html": self.html, "text/plain": self.text}
        return bundle | ({RUN_MIME: {"path": self.run}} if self.run else {})

    def __repr__(self) -> str:
        return self.text
