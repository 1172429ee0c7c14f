"""The panel's parameters in the forms that repeat them elsewhere, to copy or to save."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from benchkit.errors import BenchkitError
from benchkit.parameters import ParameterGroup, exports
from benchkit.records.atomic import atomic_write
from benchkit.records.paths import scrub_text
from benchkit.records.project import in_project
from benchkit.widgets.bridge import Bridge
from benchkit.widgets.parts import Fold, button, row, said, say, watch

_FORMS: dict[str, Callable[[ParameterGroup], str]] = {
    "params YAML": exports.as_yaml,
    "papermill": exports.as_papermill,
    "benchkit": exports.as_command,
    "Python cell": exports.as_cell,
}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,60}")


class CopyAs(Fold):
    """Shows what repeats the parameters; empty while they make no sense.

    Args:
        bridge: the page, for its clipboard.
        parameters: gives the parameters as they are now; may raise ``ParameterError``.
    """

    def __init__(self, bridge: Bridge, parameters: Callable[[], ParameterGroup]) -> None:
        self._bridge, self._parameters = bridge, parameters
        self._form = widgets.ToggleButtons(
            options=list(_FORMS), style={"button_width": "96px"}, tooltips=[f"as {name}" for name in _FORMS]
        )
        self.text = widgets.Textarea(
            rows=7,
            layout=widgets.Layout(width="100%"),
            disabled=False,
            tooltip="what repeats these parameters",
        )
        self._name = widgets.Text(
            description="save to params/", placeholder="my-load", style={"description_width": "104px"}
        )
        self._told = said()
        watch(self._form, "value", lambda _: self.refresh())
        super().__init__(
            "Copy as: the same in batch, in a shell, in a notebook",
            [
                row(self._form, button("Copy", self._copy, tip="put this text on the clipboard")),
                self.text,
                row(self._name, button("Save", self.save, tip="write the YAML into params/"), self._told),
            ],
            is_open=False,
        )

    def refresh(self) -> None:
        """Says it anew for the parameters as they are now."""
        try:
            self.text.value = _FORMS[self._form.value](self._parameters())
        except BenchkitError as error:
            self.text.value = f"# not yet: {error}"

    def save(self) -> None:
        """Writes the YAML into ``params/``; an existing file is left alone."""
        name = self._name.value.strip().removesuffix(".yaml")
        if not _NAME.fullmatch(name):
            say(self._told, "a name of letters, digits, '-', '_' and '.'", "error")
            return
        file = in_project("params") / f"{name}.yaml"
        try:
            text = exports.as_yaml(self._parameters())
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.exists() and file.read_text(encoding="utf-8") != text:
                say(self._told, f"params/{file.name} is there already: choose another name", "error")
                return
            atomic_write(file, text)
        except (BenchkitError, OSError) as error:
            say(self._told, scrub_text(str(error)), "error")
            return
        say(self._told, f"saved: params/{file.name}")

    def _copy(self) -> None:
        def told(done: Any) -> None:
            how = "copied" if done else "this page may not use the clipboard: mark the text and copy it"
            say(self._told, how, "quiet" if done else "error")

        self._bridge.copy(self.text.value, told)
