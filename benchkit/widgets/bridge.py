"""The page that the panel is shown on: whether it is still there, its clipboard, files opened beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anywidget

SILENCE_S: Final = 180.0
"""How long a page may be silent before it counts as closed; one in the background may speak once a minute only."""
LEFT_S: Final = 15.0
"""The same for a page that has said that it goes; another view of the panel may take its place."""


class Bridge(anywidget.AnyWidget):
    """A widget that shows nothing; its JavaScript speaks for the page.

    Attributes:
        was_seen: whether a page has spoken yet.
        root: the folder that Jupyter serves, as the page tells; empty where it does not.
        base: where Jupyter's addresses begin, in the same way.
    """

    _esm = Path(__file__).with_name("bridge.js")

    def __init__(self) -> None:
        super().__init__()
        self._silent_s = 0.0
        self._most_s = SILENCE_S
        self._on_copied: Callable[[bool], None] | None = None
        self.was_seen = False
        self.root = ""
        self.base = ""
        self.on_msg(self._heard)

    def open_tab(self, url: str) -> None:
        """Opens an address in a tab of its own; browsers refuse that some seconds after the last click."""
        self.send({"do": "open", "url": url})

    def copy(self, text: str, on_copied: Callable[[bool], None]) -> None:
        """Puts a text on the clipboard, and says whether that was possible."""
        self._on_copied = on_copied
        self.send({"do": "copy", "text": text})

    def waited(self, seconds: float) -> bool:
        """Tells that the kernel was free to listen for some time; gives whether the page counts as closed by now.

        Where a page was never seen (no JavaScript, as in a test), nothing is known and nothing is closed.
        """
        self._silent_s += seconds
        return self.is_gone

    @property
    def is_gone(self) -> bool:
        """Whether the page counts as closed."""
        return self.was_seen and self._silent_s > self._most_s

    def _heard(self, _: Any, content: dict[str, Any], __: Any) -> None:
        event = content.get("event")
        self.was_seen = True
        self.root, self.base = str(content.get("root") or ""), str(content.get("base") or "")
        self._silent_s = 0.0
        self._most_s = LEFT_S if event == "gone" else SILENCE_S
        if event in ("copied", "not_copied") and self._on_copied is not None:
            self._on_copied(event == "copied")
