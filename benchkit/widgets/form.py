"""A form for any group of parameters, made of the group's own model; what the model refuses is marked at its field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Generic, TypeVar

import ipywidgets as widgets

from benchkit.parameters import ParameterGroup, resolve
from benchkit.parameters.entry import as_entry, from_entry
from benchkit.parameters.fields import FieldFacts, sections_of
from benchkit.parameters.problems import problems
from benchkit.widgets.parts import Fold, watch

M = TypeVar("M", bound=ParameterGroup)

_LABEL = "146px"
_OPEN_SECTIONS = 2


class Field(widgets.VBox):
    """One parameter: its name, its value, its unit and help, and what is wrong with it."""

    def __init__(self, facts: FieldFacts, on_change: Callable[[], None]) -> None:
        self.facts = facts
        self._input = _input(facts)
        self._below = widgets.HTML()
        super().__init__([self._input, self._below])
        self.add_class("bk-field")
        self.mark("")
        watch(self._input, "value", lambda _: on_change())

    @property
    def value(self) -> Any:
        """As it was entered, unchecked."""
        if self.facts.kind in ("choice", "flag"):
            return self._input.value
        return from_entry(self._input.value, self.facts)

    @value.setter
    def value(self, value: Any) -> None:
        plain = self.facts.kind in ("choice", "flag")
        is_default = value == self.facts.default
        self._input.value = value if plain else "" if is_default else as_entry(value, self.facts)

    @property
    def is_default(self) -> bool:
        """Whether it says what it says anyway."""
        value = self.value
        return bool(
            (tuple(value) if isinstance(value, list) else value) == self.facts.default
            and isinstance(value, bool) == isinstance(self.facts.default, bool)
        )

    def mark(self, problem: str) -> None:
        """Shows what is wrong, or the help where nothing is."""
        facts = self.facts
        (self.remove_class if self.is_default else self.add_class)("bk-changed")
        if problem:
            self.add_class("bk-wrong")
            self._below.value = f'<div class="bk-help bk-error" role="alert">{escape(problem)}</div>'
            return
        self.remove_class("bk-wrong")
        bounds = "; ".join(filter(None, [facts.unit, facts.limits]))
        self._below.value = (
            f'<div class="bk-help">{escape(facts.help)}{f" <b>{escape(bounds)}</b>" if bounds else ""}</div>'
        )


class Form(widgets.VBox, Generic[M]):
    """All parameters of a group.

    Args:
        model: the group.
        values: what the form begins with; defaults for the rest.
        on_change: called after each later change, whether it makes sense or not.
    """

    def __init__(
        self,
        model: type[M],
        values: Mapping[str, Any] | None = None,
        *,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self.model = model
        self.fields: dict[str, Field] = {}
        self.problems: dict[str, str] = {}
        self._told: Callable[[], None] | None = None
        self._is_quiet = True
        self.folds: dict[str, Fold] = {}
        self._sections = sections_of(model)
        for number, section in enumerate(self._sections):
            made = [Field(facts, self._changed) for facts in section.fields]
            self.fields |= {field.facts.name: field for field in made}
            grid = widgets.Box(made)
            grid.add_class("bk-grid")
            self.folds[section.title] = Fold(section.title, [grid], is_open=number < _OPEN_SECTIONS)
        super().__init__(list(self.folds.values()))
        self._is_quiet = False
        self.fill(values or {})
        self._told = on_change

    @property
    def values(self) -> dict[str, Any]:
        """What is not a default, unchecked."""
        return {name: field.value for name, field in self.fields.items() if not field.is_default}

    @property
    def parameters(self) -> M:
        """The parameters.

        Raises:
            ParameterError: they make no sense; the form marks where.
        """
        return resolve(self.values, self.model)

    def fill(self, values: Mapping[str, Any]) -> None:
        """Shows these values, and defaults for the rest; names that the form does not have are passed over."""
        self._is_quiet = True
        try:
            for name, field in self.fields.items():
                given = values.get(name, field.facts.default)
                field.value = tuple(given) if isinstance(given, list) else given
        finally:
            self._is_quiet = False
        self._changed()

    def set(self, name: str, value: Any) -> None:
        """Changes one value."""
        self.fields[name].value = value

    def _changed(self) -> None:
        if self._is_quiet:
            return
        self.problems = problems(self.values, self.model)
        for name, field in self.fields.items():
            field.mark(self.problems.get(name, ""))
        for section in self._sections:
            if any(facts.name in self.problems for facts in section.fields):
                self.folds[section.title].set_open(True)
        if self._told is not None:
            self._told()


def _input(facts: FieldFacts) -> widgets.Widget:
    shared = {
        "description": facts.name,
        "tooltip": facts.help,
        "style": {"description_width": _LABEL},
        "layout": widgets.Layout(width="98%"),
    }
    match facts.kind:
        case "choice":
            return widgets.Dropdown(options=facts.choices, value=facts.default, **shared)
        case "flag":
            return widgets.Checkbox(value=facts.default, indent=True, **shared)
        case "list" | "mapping":
            hint = "one a line" if facts.kind == "list" else "name: value, one a line"
            return widgets.Textarea(rows=2, placeholder=hint, continuous_update=False, **shared)
        case _:
            shown = as_entry(facts.default, facts)
            return widgets.Text(placeholder=shown or "(empty)", continuous_update=True, **shared)
