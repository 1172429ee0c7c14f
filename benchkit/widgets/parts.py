"""The few kinds of widgets that the panel is made of: text, buttons, folds, and its style."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import ipywidgets as widgets


def style() -> widgets.HTML:
    """The panel's style sheet, in the colours of Lab's theme."""
    sheet = files("benchkit.widgets").joinpath("panel.css").read_text(encoding="utf-8")
    return widgets.HTML(f"<style>{sheet}</style>", layout={"display": "none"})


def said(text: str = "", kind: str = "quiet") -> widgets.HTML:
    """A sentence.

    Args:
        text: what is said; it is escaped.
        kind: ``quiet``, ``error``, ``head``, ``state-good`` or ``state-bad``.
    """
    shown = widgets.HTML()
    say(shown, text, kind)
    return shown


def say(place: widgets.HTML, text: str, kind: str = "quiet") -> None:
    """Puts another sentence in its place."""
    place.value = f'<div class="bk-{kind}">{escape(text)}</div>'


def button(
    text: str, then: Callable[[], None], *, tip: str = "", look: str = "", width: str = "auto"
) -> widgets.Button:
    """A button, and what it does; what goes wrong in it is the caller's to show.

    Args:
        text: on it.
        then: called when it is pressed.
        tip: what it does, for those who wait over it.
        look: ``primary``, ``danger`` or plain.
        width: of the button.
    """
    made = widgets.Button(
        description=text, tooltip=tip or text, button_style=look, layout=widgets.Layout(width=width)
    )
    made.on_click(lambda _: then())
    return made


def row(*children: widgets.Widget) -> widgets.HBox:
    """Side by side, and below each other where there is no room."""
    return widgets.HBox(children, layout=widgets.Layout(flex_flow="row wrap", align_items="center"))


def column(*children: widgets.Widget) -> widgets.VBox:
    """Below each other."""
    return widgets.VBox(children)


class Fold(widgets.VBox):
    """A titled part that opens and closes; its title is a button, so that the keyboard reaches it."""

    def __init__(self, title: str, children: Sequence[widgets.Widget], *, is_open: bool) -> None:
        self._title = title
        self.inside = widgets.VBox(list(children))
        self._head = button("", self._turn, width="100%")
        super().__init__([self._head, self.inside])
        self.add_class("bk-fold")
        self.is_open = is_open
        self.set_open(is_open)

    def set_open(self, is_open: bool) -> None:
        """Opens or closes it."""
        self.is_open = is_open
        self.inside.layout.display = "" if is_open else "none"
        self._head.description = f"{'▾' if is_open else '▸'} {self._title}"

    def _turn(self) -> None:
        self.set_open(not self.is_open)


def watch(widget: Any, name: str, then: Callable[[Any], None]) -> None:
    """Calls with the new value whenever a widget's trait changes."""
    widget.observe(lambda change: then(change["new"]), names=name)
